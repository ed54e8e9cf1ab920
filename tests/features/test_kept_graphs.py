"""Graphs of a backbone, kept from one run to the next."""

import json
from pathlib import Path

import numpy as np
import pytest

from vbert.features import kept_graphs
from vbert.features.cpu_inference import Graph
from vbert.features.featurizer import FeaturizerGraphs
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.features.kept_graphs import keep_graphs, read_graphs

CONFIG = FeaturizerConfig(frames_per_clip=1)


@pytest.fixture
def made() -> FeaturizerGraphs:
    """Three graphs; what is in them does not matter."""
    parts = {part: Graph(part.encode(), np.frombuffer(part.encode(), np.uint8)) for part in kept_graphs.PARTS}
    return FeaturizerGraphs(backbone=CONFIG.backbone, spec=clip_spec(CONFIG), feature_dim=7, **parts)


def same(found: FeaturizerGraphs | None, made: FeaturizerGraphs) -> bool:
    return (
        found is not None
        and (found.feature_dim, found.spec) == (made.feature_dim, made.spec)
        and all(
            getattr(found, part).structure == getattr(made, part).structure
            and (getattr(found, part).weights == getattr(made, part).weights).all()
            for part in kept_graphs.PARTS
        )
    )


def test_graphs_are_read_as_they_were_kept(made: FeaturizerGraphs, tmp_path: Path):
    assert read_graphs(CONFIG, str(tmp_path)) is None
    keep_graphs(made, CONFIG, str(tmp_path))
    assert same(read_graphs(CONFIG, str(tmp_path)), made)


def test_other_clips_weights_or_versions_have_graphs_of_their_own(
    made: FeaturizerGraphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keep_graphs(made, CONFIG, str(tmp_path))
    assert read_graphs(FeaturizerConfig(frames_per_clip=2), str(tmp_path)) is None
    weights = tmp_path / "other.pth"
    weights.write_bytes(b"other weights")
    assert read_graphs(FeaturizerConfig(frames_per_clip=1, weights=str(weights)), str(tmp_path)) is None
    monkeypatch.setattr(kept_graphs, "version", lambda package: "99.0")
    assert read_graphs(CONFIG, str(tmp_path)) is None


@pytest.mark.parametrize("name", ["trunk.bin", "packed_pixels.xml", "graphs.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_damaged_files_are_as_if_they_were_not_there(
    made: FeaturizerGraphs, tmp_path: Path, name: str, damage: str
):
    keep_graphs(made, CONFIG, str(tmp_path))
    (file,) = tmp_path.rglob(name)
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-2] if damage == "cut" else content[:-1] + b"?")
    assert read_graphs(CONFIG, str(tmp_path)) is None
    keep_graphs(made, CONFIG, str(tmp_path))
    assert same(read_graphs(CONFIG, str(tmp_path)), made), "made anew, they take their place"


def test_facts_of_another_kind_are_none(made: FeaturizerGraphs, tmp_path: Path):
    keep_graphs(made, CONFIG, str(tmp_path))
    (file,) = tmp_path.rglob("graphs.json")
    for facts in ([], {"sha256": []}, json.loads(file.read_text()) | {"feature_dim": "many"}):
        file.write_text(json.dumps(facts))
        assert read_graphs(CONFIG, str(tmp_path)) is None


def test_a_cache_that_cannot_be_written_stops_nothing(made: FeaturizerGraphs, tmp_path: Path):
    place = tmp_path / "file"
    place.write_text("no folder")
    keep_graphs(made, CONFIG, str(place))
    assert read_graphs(CONFIG, str(place)) is None
