"""The contrastive objective against CLIP's in transformers, and by hand."""

import pytest
import torch
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from tests.tiny import bert_config
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.model.modeling_contrast import NO_PAIR, PairContrast


def config(**changes: float) -> VideoBertConfig:
    return from_bert_config(bert_config(), num_visual_tokens=9, **changes)


def vectors(count: int, *, seed: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 8, generator=chance), dim=1)


def test_it_is_clips_loss():
    pairs = PairContrast(config(visual_temperature=0.07))
    texts, videos = vectors(5, seed=0), vectors(5, seed=1)
    logits, losses, is_right = pairs(texts, videos, torch.arange(5))
    torch.testing.assert_close(logits, texts @ videos.T / 0.07)
    torch.testing.assert_close(losses.mean(), image_text_contrastive_loss(logits))
    torch.testing.assert_close(losses[5:].mean(), F.cross_entropy(logits.T, torch.arange(5)))
    own = torch.arange(5)
    assert is_right.tolist() == [*(logits.argmax(1) == own).tolist(), *(logits.argmax(0) == own).tolist()]


def test_texts_that_say_the_same_are_not_told_apart_and_empty_places_count_nowhere():
    pairs = PairContrast(config(visual_temperature=0.5))
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], requires_grad=True)
    videos = torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.8, 0.6], [1.0, 0.0]], requires_grad=True)
    _, losses, is_right = pairs(texts, videos, torch.tensor([7, 7, 3, NO_PAIR]))

    def told(own: float, other: float) -> float:
        return -float(F.log_softmax(torch.tensor([own, other]) / 0.5, dim=0)[0])

    third = -float(F.log_softmax(torch.tensor([0.6, 0.8, 1.0]) / 0.5, dim=0)[0])
    expected = [told(0.6, 0.8), told(0.0, 0.8), third, 0.0, told(0.6, 0.8), told(0.0, 1.0)]
    torch.testing.assert_close(losses[:6], torch.tensor(expected))
    assert losses[7] == 0
    assert is_right[:4].tolist() == [False] * 4
    losses.sum().backward()
    assert texts.grad is not None
    assert videos.grad is not None
    assert texts.grad[3].tolist() == videos.grad[3].tolist() == [0, 0]
    assert texts.grad[:3].isfinite().all()


def test_a_batch_without_any_pair_has_a_loss_of_0_and_gradients_of_0():
    pairs = PairContrast(config())
    texts = vectors(3, seed=0).requires_grad_()
    _, losses, _ = pairs(texts, vectors(3, seed=1), torch.full((3,), NO_PAIR))
    losses.sum().backward()
    assert losses.tolist() == [0] * 6
    assert texts.grad is not None
    assert texts.grad.tolist() == [[0] * 8] * 3
    assert pairs.logit_scale.grad is not None
    assert pairs.logit_scale.grad.tolist() == [0]


@pytest.mark.parametrize(("logarithm", "scale"), [(3.0, 20.0855), (4.7, 100.0)])
def test_the_temperature_is_learned_and_does_not_fall_below_a_hundredth(logarithm: float, scale: float):
    pairs = PairContrast(config())
    with torch.no_grad():
        pairs.logit_scale.fill_(logarithm)
    texts, videos = vectors(4, seed=0), vectors(4, seed=1)
    logits, losses, _ = pairs(texts, videos, torch.arange(4))
    torch.testing.assert_close(logits, scale * texts @ videos.T, atol=1e-3, rtol=1e-4)
    losses.mean().backward()
    assert pairs.logit_scale.grad is not None
    assert (pairs.logit_scale.grad.abs().item() > 0) == (scale < 100)
