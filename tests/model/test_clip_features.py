"""Heads that see continuous features, against sums that are computed here."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.model.encoders import quiet_transformers
from vbert.model.head_features import HeadFeatures, Moments
from vbert.model.modeling_captioning import VideoBertForCaptioning
from vbert.model.modeling_heads import VideoBertForClassification
from vbert.model.modeling_videobert import VideoBertForPreTraining, VideoBertModel
from vbert.tasks.base import to_tensors
from vbert.tasks.examples import packed_inputs, padded_inputs, sequence_of
from vbert.training.checkpoints import load_optimizer, save_checkpoint
from vbert.training.optimization import OptimizerConfig, make_optimizer, update

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = vocabulary()
CPU = torch.device("cpu")
DIM = 6
CLIPS = [[1, 2, 3], [4], [5, 6, 7, 8]]
TEXTS = ["cut the egg", "", "peel"]
VECTORS = [np.random.default_rng(number).normal(3, 2, (len(mine), DIM)) for number, mine in enumerate(CLIPS)]
MEAN, SCALE = np.linspace(1, 2, DIM), np.linspace(0.5, 3, DIM)


def config(kind: str) -> VideoBertConfig:
    return from_bert_config(
        bert_config(initializer_range=0.3),
        num_visual_tokens=NUM_VISUAL_TOKENS,
        id2label={0: "cut", 1: "peel", 2: "fry"},
        head_features=kind,
        head_feature_dim=None if kind == "tokens" else DIM,
    )


def classifier(kind: str) -> Any:
    torch.manual_seed(0)
    model = VideoBertForClassification(config(kind)).eval()
    HeadFeatures(kind=kind, mean=MEAN.astype(np.float32), scale=SCALE.astype(np.float32)).standardise(model)
    return model


def sequences(clips: list[list[int]] = CLIPS) -> list[Any]:
    return [
        sequence_of(WORDS.encode([text])[0], tokens, WORDS, row_length=32, features=vectors)
        for text, tokens, vectors in zip(TEXTS, clips, VECTORS, strict=True)
    ]


def packed(clips: list[list[int]] = CLIPS) -> dict[str, torch.Tensor]:
    return to_tensors(packed_inputs(sequences(clips), WORDS, row_length=32), CPU)


def projected(model: Any, number: int) -> np.ndarray:
    """A sequence's clips [num_clips, D], by NumPy."""
    layer = model.bert.clip_features.projection
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    found: np.ndarray = (VECTORS[number] - MEAN) / SCALE @ weight.T + bias
    return found


def states_alone(model: Any, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    """The plain encoder's states with the same weights."""
    encoder = VideoBertModel(model.config).eval()
    encoder.load_state_dict(model.bert.state_dict(), strict=False)
    tokens = {name: values for name, values in inputs.items() if name != "visual_features"}
    found: np.ndarray = encoder(**tokens).last_hidden_state.numpy()
    return found


@torch.no_grad()
def test_at_clips_a_fused_head_sees_the_sum_of_their_states_and_their_projected_features():
    model, inputs = classifier("fused"), packed()
    found = model.encoded(**inputs).last_hidden_state.numpy()
    expected = states_alone(model, inputs)
    is_clip = (inputs["input_ids"] >= WORDS.visual_offset).numpy()
    for number in range(len(CLIPS)):
        expected[is_clip & (inputs["sequence_ids"] == number).numpy()] += projected(model, number)
    used = (inputs["sequence_ids"] >= 0).numpy()
    np.testing.assert_allclose(found[used], expected[used], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("is_packed", [True, False])
def test_of_features_alone_the_encoder_sees_the_text_and_the_head_the_projections(is_packed: bool):
    model = classifier("features")
    inputs = packed() if is_packed else to_tensors(padded_inputs(sequences(), WORDS), CPU)
    encoded = model.encoded(**inputs)
    pooled = model.pooled(encoded, **inputs).numpy()
    width = model.config.hidden_size
    for number in range(len(CLIPS)):
        np.testing.assert_allclose(pooled[number, width:], projected(model, number).mean(0), atol=1e-4)
    # "[CLS] cut the egg [>] [SEP]" at the places that it has among its clips.
    text = to_tensors(
        padded_inputs([sequence_of(WORDS.encode(["cut the egg"])[0], [1], WORDS, row_length=32)], WORDS), CPU
    )
    text = {name: values[:, [0, 1, 2, 3, 4, 6]] for name, values in text.items()}
    text["position_ids"] = torch.tensor([[0, 1, 2, 3, 4, 8]])
    np.testing.assert_allclose(pooled[0, :width], states_alone(model, text)[0, 0], atol=1e-4)
    other = [[9] * len(mine) for mine in CLIPS]
    assert torch.equal(model(**packed(other)).logits, model(**packed()).logits)


@torch.no_grad()
def test_a_fused_model_is_saved_with_its_scale_and_refuses_clips_without_features(tmp_path: Path):
    model = classifier("fused")
    model.save_pretrained(tmp_path)
    again = VideoBertForClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(**packed()).logits, model(**packed()).logits)
    tokens = {name: values for name, values in packed().items() if name != "visual_features"}
    with pytest.raises(ValueError, match="head_features fused need input_ids and visual_features"):
        again(**tokens)


def test_a_head_on_a_pretrained_model_begins_with_no_shift_and_the_scale_one(tmp_path: Path):
    VideoBertForPreTraining(config("tokens")).save_pretrained(tmp_path)
    with quiet_transformers():
        model: Any = VideoBertForClassification.from_pretrained(
            tmp_path, head_features="fused", head_feature_dim=DIM
        )
    clips = model.bert.clip_features
    assert (clips.mean.tolist(), clips.scale.tolist()) == ([0.0] * DIM, [1.0] * DIM)
    assert clips.projection.weight.std() > 0
    assert not clips.projection.bias.any()


@torch.no_grad()
def test_a_model_of_before_opens_and_answers_as_it_did(tmp_path: Path):
    """Its configuration says nothing of features."""
    model = classifier("tokens")
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    for name in ("head_features", "head_feature_dim"):
        del saved[name]
    file.write_text(json.dumps(saved))
    again = VideoBertForClassification.from_pretrained(tmp_path).eval()
    inputs = {name: values for name, values in packed().items() if name != "visual_features"}
    states = torch.from_numpy(states_alone(model, inputs))
    is_clip = inputs["input_ids"] >= WORDS.visual_offset
    for number, logits in enumerate(again(**inputs).logits):
        here = inputs["sequence_ids"] == number
        pooled = torch.cat([states[here][0], states[here & is_clip].mean(0)])
        torch.testing.assert_close(logits, model.classifier(pooled), atol=1e-4, rtol=1e-4)


def test_a_linear_probe_learns_the_projection_and_not_the_encoder():
    model = classifier("fused")
    model.freeze_encoder()
    model.train()
    model(**packed(), labels=torch.tensor([0, 1, 2])).loss.backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert learned == {
        *(f"bert.clip_features.projection.{name}" for name in ("weight", "bias")),
        *(f"classifier.{name}" for name in ("weight", "bias")),
    }


def names_of_head(model: Any) -> set[str]:
    head = {id(parameter) for parameter in model.head_parameters()}
    return {name.rpartition(".")[0] for name, parameter in model.named_parameters() if id(parameter) in head}


def test_a_head_is_what_is_new_and_no_transformer(tmp_path: Path):
    assert names_of_head(classifier("fused")) == {"bert.clip_features.projection", "classifier"}
    assert names_of_head(classifier("tokens")) == {"classifier"}
    VideoBertForPreTraining(config("tokens")).save_pretrained(tmp_path)
    with quiet_transformers():
        writer = VideoBertForCaptioning.on_top_of(
            str(tmp_path), num_layers=1, start_id=WORDS.cls_id, end_id=WORDS.sep_id, pad_id=WORDS.pad_id,
            head_features="fused", head_feature_dim=DIM,
        )  # fmt: skip
    assert names_of_head(writer) == {"encoder.clip_features.projection"}


def test_a_fine_tuning_goes_on_with_the_moments_and_the_rate_of_its_head(tmp_path: Path):
    options = OptimizerConfig(learning_rate=0.01, warmup_share=0.0)

    def learn(model: Any, optimizer: torch.optim.AdamW, *, step: int) -> None:
        model(**packed(), labels=torch.tensor([0, 1, 2])).loss.backward()
        update(model, optimizer, options, step=step, num_steps=4)

    def optimizer_of(model: Any) -> torch.optim.AdamW:
        return make_optimizer(model, options, head=model.head_parameters(), head_rate=20)

    model = classifier("fused")
    optimizer = optimizer_of(model)
    learn(model, optimizer, step=0)
    save_checkpoint(tmp_path, model, optimizer, tokenizer_json=WORDS.tokenizer_json, progress={"step": 1})
    with quiet_transformers():
        again = VideoBertForClassification.from_pretrained(tmp_path).eval()
    other = optimizer_of(again)
    load_optimizer(tmp_path, again, other)
    learn(model, optimizer, step=1)
    learn(again, other, step=1)
    assert [group["lr"] for group in other.param_groups] == pytest.approx([0.01, 0.01, 0.2, 0.2])
    for (name, found), expected in zip(again.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)


@torch.no_grad()
def test_a_caption_writer_attends_to_the_sums(tmp_path: Path):
    torch.manual_seed(0)
    VideoBertForPreTraining(config("tokens")).save_pretrained(tmp_path)
    with quiet_transformers():
        writer: Any = VideoBertForCaptioning.on_top_of(
            str(tmp_path), num_layers=1, start_id=WORDS.cls_id, end_id=WORDS.sep_id, pad_id=WORDS.pad_id,
            head_features="fused", head_feature_dim=DIM,
        ).eval()  # fmt: skip
    HeadFeatures(kind="fused", mean=MEAN.astype(np.float32), scale=SCALE.astype(np.float32)).standardise(
        writer
    )
    inputs = to_tensors(padded_inputs(sequences(), WORDS), CPU)
    start = torch.full((3, 1), WORDS.cls_id)
    found = writer(**inputs, decoder_input_ids=start).logits
    states = states_alone(writer_as_head(writer), inputs)
    is_clip = (inputs["input_ids"] >= WORDS.visual_offset).numpy()
    for number in range(len(CLIPS)):
        states[number, is_clip[number]] += projected(writer, number)
    expected = writer.decoder(
        start,
        encoder_hidden_states=torch.from_numpy(states),
        encoder_attention_mask=inputs["attention_mask"],
    ).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    first = writer.generate(**inputs, num_beams=2, max_new_tokens=1)[:, -1]
    assert first.tolist() == expected[:, -1].argmax(-1).tolist()


def writer_as_head(writer: Any) -> Any:
    """With its encoder's configuration in the place of its own."""
    return SimpleNamespace(bert=writer.bert, config=writer.config.encoder)


def test_features_are_standardised_as_scikit_learn_does():
    chance = np.random.default_rng(0)
    parts = [chance.normal(5, [1, 0.01, 100, 1], (count, 4)).astype(np.float16) for count in (7, 1, 20)]
    for part in parts:
        part[:, 3] = 0.3  # does not vary
    found = HeadFeatures.standardised(
        "fused", sum((Moments.of(part) for part in parts[1:]), Moments.of(parts[0]))
    )
    scaler = StandardScaler().fit(np.concatenate(parts).astype(np.float64))
    np.testing.assert_allclose(found.mean, scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(found.scale, scaler.scale_, rtol=1e-5)
    again = HeadFeatures.from_json("fused", json.loads(json.dumps(found.to_json())))
    np.testing.assert_array_equal(again.scale, found.scale)
