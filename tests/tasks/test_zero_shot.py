import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, document, vocabulary
from vbert.distributed.evaluate_zero_shot import clips_of
from vbert.errors import UserError
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.metrics import ranks, top_k
from vbert.tasks.zero_shot import Classes, ZeroShotClassifier, word_counts

WORDS = vocabulary()
# "daikon" is the pieces dai, ##kon; the others are one piece each.
CLASSES = Classes(verbs=("cut", "peel"), objects=("egg", "daikon", "fish"))


def model() -> VideoBertForPreTraining:
    torch.manual_seed(0)
    config = from_bert_config(bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS, initializer_range=0.3)
    return VideoBertForPreTraining(config).eval()


def ids_of(sentence: str) -> list[int]:
    """Word pieces, and masks where the sentence has them."""
    first, *others = [WORDS.encode([part])[0].tolist() for part in sentence.split("[MASK]")]
    return [*first, *(piece for part in others for piece in [WORDS.mask_id, *part])]


@torch.no_grad()
def by_hand(network: VideoBertForPreTraining, sentence: str, tokens: list[int]) -> torch.Tensor:
    """Log-probabilities over the word pieces at each position of `[CLS] sentence [>] tokens [SEP]`."""
    text = ids_of(sentence)
    visual = [WORDS.separator_id, *(WORDS.visual_offset + token for token in tokens)] if tokens else []
    ids = torch.tensor([[WORDS.cls_id, *text, *visual, WORDS.sep_id]])
    types = torch.tensor([[0] * (1 + len(text)) + [1] * (len(visual) + 1)]) * bool(tokens)
    logits = network(ids, token_type_ids=types).prediction_logits
    assert logits is not None
    return logits[0, :, : WORDS.num_word_pieces].log_softmax(-1)


def test_scores_are_the_log_probabilities_at_the_masks():
    network = model()
    scores = ZeroShotClassifier(network, WORDS, CLASSES).scores([np.array([3, 4, 5]), np.array([7])])
    assert scores["verb"].shape == (2, 2)
    assert scores["object"].shape == (2, 3)
    cut, peel, egg, fish = (int(WORDS.encode([word])[0][0]) for word in ("cut", "peel", "egg", "fish"))
    for clip, tokens in enumerate([[3, 4, 5], [7]]):
        found = by_hand(network, "now let me show you how to [MASK] the [MASK] .", tokens)
        # [CLS] now let me show you how to [MASK] the [MASK]: positions 8 and 10.
        np.testing.assert_allclose(scores["verb"][clip], found[8, [cut, peel]], atol=1e-4)
        np.testing.assert_allclose(scores["object"][clip, [0, 2]], found[10, [egg, fish]], atol=1e-4)
        dai, kon = WORDS.encode(["daikon"])[0].tolist()
        two = by_hand(network, "now let me show you how to [MASK] the [MASK] [MASK] .", tokens)
        expected = (two[10, dai] + two[11, kon]) / 2
        np.testing.assert_allclose(scores["object"][clip, 1], expected, atol=1e-4)


def test_the_language_prior_sees_no_video():
    network = model()
    classifier = ZeroShotClassifier(network, WORDS, CLASSES)
    prior = classifier.scores([np.array([3]), np.array([9, 9])], with_video=False)
    found = by_hand(network, "now let me show you how to [MASK] the [MASK] .", [])
    cut, peel = (int(WORDS.encode([word])[0][0]) for word in ("cut", "peel"))
    np.testing.assert_allclose(prior["verb"][0], found[8, [cut, peel]], atol=1e-4)
    np.testing.assert_allclose(prior["verb"][0], prior["verb"][1], atol=1e-6)


def test_without_video_it_asks_bert_itself():
    """The language prior of a BERT checkpoint is what Hugging Face's BertForMaskedLM says."""
    torch.manual_seed(0)
    bert = BertForMaskedLM(bert_config(initializer_range=0.3)).eval()
    network = model()
    network.bert.load_state_dict(bert.bert.state_dict(), strict=False)
    network.cls.predictions.load_state_dict(bert.cls.predictions.state_dict(), strict=False)
    scores = ZeroShotClassifier(network, WORDS, CLASSES).scores([np.array([1])], with_video=False)
    text = "now let me show you how to [MASK] the [MASK] ."
    ids = torch.tensor([[101, *ids_of(text), 102]])
    logits = bert(ids).logits[0, 8].log_softmax(-1)
    cut, peel = (int(WORDS.encode([word])[0][0]) for word in ("cut", "peel"))
    np.testing.assert_allclose(scores["verb"][0], logits[[cut, peel]].detach(), atol=1e-4)


def test_clips_of_many_lengths_do_not_touch_each_other():
    classifier = ZeroShotClassifier(model(), WORDS, CLASSES)
    clips = [np.arange(1 + number % 7) for number in range(70)]  # more than a batch
    together = classifier.scores(clips)
    alone = [classifier.scores([clip]) for clip in clips[::10]]
    np.testing.assert_allclose(together["verb"][::10], np.concatenate([s["verb"] for s in alone]), atol=1e-4)


def test_another_template_may_have_the_object_first():
    classifier = ZeroShotClassifier(model(), WORDS, CLASSES, template="the {object} is what we {verb}")
    scores = classifier.scores([np.array([2])])
    found = by_hand(classifier.model, "the [MASK] is what we [MASK]", [2])
    egg, cut = (int(WORDS.encode([word])[0][0]) for word in ("egg", "cut"))
    np.testing.assert_allclose(scores["object"][0, 0], found[2, egg], atol=1e-4)
    np.testing.assert_allclose(scores["verb"][0, 0], found[6, cut], atol=1e-4)


def test_a_template_without_a_gap_is_the_users_mistake():
    with pytest.raises(UserError, match=r"needs one \{object\}"):
        ZeroShotClassifier(model(), WORDS, CLASSES, template="we {verb} it")


def test_ranks_count_ties_against_us():
    scores = np.array([[0.1, 0.9, 0.5], [0.4, 0.4, 0.4], [3.0, 2.0, 1.0]])
    places = ranks(scores, np.array([2, 0, 0]))
    assert places.tolist() == [2, 3, 1]
    assert (top_k(places, 1), top_k(places, 2)) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_words_are_counted_whole_and_in_any_case():
    said = ["Cut the egg, then cut it.", "Eggs! CUT."]
    assert word_counts(said, ["cut", "egg", "fish"]).tolist() == [3, 1, 0]


def test_a_model_of_features_is_asked_with_features():
    torch.manual_seed(0)
    config = from_bert_config(bert_config(), num_visual_tokens=1, visual_feature_dim=8, initializer_range=0.3)
    network = VideoBertForPreTraining(config).eval()
    words = vocabulary(num_visual_tokens=1)
    clips = [np.random.default_rng(3).normal(size=(length, 8)).astype(np.float32) for length in (3, 1)]
    scores = ZeroShotClassifier(network, words, CLASSES).scores(clips)
    cut, peel = (int(words.encode([word])[0][0]) for word in ("cut", "peel"))
    text = ids_of("now let me show you how to [MASK] the [MASK] .")
    for at, clip in enumerate(clips):
        ids = torch.tensor([[101, *text, words.separator_id, *[words.visual_offset] * len(clip), 102]])
        types = torch.tensor([[0] * (1 + len(text)) + [1] * (len(clip) + 2)])
        shown = torch.zeros(1, ids.shape[1], 8)
        shown[0, -1 - len(clip) : -1] = torch.from_numpy(clip)
        with torch.no_grad():
            logits = network(ids, token_type_ids=types, visual_features=shown).prediction_logits
        expected = logits[0, 8, : words.num_word_pieces].log_softmax(-1)[[cut, peel]]
        np.testing.assert_allclose(scores["verb"][at], expected, atol=1e-4)
    prior = ZeroShotClassifier(network, words, CLASSES).scores([np.zeros(0)], with_video=False)
    assert np.abs(prior["verb"] - scores["verb"]).max() > 1e-3


def test_a_clip_has_the_tokens_or_features_of_its_time():
    features = np.arange(8.0).reshape(4, 2)
    documents = {"v": document("v", tokens=[10, 11, 12, 13]) | {"features": features}}
    clips = [
        {"video_id": "v", "start_seconds": 1.5, "end_seconds": 4.5},
        {"video_id": "v", "start_seconds": 90.0, "end_seconds": 95.0},
    ]
    found = clips_of(clips, documents, "visual_tokens")
    assert [tokens.tolist() for tokens in found] == [[11, 12], []]
    found = clips_of(clips, documents, "features")
    assert [vectors.tolist() for vectors in found] == [[[2.0, 3.0], [4.0, 5.0]], []]
