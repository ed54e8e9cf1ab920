"""DDP and FSDP2 in two real processes against one, on a CPU, compiled and not."""

import os
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.nn.parallel import DistributedDataParallel

from tests.tiny import NUM_VISUAL_TOKENS, bert_config
from tests.training.test_pretraining import CPU, OPTIMIZER, WORDS, batches_of, new_model
from vbert.documents.data_streams import streams_of_worker
from vbert.documents.micro_batches import micro_batches
from vbert.documents.sequences import Batch
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.encoders import quiet_transformers
from vbert.model.modeling_heads import VideoBertForRetrieval
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.base import Inputs, TaskOptions
from vbert.tasks.finetuning import Finetuning
from vbert.tasks.retrieval import Retrieval
from vbert.training import pretraining
from vbert.training.checkpoints import WHOLE_ON_RANK_0, load_optimizer, save_checkpoint
from vbert.training.compilation import checkpoint_activations, compile_model
from vbert.training.objective import Objective, Tally, evaluate_batches, train_step
from vbert.training.optimization import Precision, Strategy, make_optimizer
from vbert.training.parallel import parallelize
from vbert.training.pretraining import PRETRAINING
from vbert.training.row_dropout import drop_by_rows

NUM_STREAMS = 3  # two workers have two and one
NUM_STEPS = 4


def train(
    rank: int,
    num_workers: int,
    strategy: Strategy,
    folder: Path,
    *,
    first: int = 0,
    start: Path | None = None,
) -> None:
    """Some steps of a run of NUM_STEPS; leaves its losses and a checkpoint in the folder. Those of the second
    half compute activations again, and two workers have them compiled."""
    if start is None:
        model = new_model(attention_probs_dropout_prob=0.0)
    else:
        with quiet_transformers():
            model = VideoBertForPreTraining.from_pretrained(start).train()
    drop_by_rows(model)
    if first:
        checkpoint_activations(model)
    if first and num_workers == 2:
        compile_model(model, strategy, layers=model.bert.encoder.layer)
    wrapped = parallelize(model, strategy, layers=model.bert.encoder.layer)
    optimizer = make_optimizer(wrapped, OPTIMIZER)
    if start is not None:
        load_optimizer(start, wrapped, optimizer)
    losses = []
    streams = streams_of_worker(rank, num_workers=num_workers, num_streams=NUM_STREAMS)
    for step in range(first, NUM_STEPS if first else NUM_STEPS // 2):
        batches = batches_of(range(24), epoch=step, at_most=3)
        mine = micro_batches(
            {stream: batches[stream] for stream in streams},
            count=2,
            rows_per_micro_batch=5 if num_workers == 1 else 3,
            seed=0,
            step=step,
        )
        tally, norm = train_step(
            PRETRAINING,
            wrapped,
            optimizer,
            dict(enumerate(mine)),
            OPTIMIZER,
            step=step,
            num_steps=NUM_STEPS,
            seed=0,
            device=CPU,
            num_passes=2,
        )
        losses += [loss_of(tally), float(norm)]
    unseen = batches_of(range(100, 112), epoch=0, at_most=1)[:3]  # more than one each, and not as many each
    losses.append(loss_of(evaluate_batches(PRETRAINING, wrapped, unseen, device=CPU)))
    save_checkpoint(folder, wrapped, optimizer, tokenizer_json=WORDS.tokenizer_json, progress={})
    if rank == 0:
        torch.save(torch.tensor(losses), folder / "losses.pt")


def contrast(rank: int, num_workers: int, folder: Path) -> None:
    """A step of pretraining and one of fine-tuning that tell pairs apart; leaves their gradients.

    Of two workers one has twice the streams, and four of seven examples.
    """
    streams = streams_of_worker(rank, num_workers=num_workers, num_streams=NUM_STREAMS)
    batches = batches_of(range(24), epoch=0, at_most=3, with_pairs=True)
    mine = {stream: batches[stream] for stream in streams}
    num_rows = 9 if num_workers == 1 else 6
    pretrained, sharded = (
        new_model(attention_probs_dropout_prob=0.0, contrastive_loss_weight=1.0) for _ in range(2)
    )
    drop_by_rows(pretrained)
    drop_by_rows(sharded)
    (rows,) = micro_batches(mine, count=1, rows_per_micro_batch=num_rows, seed=0, step=0)
    config = from_bert_config(
        bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    tuned = VideoBertForRetrieval(config).train()
    task = Retrieval(TaskOptions(), {})
    captions = ["cut the egg", "peel it", "cut the egg", "fry it", "wash it", "salt it", "pour it"]
    examples = [
        {"captions": [text], "visual_tokens": [at, at + 9], "said": ""} for at, text in enumerate(captions)
    ]
    inputs = Inputs(vocabulary=WORDS, row_length=64)
    chosen = task.batch_with_targets(examples[rank::num_workers], inputs)
    runs: list[tuple[str, Strategy, Objective, Any, Batch]] = [
        ("pretrained", "ddp", PRETRAINING, pretrained, rows),
        ("sharded", "fsdp", PRETRAINING, sharded, rows),
        ("tuned", "ddp", Finetuning(task), tuned, chosen),
    ]
    for name, strategy, objective, model, batch in runs:
        wrapped = parallelize(model, strategy, layers=model.bert.encoder.layer)
        optimizer = make_optimizer(wrapped, OPTIMIZER)
        unclipped = replace(OPTIMIZER, max_gradient_norm=1e9)
        how = {"step": 0, "num_steps": 1, "seed": 0, "device": CPU}
        tally, _ = train_step(objective, wrapped, optimizer, {rank: batch}, unclipped, **how)
        state = get_optimizer_state_dict(wrapped, optimizer, options=WHOLE_ON_RANK_0).get("state", {})
        told = tally.over_workers().cells
        if rank == 0:
            # Adam's first moments are a tenth of the gradients.
            gradients = {name: 10 * moments["exp_avg"] for name, moments in state.items()}
            torch.save({**gradients, "tally": told}, folder / f"{name}-{num_workers}.pt")


def loss_of(tally: Tally) -> float:
    """Of all processes."""
    return PRETRAINING.metrics(tally.over_workers())["loss"]


def worker(rank: int, root: Path) -> None:
    """Both strategies, each from the start and from what one process began."""
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "29517", "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    # Graphs, without Inductor's minute of C++; so few labels as these fill up to the same number seldom.
    nn.Module.compile = partialmethod(nn.Module.compile, backend="aot_eager")  # type: ignore[assignment]
    pretraining.LABEL_STEP = 4
    # Gradients of 1 MB at a time, as a large model's of 25: the graph is parted where they are exchanged.
    ddp: Any = DistributedDataParallel
    ddp.__init__ = partialmethod(ddp.__init__, bucket_cap_mb=1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    strategies: tuple[Strategy, ...] = ("ddp", "fsdp")
    for strategy in strategies:
        train(rank, 2, strategy, root / f"{strategy}-first")
        train(rank, 2, strategy, root / f"{strategy}-second", first=NUM_STEPS // 2, start=root / "one-first")
    contrast(rank, 2, root)
    losses_in_bf16(rank, 2, root)
    dist.destroy_process_group()


def losses_in_bf16(rank: int, num_workers: int, root: Path) -> None:
    """Two steps in bfloat16; leaves the losses, and what the first layer's weights are when they are used."""
    precision: Precision = "bf16"
    model = new_model(attention_probs_dropout_prob=0.0)
    drop_by_rows(model)
    layers = model.bert.encoder.layer
    wrapped = parallelize(model, "fsdp", layers=layers, in_bf16=True)
    optimizer = make_optimizer(wrapped, OPTIMIZER)
    seen, losses = set(), []
    layers[0].attention.self.query.register_forward_pre_hook(lambda layer, _: seen.add(layer.weight.dtype))
    for step in range(2):
        batches = batches_of(range(24), epoch=step, at_most=4)[:2]
        mine = {at: batches[at] for at in range(rank, 2, num_workers)}
        rows = micro_batches(mine, count=1, rows_per_micro_batch=8 // num_workers, seed=0, step=step)
        tally, _ = train_step(
            PRETRAINING, wrapped, optimizer, dict(enumerate(rows)), OPTIMIZER,
            step=step, num_steps=NUM_STEPS, seed=0, device=CPU, precision=precision,
        )  # fmt: skip
        losses.append(loss_of(tally))
    if rank == 0:
        torch.save((losses, seen, {p.dtype for p in model.parameters()}), root / f"bf16-{num_workers}.pt")


@pytest.mark.slow
def test_two_processes_compute_what_one_does_and_take_over_from_it(tmp_path: Path):
    """The losses, the gradients' lengths and the validation loss of DDP and of FSDP2; and the gradients of
    pairs that are told from those of both processes."""
    for name in ("one", "ddp", "fsdp"):
        for half in ("first", "second"):
            (tmp_path / f"{name}-{half}").mkdir()
    train(0, 1, "ddp", tmp_path / "one-first")
    train(0, 1, "ddp", tmp_path / "one-second", first=NUM_STEPS // 2, start=tmp_path / "one-first")
    contrast(0, 1, tmp_path)
    # Both are copies of a process that has imported what they take.
    torch.multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    torch.multiprocessing.start_processes(worker, (tmp_path,), nprocs=2, start_method="forkserver")
    for name in ("pretrained", "sharded", "tuned"):
        expected, found = (torch.load(tmp_path / f"{name}-{count}.pt") for count in (1, 2))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        (gradient,) = (float(found[key]) for key in found if key.endswith("logit_scale"))
        assert abs(gradient) > 1e-3
    for half in ("first", "second"):
        expected = torch.load(tmp_path / f"one-{half}" / "losses.pt")
        assert len(expected) == 2 * (NUM_STEPS // 2) + 1
        for strategy in ("ddp", "fsdp"):
            found = torch.load(tmp_path / f"{strategy}-{half}" / "losses.pt")
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            for name in ("config.json", "modeling_videobert.py", "processing_videobert.py"):
                saved = (tmp_path / f"{strategy}-{half}" / name).read_text()
                assert saved == (tmp_path / f"one-{half}" / name).read_text()
    losses_in_bf16(0, 1, tmp_path)
    expected, _, _ = torch.load(tmp_path / "bf16-1.pt")
    found, gathered, kept = torch.load(tmp_path / "bf16-2.pt")
    assert found == pytest.approx(expected, rel=1e-3)
    assert (gathered, kept) == ({torch.bfloat16}, {torch.float32})
