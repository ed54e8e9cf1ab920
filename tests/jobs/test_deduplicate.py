"""Near-duplicates as a user finds them: planted copies, and a second run that looks at what is new alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import Run
from tests.duplicates.test_agreement import clips, noisy
from vbert.features.segment_rows import feature_table
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DUPLICATES, FEATURES, VIDEOS

pytestmark = pytest.mark.slow
SEGMENT = 10  # clips


def put(
    root: str, video_id: str, features: np.ndarray, *, fingerprint: str = "a", drop: bool = False
) -> None:
    """A video's ledger and features, as featurize commits them."""
    parts = [features[at : at + SEGMENT] for at in range(0, len(features), SEGMENT)]
    starts = [
        1.5 * np.arange(at, min(at + SEGMENT, len(features))) for at in range(0, len(features), SEGMENT)
    ]
    rows = [
        {
            "video_id": video_id,
            "featurizer": "f-1",
            "fingerprint": fingerprint,
            "segment_index": index,
            "clip_seconds": 1.5,
            "clip_start_seconds": part.tolist(),
        }
        for index, part in enumerate(starts)
    ]
    ledger = [
        {
            "video_id": video_id,
            "featurizer": "f-1",
            "fingerprint": fingerprint,
            "status": "ok",
            "num_clips": len(features),
        }
    ]
    for layout, written in (
        (FEATURES, feature_table(rows, parts)),
        (VIDEOS, pa.Table.from_pylist(ledger, schema=VIDEOS.schema)),
    ):
        table = Table(root, layout)
        table.create()
        file = table.write_file(written)
        Committer(table, partition="f-1").commit([file], drop=[video_id] if drop else [])


def found(root: str) -> dict[str, dict[str, Any]]:
    rows = Table(root, DUPLICATES).read(columns=DUPLICATES.schema.names, partition="f-1")
    return {row["video_id"]: row for row in rows.to_pylist()}


@pytest.mark.seconds(40)
def test_planted_copies_are_found_and_a_second_run_looks_at_what_is_new(
    run_job: Run, joined: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = str(tmp_path)
    for seed in range(6):
        put(root, f"v{seed}", clips(seed))
    put(root, "a-cut", noisy(clips(2)[12:32]))
    assert run_job("deduplicate", "--tables", root) == 0
    assert "deduplicate: 1 copies in 1 clusters" in capsys.readouterr().out
    first = found(root)
    assert {name: row["kept_id"] for name, row in first.items()} == {
        **{f"v{seed}": f"v{seed}" for seed in range(6)},
        "a-cut": "v2",
    }
    assert (first["a-cut"]["share"], first["a-cut"]["offset_seconds"]) == (1.0, 18.0)
    assert first["v2"]["cluster"] == first["a-cut"]["cluster"] == "a-cut"

    version = Table(root, DUPLICATES).version()
    assert run_job("deduplicate", "--tables", root) == 0
    assert Table(root, DUPLICATES).version() == version, "nothing changed, nothing committed"
    capsys.readouterr()

    # A new copy; and the kept one becomes another video, so that its copies are looked at again.
    put(root, "another-cut", noisy(clips(2)[4:24], seed=1))
    put(root, "v2", clips(99), fingerprint="b", drop=True)
    assert run_job("deduplicate", "--tables", root) == 0
    assert "looked at       3\n" in capsys.readouterr().out
    second = found(root)
    assert second["v2"]["kept_id"] == "v2"
    assert second["another-cut"]["kept_id"] == second["a-cut"]["kept_id"] == "a-cut"
    assert second["another-cut"]["offset_seconds"] == -12.0
    assert second["v5"] == first["v5"]
