import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.model.encoders import quiet_transformers
from vbert.model.modeling_heads import (
    VideoBertForClassification,
    VideoBertForClipScoring,
    VideoBertForMultipleChoice,
    VideoBertForRetrieval,
)
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.base import to_tensors
from vbert.tasks.examples import InputSequence, packed_inputs, sequence_of

WORDS = vocabulary()
CPU = torch.device("cpu")
TEXTS = ["cut the egg", "", "peel", "what is it ?", ""]
CLIPS = [[1, 2, 3], [4], [], [5, 6], [7, 8, 9, 10, 11, 12]]


def config(*, num_labels: int = 3, **changes: object) -> VideoBertConfig:
    labels = {number: f"label {number}" for number in range(num_labels)}
    return from_bert_config(
        bert_config(initializer_range=0.3), num_visual_tokens=NUM_VISUAL_TOKENS, id2label=labels, **changes
    )


def sequences() -> list[InputSequence]:
    return [
        sequence_of(WORDS.encode([text])[0], clips, WORDS, row_length=32)
        for text, clips in zip(TEXTS, CLIPS, strict=True)
    ]


def packed() -> dict[str, torch.Tensor]:
    return to_tensors(packed_inputs(sequences(), WORDS, row_length=32), CPU)


def alone(number: int) -> dict[str, torch.Tensor]:
    """A sequence in a row of its own, as any Hugging Face user would give it."""
    ids, types = (torch.from_numpy(part)[None] for part in sequences()[number][:2])
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": torch.ones_like(ids)}


@torch.no_grad()
def test_packed_sequences_are_classified_as_each_alone():
    torch.manual_seed(0)
    model = VideoBertForClassification(config()).eval()
    together = model(**packed()).logits
    assert together.shape == (5, 3)
    for number in range(5):
        torch.testing.assert_close(together[number], model(**alone(number)).logits[0], atol=1e-5, rtol=1e-4)
    assert together.std(0).min() > 1e-3  # and they are not all the same


@torch.no_grad()
def test_padding_does_not_count():
    torch.manual_seed(0)
    model = VideoBertForClassification(config()).eval()
    plain = alone(0)
    padding = {"input_ids": WORDS.pad_id, "token_type_ids": 0, "attention_mask": 0}
    longer = {name: F.pad(values, (0, 4), value=padding[name]) for name, values in plain.items()}
    torch.testing.assert_close(model(**longer).logits, model(**plain).logits, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_pooled_state_is_cls_and_the_mean_over_the_clips_or_else_over_the_words():
    torch.manual_seed(0)
    model = VideoBertForClassification(config()).eval()
    for number, places in (
        (0, slice(5, 8)),
        (2, slice(0, 3)),
    ):  # [CLS] cut the egg [>] v v v, [CLS] peel [SEP]
        inputs = alone(number)
        encoded = model.encoded(**inputs)
        hidden = encoded.last_hidden_state[0]
        expected = torch.cat([hidden[0], hidden[places].mean(0)])
        torch.testing.assert_close(model.pooled(encoded, **inputs)[0], expected, atol=1e-5, rtol=1e-4)


def test_one_label_is_a_softmax_and_several_are_sigmoids():
    torch.manual_seed(0)
    model = VideoBertForClassification(config()).eval()
    labels = torch.tensor([0, 2, 1, 1, 0])
    output = model(**packed(), labels=labels)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    assert output.is_right.tolist() == (output.logits.argmax(1) == labels).tolist()

    several = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]])
    output = model(**packed(), labels=several)
    expected = F.binary_cross_entropy_with_logits(output.logits, several, reduction="none").sum(1)
    torch.testing.assert_close(output.losses, expected)
    best = output.logits.argmax(1)
    assert output.is_right.tolist() == [bool(several[row, at]) for row, at in enumerate(best.tolist())]


def test_a_question_is_answered_among_its_own_options():
    torch.manual_seed(0)
    model = VideoBertForMultipleChoice(config()).eval()
    options = torch.tensor([[0, 1, 2], [3, 4, -1]])
    labels = torch.tensor([2, 0])
    output = model(**packed(), options=options, labels=labels)
    scores = model.scorer(model.pooled(model.encoded(**packed()), **packed())).squeeze(1)
    torch.testing.assert_close(output.logits[0], scores[:3])
    assert output.logits[1, 2] == -torch.inf
    expected = [F.cross_entropy(scores[:3][None], labels[:1]), F.cross_entropy(scores[3:][None], labels[1:])]
    torch.testing.assert_close(output.losses, torch.stack(expected))


def test_retrieval_tells_a_texts_video_from_the_others_but_not_from_those_of_the_same_text():
    torch.manual_seed(0)
    model = VideoBertForRetrieval(config()).eval()
    mine = [
        sequence_of(WORDS.encode([t])[0], [], WORDS, row_length=32) for t in ("cut it", "peel it", "cut it")
    ]
    mine += [sequence_of(np.zeros(0, np.int64), clips, WORDS, row_length=32) for clips in ([1], [2, 3], [4])]
    inputs = to_tensors(packed_inputs(mine, WORDS, row_length=32), CPU)
    is_video = torch.arange(6) >= 3
    output = model(**inputs, is_video=is_video, text_numbers=torch.tensor([0, 1, 0]))
    vectors = model.embed(**inputs, is_video=is_video)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(6))
    scores = (vectors[:3] @ vectors[3:].T / model.config.visual_temperature).tolist()

    def loss(own: float, *others: float) -> float:
        return -own + float(torch.logsumexp(torch.tensor([own, *others]), 0))

    expected = [
        loss(scores[0][0], scores[0][1]),
        loss(scores[1][1], scores[1][0], scores[1][2]),
        loss(scores[2][2], scores[2][1]),
        loss(scores[0][0], scores[1][0]),
        loss(scores[1][1], scores[0][1], scores[2][1]),
        loss(scores[2][2], scores[1][2]),
    ]
    torch.testing.assert_close(output.losses, torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_a_retrieval_model_of_before_opens_and_embeds_as_it_did(tmp_path: Path):
    """Its temperature was that of the configuration, and not learned."""
    torch.manual_seed(0)
    model = VideoBertForRetrieval(config()).eval()
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights.pop("pairs.logit_scale").tolist() == pytest.approx([math.log(10)])
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with quiet_transformers():
        again = VideoBertForRetrieval.from_pretrained(tmp_path).eval()
    is_video = torch.tensor([0, 0, 0, 1, 1])
    torch.testing.assert_close(
        again.embed(**packed(), is_video=is_video), model.embed(**packed(), is_video=is_video)
    )
    assert again.pairs.logit_scale.tolist() == pytest.approx([math.log(10)])


def test_clips_are_scored_where_there_is_a_label():
    torch.manual_seed(0)
    model = VideoBertForClipScoring(config()).eval()
    inputs = packed()
    labels = torch.full(inputs["input_ids"].shape, -100.0)
    labels[inputs["input_ids"] >= WORDS.visual_offset] = 0.75
    output = model(**inputs, labels=labels)
    assert len(output.losses) == sum(map(len, CLIPS))
    asked = output.logits[labels > 0]
    expected = -(0.75 * F.logsigmoid(asked) + 0.25 * F.logsigmoid(-asked)).mean()
    torch.testing.assert_close(output.loss, expected)


def test_a_head_goes_on_top_of_a_pretrained_encoder_and_is_saved_with_it(tmp_path: Path):
    torch.manual_seed(0)
    pretrained = VideoBertForPreTraining(config())
    pretrained.save_pretrained(tmp_path / "pretrained")
    with quiet_transformers():
        model = VideoBertForClassification.from_pretrained(
            tmp_path / "pretrained", id2label={0: "cut", 1: "peel"}, label2id={"cut": 0, "peel": 1}
        )
    for name, weight in pretrained.bert.state_dict().items():
        torch.testing.assert_close(model.bert.state_dict()[name], weight)
    model.eval().save_pretrained(tmp_path / "tuned")
    again = VideoBertForClassification.from_pretrained(tmp_path / "tuned").eval()
    torch.testing.assert_close(again(**packed()).logits, model(**packed()).logits)
    assert again.config.id2label == {0: "cut", 1: "peel"}


def test_a_frozen_encoder_neither_learns_nor_drops():
    torch.manual_seed(0)
    model = VideoBertForClassification(config(num_labels=2, hidden_dropout_prob=0.5))
    model.freeze_encoder()
    model.train()
    assert not model.bert.training
    assert model.dropout.training
    model(**packed(), labels=torch.tensor([0, 1, 0, 1, 0])).loss.backward()
    assert all(parameter.grad is None for parameter in model.bert.parameters())
    assert model.classifier.weight.grad.abs().sum() > 0
