from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import FOODS, NUM_VISUAL_TOKENS, bert_config, bert_folder, cooking, vocabulary
from vbert.documents.data_streams import split_evenly
from vbert.documents.sequences import (
    IGNORED,
    Batch,
    Regime,
    SequenceConfig,
    packed_rows,
    random_generator,
    sequences_of_documents,
)
from vbert.errors import UserError
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.encoders import ModelConfig, quiet_transformers
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.model.starting_model import starting_model
from vbert.training.checkpoints import load_optimizer, load_pretrained, read_progress, save_checkpoint
from vbert.training.objective import Tally, evaluate_batches, train_step
from vbert.training.optimization import OptimizerConfig, make_optimizer
from vbert.training.pretraining import CELLS, PRETRAINING

WORDS = vocabulary()
CPU = torch.device("cpu")
OPTIMIZER = OptimizerConfig(learning_rate=3e-3, warmup_share=0.1)
SEQUENCES = SequenceConfig(row_length=64, max_joined_sentences=1, max_subsampling_step=1)


def new_model(**changes: float) -> VideoBertForPreTraining:
    torch.manual_seed(0)
    config = from_bert_config(bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS, **changes)
    return VideoBertForPreTraining(config).train()


def rows_of(videos: range, *, epoch: int, config: SequenceConfig = SEQUENCES) -> dict[str, np.ndarray]:
    window = [cooking(number) for number in videos]
    found = sequences_of_documents(window, WORDS, config, seed=0, epoch=epoch)
    return packed_rows(found, WORDS, row_length=64, chance=random_generator(epoch))


def batches_of(videos: range, *, epoch: int, at_most: int) -> list[Batch]:
    rows = rows_of(videos, epoch=epoch)
    return [
        {name: values[part] for name, values in rows.items()}
        for part in split_evenly(len(rows["input_ids"]), at_most=at_most)
    ]


def steps(
    model: VideoBertForPreTraining, batches: list[Mapping[int, Batch]], *, first: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[float]:  # fmt: skip
    """The losses of some steps in a row."""
    optimizer = optimizer or make_optimizer(model, OPTIMIZER)
    return [
        PRETRAINING.metrics(
            train_step(
                PRETRAINING, model, optimizer, batch, OPTIMIZER,
                step=first + number, num_steps=100, seed=0, device=CPU,
            )[0]
        )["loss"]
        for number, batch in enumerate(batches)
    ]  # fmt: skip


def test_micro_batches_add_up_to_the_whole_batch():
    """The gradient of streams of unequal size is that of the batch they make together."""
    rows = rows_of(range(12), epoch=0)
    uneven = {
        stream: {n: v[part] for n, v in rows.items()}
        for stream, part in enumerate([slice(0, 1), slice(1, 9)])
    }
    gradients = []
    unclipped = OptimizerConfig(learning_rate=1.0, warmup_share=0, max_gradient_norm=1e9)
    for batches in ({0: rows}, uneven):
        model = new_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
        before = model.cls.predictions.transform.dense.weight.detach().clone()
        train_step(
            PRETRAINING, model, optimizer, batches, unclipped,
            step=0, num_steps=1, seed=0, device=CPU,
        )  # fmt: skip
        gradients.append(before - model.cls.predictions.transform.dense.weight.detach())
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 1e-4


def test_a_tally_counts_by_regime_and_modality():
    model = new_model().eval()
    rows = rows_of(range(20), epoch=0)
    batch = {name: torch.from_numpy(values).long() for name, values in rows.items()}
    with torch.no_grad():
        output = model(**{name: value for name, value in batch.items() if name != "regimes"})
    tally = evaluate_batches(PRETRAINING, model, [rows], device=CPU)
    masked = batch["labels"] != IGNORED
    is_clip = batch["labels"] >= WORDS.visual_offset
    expected = {
        "text/words": masked & (batch["regimes"] == Regime.TEXT),
        "video/clips": masked & (batch["regimes"] == Regime.VIDEO),
        "joint/words": masked & (batch["regimes"] == Regime.JOINT) & ~is_clip,
        "joint/clips": masked & (batch["regimes"] == Regime.JOINT) & is_clip,
        "alignment": batch["alignment_labels"] != IGNORED,
    }
    counted = dict(zip(CELLS, tally.cells[:, 2].tolist(), strict=True))
    assert {name: int(here.sum()) for name, here in expected.items()} == {
        name: counted[name] for name in expected
    }
    assert output.prediction_losses is not None
    assert output.loss is not None
    assert tally.cells[:4, 0].sum() == pytest.approx(float(output.prediction_losses.sum()), rel=1e-5)
    assert PRETRAINING.metrics(tally)["loss"] == pytest.approx(float(output.loss), rel=1e-5)
    useful = (batch["sequence_ids"] > 0).sum()
    assert tally.positions.tolist() == [useful, batch["input_ids"].numel()]


def test_an_untrained_model_knows_nothing_and_a_tally_says_so():
    tally = evaluate_batches(PRETRAINING, new_model(), batches_of(range(40), epoch=0, at_most=8), device=CPU)
    means = tally.means()
    # Uniform over 30,550 ids is a loss of 10.3, and a coin's alignment one of 0.69.
    assert means["loss/text/words"] == pytest.approx(np.log(WORDS.size), abs=0.3)
    assert means["loss/alignment"] == pytest.approx(np.log(2), abs=0.1)
    assert means["accuracy/joint/words"] < 0.02


def test_tallies_add_and_cells_without_anything_are_left_out():
    cells = torch.zeros(len(CELLS), 3, dtype=torch.float64)
    cells[0] = torch.tensor([6.0, 1.0, 2.0])
    tally = Tally(CELLS, cells, torch.tensor([3.0, 4.0])) + Tally(CELLS, cells, torch.tensor([3.0, 4.0]))
    assert PRETRAINING.metrics(tally) == {"loss": 3.0, "loss/text/words": 3.0, "accuracy/text/words": 0.5}
    assert PRETRAINING.metrics(Tally.empty(CELLS)) == {"loss": 0}


def test_a_resumed_run_has_the_losses_of_an_undisturbed_one(tmp_path: Path):
    """With dropout on: what is dropped hangs on the step, not on what came before."""
    batches: list[Mapping[int, Batch]] = [
        dict(enumerate(batches_of(range(8), epoch=epoch, at_most=2))) for epoch in range(8)
    ]
    undisturbed = steps(new_model(), batches)

    model = new_model()
    optimizer = make_optimizer(model, OPTIMIZER)
    before = steps(model, batches[:4], optimizer=optimizer)
    save_checkpoint(
        tmp_path,
        model,
        optimizer,
        tokenizer_json=WORDS.tokenizer_json,
        progress={"step": 4, "vocabulary": "v"},
    )
    torch.manual_seed(12345)  # a new process has another state of chance
    with quiet_transformers():
        again = VideoBertForPreTraining.from_pretrained(tmp_path).train()
    optimizer = make_optimizer(again, OPTIMIZER)
    load_optimizer(tmp_path, again, optimizer)
    after = steps(again, batches[4:], first=read_progress(tmp_path)["step"], optimizer=optimizer)
    assert before + after == pytest.approx(undisturbed, abs=1e-6)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".py", ".safetensors"}

    found = load_pretrained(str(tmp_path))
    assert found.vocabulary.size == WORDS.size
    assert found.progress == {"step": 4, "vocabulary": "v"}


def test_a_seed_gives_the_same_losses_to_the_last_digit(tmp_path: Path):
    """With dropout on, whatever chance the process has had before; another seed gives others."""
    config = ModelConfig(bert=bert_folder(tmp_path), dropout=0.1)
    centroids = torch.randn(NUM_VISUAL_TOKENS, 8)
    batches: list[Mapping[int, Batch]] = [{0: rows_of(range(8), epoch=epoch)} for epoch in range(3)]
    losses = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)
        losses.append(steps(starting_model(config, leaf_centroids=centroids, seed=seed).train(), batches))
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_a_folder_without_a_checkpoint_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match=r"no checkpoint \(it has no progress.json\)"):
        load_pretrained(str(tmp_path))


@pytest.mark.slow
def test_it_learns_words_from_video_on_videos_it_has_not_seen():
    """Which food is said follows from the clips; without them it is a guess among five."""
    model = new_model(
        hidden_size=64, intermediate_size=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    config = SequenceConfig(
        row_length=64, text_weight=0, video_weight=0, max_joined_sentences=1, max_subsampling_step=1,
        negative_share=0.3, mask_share=0.3,
    )  # fmt: skip
    optimizer_config = OptimizerConfig(learning_rate=5e-3)
    optimizer = make_optimizer(model, optimizer_config)
    for step in range(250):
        videos = range(20 * (step % 10), 20 * (step % 10) + 20)
        train_step(
            PRETRAINING, model, optimizer, {0: rows_of(videos, epoch=step, config=config)},
            optimizer_config, step=step, num_steps=250, seed=0, device=CPU,
        )  # fmt: skip
    unseen = rows_of(range(1000, 1100), epoch=0, config=config)
    foods = [int(WORDS.encode([food])[0][0]) for food in FOODS]
    is_food = np.isin(unseen["labels"], foods)
    unseen["labels"] = np.where(is_food, unseen["labels"], IGNORED)
    accuracy = evaluate_batches(PRETRAINING, model, [unseen], device=CPU).means()["accuracy/joint/words"]
    assert is_food.sum() > 40
    assert accuracy > 0.8  # four times a guess's
