"""The caption writer's generation, against what its own forward pass says step by step."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from tests.tiny import bert_config
from vbert.model.configuration_videobert import VideoBertCaptioningConfig, from_bert_config
from vbert.model.modeling_captioning import VideoBertForCaptioning

PAD, START, END, NUM_WORDS, LENGTH = 0, 1, 2, 7, 3
CLIPS = torch.tensor([[1, 9, 10, 11, 2], [1, 12, 9, 2, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def writer() -> VideoBertForCaptioning:
    """Of seven words: all captions of three can be counted out."""
    torch.manual_seed(0)
    sizes = bert_config(vocab_size=NUM_WORDS, initializer_range=1.0)
    decoder = bert_config(
        vocab_size=NUM_WORDS, initializer_range=1.0, is_decoder=True, add_cross_attention=True
    )
    config = VideoBertCaptioningConfig.from_encoder_decoder_configs(
        from_bert_config(sizes, num_visual_tokens=5),
        decoder,
        decoder_start_token_id=START,
        pad_token_id=PAD,
        eos_token_id=END,
    )
    return VideoBertForCaptioning(config).eval()


def chances(writer: VideoBertForCaptioning, row: int, written: list[int]) -> torch.Tensor:
    """Log-probabilities [T, number of words] of what follows each word."""
    shown = MASK[row].bool()
    logits = writer(
        CLIPS[row][shown][None], decoder_input_ids=torch.tensor([written]), use_cache=False
    ).logits
    return F.log_softmax(logits[0], dim=-1)


def score(writer: VideoBertForCaptioning, row: int, words: tuple[int, ...]) -> float:
    """The log-probability of a caption."""
    found = chances(writer, row, [START, *words[:-1]])
    return float(found[range(len(words)), words].sum())


@torch.no_grad()
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_search_takes_the_likeliest_next_word(writer: VideoBertForCaptioning, use_cache: bool):
    found = writer.generate(
        CLIPS, attention_mask=MASK, num_beams=1, do_sample=False, max_new_tokens=LENGTH, use_cache=use_cache
    )
    for row in range(2):
        written = [START]
        while len(written) <= LENGTH and written[-1] != END:
            written.append(int(chances(writer, row, written)[-1].argmax()))
        assert found[row, : len(written)].tolist() == written
        assert set(found[row, len(written) :].tolist()) <= {PAD}


@torch.no_grad()
def test_a_beam_as_wide_as_all_captions_finds_the_likeliest(writer: VideoBertForCaptioning):
    """Of those that are cut after three words: no end is taken for an end."""
    options = {
        "num_beams": NUM_WORDS**2,
        "max_new_tokens": LENGTH,
        "eos_token_id": None,
        "length_penalty": 0.0,
    }
    found = writer.generate(CLIPS, attention_mask=MASK, **options)
    for row in range(2):
        best = max(product(range(NUM_WORDS), repeat=LENGTH), key=lambda words: score(writer, row, words))
        assert found[row].tolist() == [START, *best]


@torch.no_grad()
def test_a_loss_is_that_of_the_words_given_those_before_them(writer: VideoBertForCaptioning):
    labels = torch.tensor([[3, 4, END], [5, END, -100]])
    output = writer(CLIPS, attention_mask=MASK, labels=labels)
    expected = [score(writer, 0, (3, 4, END)), score(writer, 1, (5, END))]
    assert output.losses.tolist() == pytest.approx(
        [-float(value) for value in [*_each(writer, 0, (3, 4, END)), *_each(writer, 1, (5, END))]], abs=1e-4
    )
    assert output.loss.item() == pytest.approx(-sum(expected) / 5, abs=1e-4)
    assert writer(CLIPS, attention_mask=MASK, labels=labels, return_dict=False)[0] == output.loss


def _each(writer: VideoBertForCaptioning, row: int, words: tuple[int, ...]) -> list[float]:
    return chances(writer, row, [START, *words[:-1]])[range(len(words)), words].tolist()
