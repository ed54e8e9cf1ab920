"""The sample that a vocabulary is fitted on, drawn from the files of a table in two passes."""

from pathlib import Path

import numpy as np
import pytest

from vbert.distributed import fit_vocabulary
from vbert.distributed.fit_vocabulary import FitConfig, clips_up_to, draw_sample, fit, lowest_priorities
from vbert.errors import UserError
from vbert.features.segment_rows import feature_table
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES
from vbert.vocabulary.sampling import priorities, threshold_of
from vbert.vocabulary.tree import merge_samples

CLIPS_A_SEGMENT = 3


def write_features(root: Path, *, featurizer: str = "f-1") -> Table:
    """Four files of 10 segments of 3 clips; a clip's feature is its number, 0 to 119."""
    table = Table(str(root), FEATURES)
    table.create()
    files = []
    for file in range(4):
        numbers = np.arange(30, dtype=np.float32) + 30 * file
        rows = [
            {
                "video_id": f"v{file}-{index // 5}",
                "featurizer": featurizer,
                "fingerprint": "a",
                "segment_index": index % 5,
                "clip_seconds": 1.5,
                "clip_start_seconds": [
                    1.5 * (CLIPS_A_SEGMENT * (index % 5) + clip) for clip in range(CLIPS_A_SEGMENT)
                ],
            }
            for index in range(10)
        ]
        vectors = list(numbers.reshape(10, CLIPS_A_SEGMENT, 1).repeat(2, axis=2))
        files.append(table.write_file(feature_table(rows, vectors)))
    Committer(table, partition=featurizer).commit(files)
    return table


@pytest.mark.parametrize("size", [1, 17, 119, 120, 500])
@pytest.mark.parametrize("num_shares", [1, 3])
def test_two_passes_find_the_clips_of_the_lowest_priorities(tmp_path: Path, size: int, num_shares: int):
    table = write_features(tmp_path)
    names = [f"v{number // 30}-{number % 30 // 15}" for number in range(120)]
    starts = np.array([1.5 * (number % 15) for number in range(120)])
    ranks = priorities(names, starts, seed=7)
    expected = np.argsort(ranks)[:size]

    shares = [share.tolist() for share in np.array_split(table.paths(partition="f-1"), num_shares)]
    lowest = [lowest_priorities(table, share, size=size, seed=7) for share in shares]
    threshold = threshold_of(lowest, size=size)
    parts = [clips_up_to(table, share, threshold=threshold, seed=7) for share in shares]
    assert sum(len(part.features) for part in parts) == min(size, 120), "no vector travels in vain"
    sample = merge_samples(parts, seed=7, size=size)
    assert sample.features[:, 0].tolist() == expected.tolist()
    assert list(sample.video_ids) == [names[number] for number in expected]
    np.testing.assert_array_equal(sample.start_seconds, starts[expected])


@pytest.mark.slow
def test_workers_draw_what_one_process_does(joined: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = write_features(tmp_path)
    samples = [draw_sample(table, featurizer="f-1", size=17, seed=7)]
    monkeypatch.setattr(fit_vocabulary, "BYTES_HERE", 0)
    samples.append(draw_sample(table, featurizer="f-1", size=17, seed=7))
    here, there = ([*zip(sample.video_ids, sample.start_seconds, strict=True)] for sample in samples)
    assert here == there
    assert len(here) == 17
    assert np.array_equal(samples[0].features, samples[1].features)


def test_which_featurizer_must_be_said_where_there_are_several(tmp_path: Path):
    write_features(tmp_path, featurizer="f-1")
    write_features(tmp_path, featurizer="f-2")
    with pytest.raises(UserError, match=r"has several featurizers; give --featurizer, one of f-1, f-2"):
        fit(FitConfig(tables=str(tmp_path)))
    with pytest.raises(UserError, match=r"has no featurizer f-3; give --featurizer, one of f-1, f-2"):
        fit(FitConfig(tables=str(tmp_path), featurizer="f-3"))


def test_a_table_without_features_is_one_clear_line(tmp_path: Path):
    Table(str(tmp_path), FEATURES).create()
    with pytest.raises(UserError, match="no features yet; run featurize first"):
        fit(FitConfig(tables=str(tmp_path)))
