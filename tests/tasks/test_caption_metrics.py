import math

import pytest
from nltk.translate.bleu_score import corpus_bleu

from vbert.tasks.caption_metrics import score_captions

SAID = ["the cat sat on the mat in the sun", "a dog runs through the green park today"]
WANTED = [
    ["the cat sat on a mat in the sun", "a cat is on the mat"],
    ["the dog runs through a green park", "a dog is running in the park today"],
]


def test_bleu_is_nltks():
    found = score_captions(SAID, WANTED)
    references = [[text.split() for text in texts] for texts in WANTED]
    said = [text.split() for text in SAID]
    assert found["BLEU-3"] == pytest.approx(corpus_bleu(references, said, weights=(1 / 3,) * 3), abs=1e-6)
    assert found["BLEU-4"] == pytest.approx(corpus_bleu(references, said), abs=1e-6)


def test_rouge_is_the_longest_common_subsequence_by_hand():
    # "cut the egg now" and "we cut an egg": cut, egg. Precision 2/4, recall 2/4, and so F is 1/2.
    found = score_captions(["cut the egg now", "x y"], [["we cut an egg"], ["x y"]])
    assert found["ROUGE-L"] == pytest.approx((0.5 + 1) / 2)


def test_cider_of_the_references_themselves_is_ten():
    texts = ["peel the large onion slowly", "fry two eggs in butter", "wash the green apple well"]
    assert score_captions(texts, [[text] for text in texts])["CIDEr"] == pytest.approx(10.0)


def test_meteor_of_a_perfect_caption_is_one_but_for_the_last_fragment():
    # One chunk of m words: penalty 0.5 (1 / m)^3, so 1 - 0.5 / 125 for five words (Banerjee and Lavie 2005).
    texts = ["peel the large onion slowly"] * 2
    assert score_captions(texts, [[text] for text in texts])["METEOR"] == pytest.approx(1 - 0.5 / 125)


def test_meteor_matches_stems():
    with_stem = score_captions(["he cuts onions"] * 2, [["he cut onion"]] * 2)["METEOR"]
    without = score_captions(["he eats apples"] * 2, [["he cut onion"]] * 2)["METEOR"]
    assert with_stem > 0.9
    assert without < 0.5


def test_case_and_punctuation_do_not_count():
    plain = score_captions(["cut the egg now please"] * 2, [["cut the egg now please"]] * 2)
    dressed = score_captions(["Cut the EGG, now please."] * 2, [["cut the egg now please"]] * 2)
    assert dressed == plain
    assert not any(math.isnan(value) for value in plain.values())
