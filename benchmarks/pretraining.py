"""Useful tokens a second: BertForMaskedLM with Hugging Face's padding collator against vbert's step.

    python -m benchmarks.pretraining                     # the packaged MiniLM encoder
    python -m benchmarks.pretraining --bert bert-base-uncased --tokens 32768 --precision bf16 --compile

Both train on the same sequences (97 tokens in the mean, half words and half of 20,736 visual tokens), with
the same weights, optimiser, precision and cores, in turns. A useful token is one that is not padding.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertForMaskedLM, DataCollatorForLanguageModeling

from benchmarks.gpu_results import synchronize
from benchmarks.sequences import LONGEST, MEAN_LENGTH, NUM_VISUAL_TOKENS, make_sequences
from vbert.documents.micro_batches import micro_batches
from vbert.documents.sequences import Batch, TrainingSequence, packed_rows, random_generator
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.encoders import bert_checkpoint, bert_config, joint_vocabulary, quiet_transformers
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.model.varlen_attention import VARLEN, can_use_varlen
from vbert.text.joint_vocabulary import JointVocabulary
from vbert.training.compilation import compile_model
from vbert.training.objective import train_step
from vbert.training.optimization import (
    OptimizerConfig,
    Precision,
    autocast,
    make_optimizer,
    peak_flops,
    training_flops,
    update,
    uses_bf16,
)
from vbert.training.pretraining import PRETRAINING
from vbert.training.row_dropout import drop_by_rows

OPTIMIZER = OptimizerConfig(learning_rate=1e-5)


def main() -> None:
    """Measure in turns, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bert", default="minilm", help="checkpoint (a name, a folder, or minilm)")
    parser.add_argument("--random-weights", action="store_true", help="sizes of a folder that has no weights")
    parser.add_argument("--tokens", type=int, default=4096, help="positions of a step of ours")
    parser.add_argument("--steps", type=int, default=6, help="steps of each, in turns")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true", help="torch.compile both")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    vocabulary = joint_vocabulary(options.bert, num_visual_tokens=NUM_VISUAL_TOKENS)
    contestants: dict[str, Any] = {
        "BertForMaskedLM, padded": HuggingFace(options, vocabulary, device),
        "vbert, packed": Ours(options, vocabulary, device),
    }
    sequences = make_sequences(vocabulary, count=20 * (options.steps + 2) * options.tokens // MEAN_LENGTH)
    batches = {name: contestant.batches(sequences) for name, contestant in contestants.items()}
    seconds = dict.fromkeys(contestants, 0.0)
    useful = dict.fromkeys(contestants, 0)
    computed = dict.fromkeys(contestants, 0)
    for step in range(options.steps + 2):
        for name, contestant in contestants.items():
            batch, num_useful, num_computed = next(batches[name])
            start_seconds = time.perf_counter()
            contestant.step(batch)
            if step >= 2:  # the first two warm up
                seconds[name] += time.perf_counter() - start_seconds
                useful[name] += num_useful
                computed[name] += num_computed
    rates = {name: useful[name] / seconds[name] for name in contestants}
    (slow, fast) = rates.values()
    print(f"{device}, {options.precision}, {torch.get_num_threads()} threads, {options.bert}")
    for name, rate in rates.items():
        share = useful[name] / computed[name]
        print(f"{name:26} {rate:10,.0f} useful tokens/s, {share:6.1%} of positions useful")
    mfu = (
        contestants["vbert, packed"].flops / seconds["vbert, packed"] / peak_flops(device, options.precision)
    )
    print(f"ratio {fast / slow:.1f}; MFU of vbert {mfu:.2f}")


Batches = Iterator[tuple[Any, int, int]]  # a batch, its useful and its computed positions


class Ours:
    """Packed rows, the head where there is a mask."""

    def __init__(
        self, options: argparse.Namespace, vocabulary: JointVocabulary, device: torch.device
    ) -> None:
        self.options, self.vocabulary, self.device = options, vocabulary, device
        config = from_bert_config(bert_config(options.bert), num_visual_tokens=NUM_VISUAL_TOKENS)
        config.attention_probs_dropout_prob = 0.0
        self.model = load(VideoBertForPreTraining, options, config).to(device).train()
        self.encoder_size = sum(p.numel() for p in self.model.bert.encoder.parameters())
        drop_by_rows(self.model)
        dtype = torch.bfloat16 if uses_bf16(device, options.precision) else torch.float32
        if can_use_varlen(device, dtype, dropout=0.0):
            self.model.set_attn_implementation(VARLEN)
        if options.compile:
            compile_model(self.model, "ddp", layers=self.model.bert.encoder.layer)
        self.optimizer = make_optimizer(self.model, OPTIMIZER)
        self.number, self.flops = 0, 0.0

    def batches(self, sequences: Sequence[TrainingSequence]) -> Batches:
        """As many rows as make the tokens of a step."""
        rows = packed_rows(sequences, self.vocabulary, row_length=LONGEST, chance=random_generator(0))
        height = self.options.tokens // LONGEST
        for first in range(0, len(rows["input_ids"]), height):
            mine = {0: {name: values[first : first + height] for name, values in rows.items()}}
            (batch,) = micro_batches(mine, count=1, rows_per_micro_batch=height, seed=0, step=first)
            yield batch, int((batch["sequence_ids"] > 0).sum()), batch["input_ids"].size

    def step(self, batch: Batch) -> None:
        """One optimiser step, as the job makes it."""
        precision: Precision = self.options.precision
        train_step(
            PRETRAINING,
            self.model,
            self.optimizer,
            {0: batch},
            OPTIMIZER,
            step=self.number,
            num_steps=1000,
            seed=0,
            device=self.device,
            precision=precision,
        )
        synchronize(self.device)
        self.number += 1
        if self.number > 2:
            self.flops += training_flops(
                encoder_size=self.encoder_size,
                num_layers=self.model.config.num_hidden_layers,
                hidden_size=self.model.config.hidden_size,
                vocabulary_size=self.model.config.joint_vocab_size,
                num_positions=int((batch["sequence_ids"] > 0).sum()),
                row_length=LONGEST,
                num_masked=int((batch["labels"] >= 0).sum()),
            )


class HuggingFace:
    """BertForMaskedLM with the joint vocabulary's size, and DataCollatorForLanguageModeling."""

    def __init__(
        self, options: argparse.Namespace, vocabulary: JointVocabulary, device: torch.device
    ) -> None:
        self.options, self.device = options, device
        config = bert_config(options.bert)
        self.model = load(BertForMaskedLM, options, config)
        with quiet_transformers():
            self.model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
        self.model.to(device).train()
        self.forward: Callable[..., Any] = torch.compile(self.model) if options.compile else self.model
        self.optimizer = make_optimizer(self.model, OPTIMIZER)
        tokenizer = AutoTokenizer.from_pretrained(bert_checkpoint(options.bert))
        self.collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        self.number, self.flops = 0, 0.0

    def batches(self, sequences: Sequence[TrainingSequence]) -> Batches:
        """As many sequences as come to the tokens of a step, padded to the longest of them."""
        size = max(1, self.options.tokens // MEAN_LENGTH)
        for first in range(0, len(sequences), size):
            part = sequences[first : first + size]
            # The collator masks for itself; what it gets are the ids with the answers put back.
            ids = [np.where(s.labels >= 0, s.labels, s.input_ids) for s in part]
            batch = self.collate([{"input_ids": row.tolist()} for row in ids])
            yield batch, sum(map(len, ids)), batch["input_ids"].numel()

    def step(self, batch: Any) -> None:
        """One optimiser step."""
        inputs = {name: values.to(self.device) for name, values in batch.items()}
        with autocast(self.device, self.options.precision):
            loss = self.forward(**inputs).loss
        loss.backward()
        update(self.model, self.optimizer, OPTIMIZER, step=self.number, num_steps=1000)
        synchronize(self.device)
        self.number += 1


def load(kind: Any, options: argparse.Namespace, config: Any) -> Any:
    """The checkpoint's weights, or random ones."""
    with quiet_transformers():
        if options.random_weights:
            return kind(config)
        return kind.from_pretrained(bert_checkpoint(options.bert), config=config)


if __name__ == "__main__":
    main()
