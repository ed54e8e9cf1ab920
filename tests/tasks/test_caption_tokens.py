import pytest

from vbert.tasks.caption_tokens import caption_tokens

# Texts, and below each what pycocoevalcap 1.2's PTBTokenizer made of it (stanford-corenlp-3.4.1.jar, Java
# 17), split at white space as COCO's metrics split it.
RECORDED = """
A man, on a horse.
    a man on a horse
The dog's bowl isn't full; don't cry!
    the dog 's bowl is n't full do n't cry
"Quoted" text and 'single quotes' here
    quoted text and single quotes here
“It’s a dog’s life,” he said.
    it 's a dog 's life he said
a black-and-white cat
    a black-and-white cat
add 1/2 cup of flour and 1 1/2 tsp salt
    add 1/2 cup of flour and 1 1/2 tsp salt
½ cup, 1½ cups
    1/2 cup 1 1/2 cups
I can't, won't, shan't; cannot gonna wanna gotta gimme lemme
    i ca n't wo n't sha n't can not gon na wan na got ta gim me lem me
they've we're I'm you'd he'll wouldn't've
    they 've we 're i 'm you 'd he 'll would n't 've
She said: "I'll go -- maybe..." then left
    she said i 'll go maybe then left
Mr. Smith went to Washington D.C. at 5 p.m.
    mr. smith went to washington d.c. at 5 p.m.
U.S. soldiers of the U.S.-based team, e.g. two
    u.s. soldiers of the u.s.-based team e.g. two
no. 5 is the number no. but jan. and feb. are months.
    no. 5 is the number no but jan. and feb. are months
the wash. is in Wash. state, he sat. down
    the wash is in wash. state he sat down
$5.99 or 3,000 dollars, 50% off, £5 and €6
    $ 5.99 or 3,000 dollars 50 % off # 5 and $ 6
it's 3:30 pm on 12/25/2010
    it 's 3:30 pm on 12/25/2010
a man (left) and [a dog] {here}
    a man -lrb- left -rrb- and -lsb- a dog -rsb- -lcb- here -rcb-
rock'n'roll and 'cause y'all
    rock 'n' roll and 'cause y' all
'twas the night, o'clock, 'tis O'Neil's and ma'am's
    't was the night o'clock 't is o'neil 's and ma'am 's
the 1990s and the '90s, two's and 10's
    the 1990s and the '90s two 's and 10 's
boys' toys and the kids' room.
    boys toys and the kids room
naïve café über
    naïve café über
hello…world — em – en -- double
    hello world em en double
wait,what "what,"she said
    wait what what she said
what?! really?? yes!!! no?
    what ?! really ?? yes !!! no
black & white, AT&T, salt&pepper, and/or, w/o, a/b/c
    black & white at&t salt & pepper and/or w/o a/b/c
x < y > z = 4 * 5 + 6
    x < y > z = 4 * 5 + 6
mid- air -mid a- b
    mid air mid a b
3-year-old in a T-shirt, re-enter, 1.5-inch
    3-year-old in a t-shirt re-enter 1.5-inch
visit http://www.example.com/foo?bar=1 now @foo #tag #1
    visit http://www.example.com/foo?bar=1 now @foo #tag # 1
5pm 5:30pm 2nd 20th 4x4 10lbs 3.5mm
    5pm 5:30 pm 2nd 20th 4x4 10lbs 3.5 mm
the <b>bold</b> text :) ;-)
    the <b> bold </b> text :-rrb- ;--rrb-
hello.world file.txt e.t. a_b
    hello.world file.txt e.t. a_b
c++ and c#
    c++ and c#
it`s a dog’s
    it s a dog 's
-5 degrees, 5 - 5, 90 °
    -5 degrees 5 5 90 °
AT&amp;T &lt;3
    at&t < 3
don't.don't isn't!
    do n't do n't is n't
fish 'n chips 'n' peas, ol' man
    fish 'n chips 'n' peas ol' man
6'2" tall, 12" wide
    6 2 tall 12 wide
"""
LINES = RECORDED.strip().split("\n")


@pytest.mark.parametrize(("text", "tokens"), list(zip(LINES[::2], LINES[1::2], strict=True)))
def test_tokens_are_those_of_cocos_tokenizer(text: str, tokens: str):
    assert caption_tokens(text) == tokens.split()


def test_tokens_of_the_penn_treebanks_rules_by_hand():
    text = "\"Don't cut 1/2 of the mother-in-law's bread,\" she'd say; we've (almost) done."
    assert " ".join(caption_tokens(text)) == (
        "do n't cut 1/2 of the mother-in-law 's bread she 'd say we 've -lrb- almost -rrb- done"
    )


@pytest.mark.parametrize("text", ["", "  \n\t ", "...", "'' ` \" -- - ? ! . , : ;", "“ ” ‘ ’ — …"])
def test_punctuation_alone_is_no_word(text: str):
    assert caption_tokens(text) == []
