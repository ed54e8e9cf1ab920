import math

import pytest
from nltk.translate.bleu_score import corpus_bleu

from vbert.errors import UserError
from vbert.tasks import meteor
from vbert.tasks.caption_metrics import score_captions

SAID = ["the cat sat on the mat in the sun", "a dog runs through the green park today"]
WANTED = [
    ["the cat sat on a mat in the sun", "a cat is on the mat"],
    ["the dog runs through a green park", "a dog is running in the park today"],
]
# With contractions, hyphens and curly quotes. Their scores are what pycocoevalcap 1.2 made of them: its
# PTBTokenizer, Bleu, Rouge, Cider and Meteor, the first and the last with Java 17.
AWKWARD_SAID = [*SAID, "He isn't cutting the mother-in-law's onions."]
AWKWARD_WANTED = [
    *WANTED,
    ["“He\u2019s not slicing onions!”", "the man isn\u2019t chopping his mother-in-law's onion"],
]
COCOS = {
    "BLEU-3": 0.5600750663793096,
    "BLEU-4": 0.38112657991131377,
    "ROUGE-L": 0.7060710348320968,
    "CIDEr": 3.0805823284991285,
}
COCOS_METEOR = 0.43122084550805134
NAMES = ["BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes seconds to start."""
    monkeypatch.setattr(meteor.shutil, "which", lambda name: None)


@pytest.mark.usefixtures("no_java")
def test_scores_are_cocos():
    assert score_captions(AWKWARD_SAID, AWKWARD_WANTED) == pytest.approx(COCOS)


@pytest.mark.slow
@pytest.mark.skipif(not meteor.java_is_there(), reason="no Java: apt-get install default-jre-headless")
def test_with_java_meteor_is_cocos():
    found = score_captions(AWKWARD_SAID, AWKWARD_WANTED)
    assert found == pytest.approx({**COCOS, "METEOR": COCOS_METEOR})
    assert list(found) == ["BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"]
    assert score_captions(["the cat"], [["the cat"]])["METEOR"] == pytest.approx(1.0)  # and it goes on
    assert score_captions([""], [["the cat"]])["METEOR"] == 0.0
    meteor.running_meteor().close()  # it holds a gigabyte
    meteor.running_meteor.cache_clear()


def test_a_java_that_ends_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meteor, "COMMAND", ("true",))
    with pytest.raises(UserError, match="java has ended without an answer; free 2 GB"):
        meteor.Meteor().score(["the cat"], [["the cat"]])


@pytest.mark.usefixtures("no_java")
def test_bleu_is_nltks():
    found = score_captions(SAID, WANTED)
    references = [[text.split() for text in texts] for texts in WANTED]
    said = [text.split() for text in SAID]
    assert found["BLEU-3"] == pytest.approx(corpus_bleu(references, said, weights=(1 / 3,) * 3), abs=1e-6)
    assert found["BLEU-4"] == pytest.approx(corpus_bleu(references, said), abs=1e-6)


@pytest.mark.usefixtures("no_java")
def test_rouge_is_the_longest_common_subsequence_by_hand():
    # "cut the egg now" and "we cut an egg": cut, egg. Precision 2/4, recall 2/4, and so F is 1/2.
    found = score_captions(["cut the egg now", "x y"], [["we cut an egg"], ["x y"]])
    assert found["ROUGE-L"] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.usefixtures("no_java")
def test_cider_of_the_references_themselves_is_ten():
    texts = ["peel the large onion slowly", "fry two eggs in butter", "wash the green apple well"]
    assert score_captions(texts, [[text] for text in texts])["CIDEr"] == pytest.approx(10.0)


@pytest.mark.usefixtures("no_java")
def test_case_and_punctuation_do_not_count():
    plain = score_captions(["cut the egg now please"] * 2, [["cut the egg now please"]] * 2)
    dressed = score_captions(["Cut the EGG, now please."] * 2, [["cut the egg now please"]] * 2)
    assert dressed == plain
    assert not any(math.isnan(value) for value in plain.values())


@pytest.mark.usefixtures("no_java")
def test_references_without_a_word_are_left_out_and_examples_that_have_no_others():
    said, wanted = [*SAID, "a cat", ""], [[*WANTED[0], "", "..."], WANTED[1], ["", " -- "], []]
    assert score_captions(said, wanted) == score_captions(SAID, WANTED)
    assert score_captions(["a cat", ""], [[""], ["?"]]) == dict.fromkeys(NAMES, 0.0)
    assert score_captions([""], [["a cat"]]) == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-6)
