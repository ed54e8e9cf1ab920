from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.tiny import bert_config, cooking, vocabulary
from vbert.documents.continuous import FeatureReader, attach_vectors
from vbert.documents.data_streams import cut_runs, windows_of_epoch
from vbert.documents.sequences import IGNORED, SequenceConfig
from vbert.documents.shuffle_windows import ShuffleWindowReader
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES
from vbert.training.objective import evaluate_batches, train_step
from vbert.training.optimization import OptimizerConfig, make_optimizer
from vbert.training.pretraining import PRETRAINING, spread_vectors

DIM = 12
CPU = torch.device("cpu")
WORDS = vocabulary(num_visual_tokens=1)
NUM_VIDEOS = 40


def vector_of(video_id: str, start: float, token: int) -> np.ndarray:
    """A vector near that of its food (see tests.tiny), so that its neighbours tell of it."""
    near = np.random.default_rng(token // 5).normal(size=DIM)
    return near + 0.05 * np.random.default_rng(int(start * 10) + len(video_id)).normal(size=DIM)


def features_row(document: dict[str, Any], first: int, last: int, index: int) -> dict[str, Any]:
    starts = document["visual_token_start_seconds"][first:last]
    tokens = document["visual_tokens"][first:last]
    return {
        "video_id": document["video_id"],
        "featurizer": "fake",
        "fingerprint": document["fingerprint"],
        "segment_index": index,
        "clip_seconds": 1.5,
        "clip_start_seconds": starts,
        "features": [
            vector_of(document["video_id"], start, token).tolist()
            for start, token in zip(starts, tokens, strict=True)
        ],
        "num_dropped_clips": 0,
        "warnings": [],
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Documents of 40 videos and the features that they came from, in two segments each."""
    folder = str(tmp_path_factory.mktemp("tables"))
    rows = [cooking(number) for number in range(NUM_VIDEOS)]
    segments = [features_row(row, *part) for row in rows for part in ((7, 12, 1), (0, 7, 0))]
    for layout, part in ((DOCUMENTS, rows), (FEATURES, segments)):
        table = Table(folder, layout)
        table.create()
        file = table.write_file(pa.Table.from_pylist(part, schema=layout.schema))
        Committer(table, partition=file.partition).commit([file])
    return folder


def reader(root: str) -> ShuffleWindowReader:
    features = Table(root, FEATURES)
    return ShuffleWindowReader(
        table=Table(root, DOCUMENTS),
        vocabulary=WORDS,
        sequences=SequenceConfig(row_length=64, max_joined_sentences=1, max_subsampling_step=1),
        seed=0,
        rows_per_batch=8,
        share_of_videos=1.0,
        validation_share=0.0,
        held_out=frozenset(),
        features=FeatureReader(table=features, featurizer="fake", version=features.version()),
    )


def test_clips_are_numbered_by_video_and_time(root: str):
    features = reader(root).features
    assert features is not None
    documents = [cooking(3), cooking(17)]
    numbered, vectors = features.number_clips(documents)
    for document, mine in zip(documents, numbered, strict=True):
        expected = [
            vector_of(document["video_id"], start, token)
            for start, token in zip(
                document["visual_token_start_seconds"], document["visual_tokens"], strict=True
            )
        ]
        np.testing.assert_allclose(vectors[mine["visual_tokens"]], expected, atol=1e-6)


def test_a_video_that_has_changed_since_is_left_out(root: str):
    features = reader(root).features
    assert features is not None
    numbered, _ = features.number_clips([cooking(3) | {"fingerprint": "new"}, cooking(4)])
    assert [document["video_id"] for document in numbered] == ["cooking-4"]


def test_clip_numbers_become_one_id_and_vectors():
    offset = WORDS.visual_offset
    batch = {
        "input_ids": np.array([[101, offset + 5, 103, offset + 9, 102]], np.int32),
        "labels": np.array([[IGNORED, IGNORED, offset + 7, IGNORED, IGNORED]], np.int32),
    }
    vectors = np.arange(10 * DIM, dtype=np.float32).reshape(10, DIM)
    found = attach_vectors(batch, vectors, WORDS)
    assert found["input_ids"].tolist() == [[101, offset, 103, offset, 102]]
    assert (found["labels"] == IGNORED).all()
    assert np.array_equal(found["vectors"], vectors[[5, 7, 9]])  # what this batch needs, and no more
    tensors = spread_vectors({name: torch.tensor(values) for name, values in found.items()})
    shown, wanted = tensors["visual_features"][0], tensors["feature_labels"][0]
    assert torch.equal(shown[[1, 3]], torch.tensor(vectors[[5, 9]]))
    assert torch.equal(wanted[2], torch.tensor(vectors[7]))
    assert not shown[[0, 2, 4]].any()
    assert not wanted[[0, 1, 3, 4]].any()


def test_windows_ask_for_masked_clips_and_do_not_show_them(root: str):
    window_reader = reader(root)
    runs = cut_runs(window_reader.table.files(partition="0123456789abcdef"))
    (window,) = windows_of_epoch(runs, seed=0, epoch=0, num_streams=1)[0]
    shares = []
    for batch in window_reader.micro_batches(window):
        tensors = spread_vectors(PRETRAINING.tensors(batch))
        assert tensors["visual_features"].shape == (*tensors["input_ids"].shape, DIM)
        is_wanted = tensors["feature_labels"].any(-1)
        is_masked = tensors["input_ids"] == WORDS.mask_id
        assert not tensors["visual_features"][is_masked].any()
        shares.append(float((is_wanted & is_masked).sum() / is_wanted.sum()))
    assert np.mean(shares) == pytest.approx(0.8, abs=0.15)  # the others are replaced or left


@pytest.mark.slow
def test_a_model_of_vectors_learns_which_clip_is_hidden(root: str):
    """Clips of a step look alike, so a hidden one is told from the rest of a held-out batch, above chance."""
    torch.manual_seed(0)
    config = from_bert_config(
        bert_config(hidden_size=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        num_visual_tokens=1,
        visual_feature_dim=DIM,
    )
    model = VideoBertForPreTraining(config).train()
    options = OptimizerConfig(learning_rate=3e-3)
    optimizer = make_optimizer(model, options)
    only_video = SequenceConfig(
        row_length=64, text_weight=0, joint_weight=0, mask_share=0.3, max_subsampling_step=1
    )
    window_reader = replace(reader(root), sequences=only_video)
    documents = [cooking(number) for number in range(30)]
    for step in range(160):
        batch = window_reader.batches_of(documents, epoch=step)[0]
        train_step(
            PRETRAINING, model, optimizer, {0: batch}, options,
            step=step, num_steps=160, seed=0, device=CPU,
        )  # fmt: skip
    unseen = window_reader.batches_of([cooking(number) for number in range(30, 40)], epoch=0)
    metrics = evaluate_batches(PRETRAINING, model, unseen, device=CPU).means()
    num_wanted = np.mean([(batch["wanted_clips"] >= 0).sum() for batch in unseen])
    assert metrics["loss/features"] < np.log(num_wanted) - 0.5  # a guess's loss is the logarithm
    assert metrics["accuracy/features"] > 2 / num_wanted


def test_documents_have_the_vectors_of_their_clips_and_changed_videos_have_no_clips(root: str):
    features = reader(root).features
    assert features is not None
    documents = [cooking(3), cooking(1) | {"fingerprint": "another"}]
    documents[0] |= {name: documents[0][name][4:] for name in ("visual_tokens", "visual_token_start_seconds")}
    kept, changed = features.with_vectors(documents)
    pairs = zip(kept["visual_token_start_seconds"], kept["visual_tokens"], strict=True)
    expected = [vector_of("cooking-3", start, token) for start, token in pairs]
    np.testing.assert_array_equal(kept["features"], np.array(expected, np.float32).astype(np.float16))
    assert changed["visual_tokens"] == changed["visual_token_start_seconds"] == []
    assert changed["features"].shape == (0, DIM)
    assert changed["sentences"] == documents[1]["sentences"]
