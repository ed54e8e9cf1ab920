import numpy as np
import pytest
import torch

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.visual_prediction import NextCounts, forecast, next_clips, text_to_video

WORDS = vocabulary()


@pytest.fixture(scope="module")
def model() -> VideoBertForPreTraining:
    torch.manual_seed(0)
    config = from_bert_config(bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS, initializer_range=0.3)
    return VideoBertForPreTraining(config).eval()


@torch.no_grad()
def by_hand(model: VideoBertForPreTraining, ids: list[int], types: list[int]) -> np.ndarray:
    """The mean over the masks of the probabilities of visual tokens."""
    output = model(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
    chances = output.prediction_logits[0, :, WORDS.visual_offset :].softmax(-1).numpy()
    found: np.ndarray = chances[[at for at, number in enumerate(ids) if number == WORDS.mask_id]].mean(0)
    return found


def test_what_is_shown_with_a_text_is_what_the_masks_after_it_say(model: VideoBertForPreTraining):
    texts = ["cut the egg", "fry"]
    found = text_to_video(model, WORDS, texts)
    assert found.shape == (2, NUM_VISUAL_TOKENS)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-4)
    for row, text in zip(found, texts, strict=True):
        words = WORDS.encode([text])[0].tolist()
        ids = [WORDS.cls_id, *words, WORDS.separator_id, *[WORDS.mask_id] * 3, WORDS.sep_id]
        types = [0] * (1 + len(words)) + [1] * 5
        np.testing.assert_allclose(row, by_hand(model, ids, types), atol=1e-5)


def test_what_comes_next_is_what_the_mask_after_the_clips_says(model: VideoBertForPreTraining):
    seen = [[3, 4, 5], [7]]
    found = forecast(model, WORDS, seen)
    for row, tokens in zip(found, seen, strict=True):
        visual = [WORDS.visual_offset + token for token in tokens]
        ids = [WORDS.cls_id, WORDS.separator_id, *visual, WORDS.mask_id, WORDS.sep_id]
        np.testing.assert_allclose(row, by_hand(model, ids, [0] + [1] * (len(ids) - 1)), atol=1e-5)


def test_of_a_long_past_the_last_clips_count(model: VideoBertForPreTraining):
    past = [number % NUM_VISUAL_TOKENS for number in range(200)]
    np.testing.assert_allclose(
        forecast(model, WORDS, [past]), forecast(model, WORDS, [past[-60:]]), atol=1e-6
    )


def test_intervals_and_what_followed_do_not_overlap():
    seen, followed = next_clips([[1, 2, 3, 4, 5, 6, 7], [8, 9], [10, 11, 12]], num_seen=2)
    assert seen == [[1, 2], [4, 5], [10, 11]]
    assert followed.tolist() == [3, 6, 12]


def test_what_came_next_most_often_is_ranked_first_and_then_what_is_shown_most():
    counts = NextCounts([[1, 1, 1, 2, 3], [2, 3], [3, 3, 3, 1], [0], []], num_visual_tokens=4)
    # 2 was followed by 3 twice; 1 by 1 twice and by 2 once; 0 by nothing.
    found = np.argsort(-counts.most_frequent_next([2, 1, 0]), axis=1, kind="stable")
    assert found.tolist() == [[3, 1, 2, 0], [1, 2, 3, 0], [3, 1, 2, 0]]
    again = np.argsort(-counts.same_again([2, 1, 0]), axis=1, kind="stable")
    assert again.tolist() == [[2, 3, 1, 0], [1, 2, 3, 0], [0, 3, 1, 2]]
