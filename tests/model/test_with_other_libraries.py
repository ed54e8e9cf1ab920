"""What people do with any model: export it, put adapters on it, train it with another's trainer."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Trainer, TrainingArguments

from tests.tiny import bert_config
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.model.modeling_heads import VideoBertForClassification
from vbert.model.modeling_videobert import VideoBertModel

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def config() -> VideoBertConfig:
    bert = bert_config(vocab_size=99, initializer_range=0.3, hidden_dropout_prob=0.0)
    return from_bert_config(bert, num_visual_tokens=27, id2label={0: "cut", 1: "peel"})


def inputs(rows: int, length: int) -> dict[str, torch.Tensor]:
    """Of the whole joint vocabulary, with padding at each row's end but the first's."""
    chance = torch.Generator().manual_seed(rows)
    ids = torch.randint(0, config().joint_vocab_size, (rows, length), generator=chance)
    types = (torch.arange(length) > length // 2).long().expand(rows, -1).contiguous()
    mask = (torch.arange(length) < length - torch.arange(rows)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


class Encoder(torch.nn.Module):
    """What is exported: three tensors in, one out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model: Any = VideoBertModel(config()).eval()

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> torch.Tensor:
        inputs = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
        hidden: torch.Tensor = self.model(input_ids, **inputs).last_hidden_state
        return hidden


SIZES = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length", max=64)}
SHAPES = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), SIZES)


@torch.no_grad()
def test_an_exported_encoder_computes_the_same_for_other_sizes():
    encoder = Encoder()
    exported = torch.export.export(encoder, (), inputs(3, 12), dynamic_shapes=SHAPES).module()
    for rows, length in ((3, 12), (5, 31)):
        found = exported(**inputs(rows, length))
        torch.testing.assert_close(found, encoder(**inputs(rows, length)), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")  # of the exporter's own
def test_an_encoder_in_onnx_computes_the_same_in_another_runtime(tmp_path: Path):
    encoder = Encoder()
    torch.onnx.export(
        encoder, (), tmp_path / "encoder.onnx", kwargs=inputs(3, 12), dynamo=True, dynamic_shapes=SHAPES
    )
    compiled = openvino.Core().compile_model(
        tmp_path / "encoder.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for rows, length in ((3, 12), (5, 31)):
        mine = inputs(rows, length)
        (found,) = compiled({name: values.numpy() for name, values in mine.items()}).values()
        np.testing.assert_allclose(found, encoder(**mine).numpy(), atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks for it
def test_adapters_learn_and_are_opened_again_on_the_same_model(tmp_path: Path):
    torch.manual_seed(0)
    base = VideoBertForClassification(config())
    base.save_pretrained(tmp_path / "base")
    lora = LoraConfig(target_modules=["query", "value"], modules_to_save=["classifier"], r=4)
    model = get_peft_model(base, lora)
    labels = torch.tensor([0, 1, 1, 0])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(**inputs(4, 9), labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) < 0.1 * base.num_parameters()
    model.eval().save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(
        VideoBertForClassification.from_pretrained(tmp_path / "base"), tmp_path / "adapter"
    )
    with torch.no_grad():
        expected = model(**inputs(4, 9)).logits
        torch.testing.assert_close(again.eval()(**inputs(4, 9)).logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")  # of theirs, for a machine without a GPU
def test_hugging_faces_trainer_trains_and_evaluates_a_head(tmp_path: Path):
    torch.manual_seed(0)
    batch = inputs(8, 9)
    examples = [
        {**{name: values[row] for name, values in batch.items()}, "labels": torch.tensor(row % 2)}
        for row in range(8)
    ]
    trainer = Trainer(
        VideoBertForClassification(config()),
        TrainingArguments(
            str(tmp_path),
            num_train_epochs=20,
            learning_rate=0.003,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=examples,
        eval_dataset=examples,
        compute_metrics=lambda found: {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean()},
    )
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] == 1
