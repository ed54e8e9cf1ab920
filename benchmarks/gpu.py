"""All that wants a GPU, in one go of eight minutes at most: parity, training, featurizing; JSON as it goes.

    python -m benchmarks.gpu --output gpu.json
    python -m benchmarks.gpu --output gpu.json --tiny        # a rehearsal: small, and on a CPU if need be

Parity: losses and gradients of a small model by each path (attention by lengths, compiled) against float32
under a mask. Training: BERT-base's sizes, random weights, packed rows; useful tokens/s, MFU, memory, under
torch's check that nothing waits for the GPU, and one that nothing is compiled again. Featurizing: in
gpu_features.py. Takes torch and transformers, for features torchvision and PyAV, too, and no Ray; what it
wants and the machine has not is a line that says so.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from torch._dynamo.utils import counters

from benchmarks.gpu_features import FeatureSizes, measure_features
from benchmarks.gpu_results import Results, no_waiting, synchronize
from benchmarks.sequences import LONGEST, MEAN_LENGTH, NUM_VISUAL_TOKENS, make_sequences
from vbert.documents.micro_batches import micro_batches
from vbert.documents.sequences import Batch, packed_rows, random_generator
from vbert.model.configuration_videobert import VideoBertConfig
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.model.varlen_attention import VARLEN, can_use_varlen
from vbert.text.joint_vocabulary import JointVocabulary
from vbert.training.compilation import compile_model
from vbert.training.device_copies import to_device
from vbert.training.objective import train_step
from vbert.training.optimization import (
    OptimizerConfig,
    Precision,
    autocast,
    make_optimizer,
    peak_flops,
    training_flops,
)
from vbert.training.pretraining import PRETRAINING
from vbert.training.row_dropout import drop_by_rows

# Of bfloat16 against float32: 8 bits of a number are 0.4 %, and a gradient is the sum of many.
MOST_LOSS_ERROR, MOST_GRADIENT_ERROR = 0.01, 0.05
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large everything is."""

    model: VideoBertConfig
    tokens: tuple[int, ...]
    """Positions of a step, one variant each; the first is computed eager, too."""
    steps: int
    features: FeatureSizes


def bert_base(**changes: Any) -> VideoBertConfig:
    """BERT-base's sizes and the paper's visual vocabulary; no dropout of attention weights."""
    sizes = {"num_visual_tokens": NUM_VISUAL_TOKENS, "attention_probs_dropout_prob": 0.0}
    return VideoBertConfig(**(sizes | changes))


TINY_MODEL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
FULL = Sizes(
    model=bert_base(),
    tokens=(32_768, 65_536),
    steps=12,
    # A minute has 40 clips of 1.5 s.
    features=FeatureSizes(seconds=2.0, clips=40, video_seconds=30, segments_per_decoder=4, num_backbones=3),
)
TINY = Sizes(
    model=bert_base(**TINY_MODEL, vocab_size=1000),
    tokens=(512,),
    steps=2,
    features=FeatureSizes(seconds=0.01, clips=2, video_seconds=3, segments_per_decoder=2, num_backbones=1),
)


def main(arguments: list[str] | None = None) -> None:
    """Everything in turn; status 1 if a part failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="file of JSON")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal of seconds, on a CPU if need be")
    options = parser.parse_args(arguments)
    if not (torch.cuda.is_available() or options.tiny):
        raise SystemExit("benchmarks.gpu: torch sees no GPU here; --tiny rehearses on a CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = TINY if options.tiny else FULL
    results = Results(options.output)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    results.add(device=name, torch=torch.__version__)
    rows = packed(sizes)
    check_parity(rows, device, results)
    for tokens in sizes.tokens:
        for compiled in (False, True) if tokens == sizes.tokens[0] else (True,):
            with results.part(training=tokens, compiled=compiled) as is_on:
                if is_on:
                    train(sizes, rows, device, results, tokens=tokens, compiled=compiled)
    measure_features(sizes.features, device, results)
    if any("failed" in line for line in results.lines):
        raise SystemExit(1)


def packed(sizes: Sizes) -> dict[str, Any]:
    """Rows for all steps of the largest variant."""
    words = [*SPECIAL, *(f"word{number}" for number in range(sizes.model.vocab_size - len(SPECIAL)))]
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}))
    vocabulary = JointVocabulary(
        tokenizer_json=tokenizer.to_str(), num_word_pieces=len(words), num_visual_tokens=NUM_VISUAL_TOKENS
    )
    sequences = make_sequences(vocabulary, count=2 + 4 * max(sizes.tokens) // MEAN_LENGTH)
    return packed_rows(sequences, vocabulary, row_length=LONGEST, chance=random_generator(0))


def batch_of(rows: dict[str, Any], *, tokens: int, step: int) -> Batch:
    """A full micro-batch, the rows beginning elsewhere for each step."""
    height = max(1, tokens // LONGEST)
    at = (step * height) % (len(rows["input_ids"]) - height + 1)
    mine = {0: {name: values[at : at + height] for name, values in rows.items()}}
    return micro_batches(mine, count=1, rows_per_micro_batch=height, seed=0, step=step)[0]


def new_model(config: VideoBertConfig, device: torch.device, *, varlen: bool, compiled: bool) -> Any:
    """The same weights each time."""
    torch.manual_seed(0)
    torch.compiler.reset()
    model: Any = VideoBertForPreTraining(config)
    model.to(device).train()
    drop_by_rows(model)
    if varlen:
        model.set_attn_implementation(VARLEN)
    if compiled:
        compile_model(model, "ddp", layers=model.bert.encoder.layer)
    return model


def check_parity(rows: dict[str, Any], device: torch.device, results: Results) -> None:
    """Each path of the step against float32 under a mask, on a model of two layers, with dropout by rows."""
    config = bert_base(**TINY_MODEL, vocab_size=int(rows["input_ids"].max()) + 1)
    inputs = to_device(PRETRAINING.tensors(batch_of(rows, tokens=2048, step=0)), device)

    def computed(precision: Precision, *, varlen: bool, compiled: bool) -> tuple[Tensor, Tensor]:
        model = new_model(config, device, varlen=varlen, compiled=compiled)
        with autocast(device, precision):
            parts, _ = PRETRAINING.outcome(model, inputs)
        parts.sum().backward()
        gradients = [p.grad.float().flatten() for p in model.parameters() if p.grad is not None]
        return parts.detach().float(), torch.cat(gradients)

    losses, gradient = computed("fp32", varlen=False, compiled=False)
    for varlen, compiled in ((False, False), (False, True), (True, False), (True, True)):
        if varlen and not can_use_varlen(device, torch.bfloat16, dropout=0.0):
            continue
        with results.part(parity="bf16", varlen=varlen, compiled=compiled):
            found, its_gradient = computed("bf16", varlen=varlen, compiled=compiled)
            errors = {
                "loss_error": float((found - losses).norm() / losses.norm()),
                "gradient_error": float((its_gradient - gradient).norm() / gradient.norm()),
            }
            results.add(parity="bf16", varlen=varlen, compiled=compiled, **errors)
            if errors["loss_error"] > MOST_LOSS_ERROR or errors["gradient_error"] > MOST_GRADIENT_ERROR:
                raise ValueError(f"too far from float32: {errors}")


def train(
    sizes: Sizes, rows: dict[str, Any], device: torch.device, results: Results, *, tokens: int, compiled: bool
) -> None:
    """Some steps of one micro-batch, after three that warm up."""
    precision: Precision = "auto"
    varlen = can_use_varlen(device, torch.bfloat16, dropout=0.0)
    model = new_model(sizes.model, device, varlen=varlen, compiled=compiled)
    config = OptimizerConfig(learning_rate=1e-5)
    optimizer = make_optimizer(model, config)
    batches = [batch_of(rows, tokens=tokens, step=step) for step in range(sizes.steps)]

    def step(number: int) -> None:
        train_step(
            PRETRAINING, model, optimizer, {0: batches[number % len(batches)]}, config,
            step=number, num_steps=1000, seed=0, device=device, precision=precision,
        )  # fmt: skip

    before = time.perf_counter()
    for number in range(3):
        step(number)
    synchronize(device)
    warm_up_seconds = time.perf_counter() - before
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    num_graphs = counters["stats"]["unique_graphs"]
    with no_waiting(device):
        before = time.perf_counter()
        for number in range(sizes.steps):
            step(number)
    synchronize(device)
    seconds = time.perf_counter() - before
    if counters["stats"]["unique_graphs"] > num_graphs:
        raise ValueError("a step was compiled again, after three that should have been enough")
    useful = sum(int((batch["sequence_ids"] > 0).sum()) for batch in batches)
    flops = training_flops(
        encoder_size=sum(p.numel() for p in model.bert.encoder.parameters()),
        num_layers=sizes.model.num_hidden_layers,
        hidden_size=sizes.model.hidden_size,
        vocabulary_size=sizes.model.joint_vocab_size,
        num_positions=useful,
        row_length=MEAN_LENGTH,
        num_masked=sum(int((batch["labels"] >= 0).sum()) for batch in batches),
    )
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    results.add(
        training=tokens,
        compiled=compiled,
        varlen=varlen,
        useful_tokens_per_second=round(useful / seconds),
        mfu=round(flops / seconds / peak_flops(device, precision), 3),
        milliseconds_a_step=round(1000 * seconds / sizes.steps, 2),
        peak_memory_gb=round(memory / 1e9, 2),
        warm_up_seconds=round(warm_up_seconds, 1),
    )


if __name__ == "__main__":
    main()
