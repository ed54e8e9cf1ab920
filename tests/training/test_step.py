"""The step as GPUs take it, on a CPU: against one that looks for its places on the device, draws a mask of
[L, L] and compiles nothing."""

from collections.abc import Iterator
from functools import partialmethod
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests.tiny import NUM_WORD_PIECES
from tests.training.test_pretraining import CPU, OPTIMIZER, batches_of, new_model, rows_of
from vbert.documents.micro_batches import micro_batches
from vbert.model import modeling_videobert, varlen_attention
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.training import pretraining
from vbert.training.compilation import checkpoint_activations, compile_model
from vbert.training.memory import tokens_in
from vbert.training.objective import train_step
from vbert.training.optimization import autocast, make_optimizer
from vbert.training.pretraining import LABEL_STEP, PRETRAINING, places, sequence_starts
from vbert.training.row_dropout import drop_by_rows


def outcome_of(model: VideoBertForPreTraining, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of the loss, the tally's cells and the encoder's and the head's gradients."""
    model.zero_grad()
    parts, cells = PRETRAINING.outcome(model, inputs)
    parts.sum().backward()
    named = dict(model.named_parameters())
    watched = ("bert.encoder.layer.0.attention.self.query.weight", "bert.embeddings.visual_embeddings.weight")
    gradients = [named[name].grad for name in watched]
    return parts, cells, torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


def inputs_of(videos: range) -> dict[str, Tensor]:
    return PRETRAINING.tensors(rows_of(videos, epoch=0))


def test_places_found_in_advance_are_those_that_the_model_finds():
    """Losses and gradients: by places against masks of bools, and of the vocabulary's head in parts."""
    model = new_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    rows = rows_of(range(12), epoch=0)
    inputs = PRETRAINING.tensors(rows)
    found = outcome_of(model, inputs)
    plain = {name: torch.from_numpy(values).long() for name, values in rows.items() if name != "regimes"}
    model.zero_grad()
    output = model(**plain)
    assert output.prediction_losses is not None
    assert output.alignment_losses is not None
    sums = torch.stack([output.prediction_losses.sum(), output.alignment_losses.sum()])
    sums.sum().backward()
    torch.testing.assert_close(found[0][:2], sums)
    expected = model.bert.encoder.layer[0].attention.self.query.weight.grad
    assert expected is not None
    torch.testing.assert_close(found[2][: expected.numel()], expected.flatten(), atol=1e-5, rtol=1e-4)


def test_the_heads_losses_are_torchs_linear_cross_entropy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(modeling_videobert, "POSITIONS_AT_ONCE", 7)
    model, labels = new_model(), torch.tensor([3, -100, NUM_WORD_PIECES + 18] * 6)
    states = torch.randn(18, model.config.hidden_size)
    found, _ = model._predictions(states, labels)
    head, embeddings = model.cls.predictions, model.bert.embeddings
    weights = torch.cat([embeddings.word_embeddings.weight, embeddings.visual_embeddings.weight])
    biases = torch.cat([head.bias, head.visual_bias])
    how = {"reduction": "none", "options": nn.LinearCrossEntropyOptions(batch_chunk_size=5)}
    expected = F.linear_cross_entropy(head.transform(states), weights, labels, linear_bias=biases, **how)
    torch.testing.assert_close(found, expected)


def test_the_heads_parts_add_up(monkeypatch: pytest.MonkeyPatch):
    model = new_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    inputs = inputs_of(range(12))
    at_once = outcome_of(model, inputs)
    monkeypatch.setattr(modeling_videobert, "POSITIONS_AT_ONCE", 7)
    torch.testing.assert_close(outcome_of(model, inputs), at_once)


def test_places_fill_up_to_a_multiple_and_ask_for_nothing_there():
    labels = rows_of(range(30), epoch=0)["labels"]
    positions, wanted = places(labels)
    assert len(positions) == len(wanted)
    assert len(positions) % (labels.size // LABEL_STEP) == 0
    is_label = wanted != -100
    assert (labels.ravel()[positions[is_label]] == wanted[is_label]).all()
    assert is_label.sum() == (labels != -100).sum()


def parts_of(*states: Tensor, starts: Tensor) -> Iterator[list[Tensor]]:
    """Each sequence's part of states [positions, N, H], as [N, positions, H]."""
    for first, last in pairwise(starts.tolist()):
        yield [each[first:last].transpose(0, 1) for each in states]


def varlen_forward(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, ends: Tensor, max_q: int, max_k: int,
    is_causal: bool, scale: float, *_: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Torch's kernel by its documentation, a sequence at a time, and what its autograd keeps."""
    assert torch.equal(starts, ends)
    assert (max_q, max_k, is_causal) == (64, 64, False)
    parts = parts_of(query, key, value, starts=starts)
    mixed = [F.scaled_dot_product_attention(*part, scale=scale).transpose(0, 1) for part in parts]
    return torch.cat(mixed), query.new_zeros(query.shape[1], len(query)), torch.zeros(2, dtype=torch.uint64)


def varlen_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, starts: Tensor,
    ends: Tensor, max_q: int, max_k: int, is_causal: bool, rng_state: Tensor, scale: float, *_: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention's gradients by hand (Dao et al. 2022, appendix B.2)."""
    found: list[list[Tensor]] = [[], [], []]
    for dO, q, k, v, o in parts_of(grad, query, key, value, out, starts=starts):
        shares = (scale * q @ k.mT).softmax(-1)
        d_scores = scale * shares * (dO @ v.mT - (dO * o).sum(-1, keepdim=True))
        for gradients, gradient in zip(found, (d_scores @ k, d_scores.mT @ q, shares.mT @ dO), strict=True):
            gradients.append(gradient.transpose(0, 1))
    return tuple(map(torch.cat, found))


@pytest.fixture
def varlen_on_cpu() -> Iterator[None]:
    """Kernels for torch's operator, which has none for a CPU; its shapes and its autograd are torch's."""
    with torch.library._scoped_library("torch_attn", "IMPL") as library:
        library.impl("_varlen_attn", varlen_forward, "CPU")
        library.impl("_varlen_attn_backward", varlen_backward, "CPU")
        yield


def test_attention_by_lengths_is_attention_under_a_mask(varlen_on_cpu: None):
    model = new_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    inputs = inputs_of(range(13))
    starts = inputs["cu_seq_lens_q"]
    assert starts[-2] == starts[-1], "the last sequence is an empty one"
    expected = outcome_of(model, inputs)
    model.set_attn_implementation(varlen_attention.VARLEN)
    torch.testing.assert_close(outcome_of(model, inputs), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="takes cu_seq_lens_q"):
        model(inputs["input_ids"])


def test_sequences_begin_where_numbers_change_and_where_rows_do():
    numbers = torch.tensor([[1, 1, 2, 0], [1, 1, 1, 1], [1, 2, 2, 2]]).numpy()
    assert sequence_starts(numbers).tolist() == [0, 2, 3, 4, 8, 9, 12]
    assert sequence_starts(numbers).dtype == "int32"


def test_sequences_fill_up_to_a_multiple_with_empty_ones():
    numbers = torch.tensor([[1] * 100 + [2] * 156, [1] * 256]).numpy()
    assert sequence_starts(numbers).tolist() == [0, 100, 256, 512]  # of 512 / 128 = 4
    assert sequence_starts(numbers[:1]).tolist() == [0, 100, 256, 256]  # of 256 / 128 = 2


@pytest.fixture
def graphs_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Graphs are made of forward and backward passes, and computed without Inductor's minute of C++."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def steps(model: VideoBertForPreTraining, *, count: int, num_steps: int = 2) -> list[float]:
    """Losses and gradients' lengths of some steps over three streams in `count` micro-batches, with pairs if
    the model tells them apart."""
    with_pairs = model.cls.contrast is not None
    optimizer = make_optimizer(model, OPTIMIZER)
    found: list[float] = []
    for step in range(num_steps):
        batches = batches_of(range(16), epoch=step, at_most=2, with_pairs=with_pairs)
        streams = dict(enumerate(batches[:3]))
        mine = micro_batches(streams, count=count, rows_per_micro_batch=-(-6 // count), seed=0, step=step)
        tally, norm = train_step(
            PRETRAINING, model, optimizer, dict(enumerate(mine)), OPTIMIZER,
            step=step, num_steps=4, seed=0, device=CPU,
        )  # fmt: skip
        found += [PRETRAINING.metrics(tally)["loss"], float(norm)]
    return found


def by_rows(**changes: float) -> VideoBertForPreTraining:
    model = new_model(attention_probs_dropout_prob=0.0, **changes)
    drop_by_rows(model)
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo's own
def test_a_step_is_one_graph_that_is_compiled_once(
    graphs_only: None, varlen_on_cpu: None, monkeypatch: pytest.MonkeyPatch
):
    """With attention by lengths; and computes what eager code does under a mask, with dropout, and with
    activations computed again. Labels and sequences fill up to larger steps here: so few of them vary more
    than a GPU's 5,000."""
    monkeypatch.setattr(pretraining, "LABEL_STEP", 4)
    monkeypatch.setattr(pretraining, "SEQUENCE_STEP", 4)
    model = by_rows(contrastive_loss_weight=1.0)
    model.set_attn_implementation(varlen_attention.VARLEN)
    checkpoint_activations(model)
    compile_model(model, "ddp", layers=model.bert.encoder.layer)
    found = steps(model, count=2, num_steps=3)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert found == pytest.approx(steps(by_rows(contrastive_loss_weight=1.0), count=2, num_steps=3), rel=1e-4)


@pytest.mark.slow
def test_compiled_no_logits_are_kept_in_float32():
    """Of M masked positions the graph of the backward pass is given logits [M, V] once, in bfloat16."""
    model, inputs = by_rows(), inputs_of(range(8))
    inputs["dropout_seeds"] = torch.arange(len(inputs["input_ids"]), dtype=torch.int32)
    model.compile(
        backend="aot_eager_decomp_partition"
    )  # parts graphs as Inductor does, and computes them eager
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append((tuple(tensor.shape), tensor.dtype))
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, autocast(CPU, "bf16"):
        PRETRAINING.outcome(model, inputs)
    logits = (len(inputs["labels"]), model.config.joint_vocab_size)
    assert [dtype for shape, dtype in kept if shape == logits] == [torch.bfloat16]


@pytest.mark.slow
def test_micro_batches_of_any_size_have_the_same_losses_with_dropout():
    expected = steps(by_rows(), count=1)
    assert steps(by_rows(), count=3) == pytest.approx(expected, rel=1e-4)
    with_torchs_dropout = new_model(attention_probs_dropout_prob=0.0)
    assert steps(with_torchs_dropout, count=3) != pytest.approx(expected, rel=1e-4)


class NothingRead(TorchDispatchMode):
    """Refuses operators whose result, or its shape, a CPU has to wait for: also those that others are made
    of, as an index by bools is of `nonzero`."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "bincount")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        assert name not in self.READS, f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("attention", ["sdpa", varlen_attention.VARLEN])
def test_a_step_reads_nothing_from_its_device(
    varlen_on_cpu: None, monkeypatch: pytest.MonkeyPatch, attention: str
):
    """What makes a CPU wait for a GPU; a GPU's own check is in benchmarks/gpu.py."""
    model = by_rows(contrastive_loss_weight=1.0)
    model.set_attn_implementation(attention)
    optimizer = make_optimizer(model, OPTIMIZER)
    rows = rows_of(range(8), epoch=0, with_pairs=True)
    (batch,) = micro_batches({0: rows}, count=1, rows_per_micro_batch=8, seed=0, step=0)

    def refuse(*_: Any) -> None:
        raise AssertionError("waits for the device")

    for name in ("cpu", "numpy"):
        monkeypatch.setattr(Tensor, name, refuse)
    with NothingRead():
        train_step(
            PRETRAINING, model, optimizer, {0: batch}, OPTIMIZER, step=0, num_steps=4, seed=0, device=CPU
        )


@pytest.mark.parametrize(("gigabytes", "tokens"), [(24, 16_384), (80, 32_768), (141, 65_536)])
def test_more_memory_takes_more_tokens(gigabytes: int, tokens: int):
    """BERT-base and the paper's vocabulary: 12 x 768 x 68 + 0.15 x 51,259 x 12 = 0.72 MB a position."""
    config = modeling_videobert.VideoBertConfig()
    assert tokens_in(gigabytes * 10**9, config) == tokens
    assert gigabytes * 10**9 / 4 < tokens * 0.72e6 <= gigabytes * 10**9 / 2
