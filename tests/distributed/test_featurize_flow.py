"""Who decodes, and on what actors compute. Jobs in tests/jobs run them."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from vbert.distributed import featurize_flow
from vbert.distributed.featurize_flow import actors_worth_starting, outcomes
from vbert.distributed.featurize_worker import FeaturizeSegments, decode_in_child
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.video.decode import Decoder
from vbert.video.decode_child import DecodeLimits


class Part:
    """A dataset of segments that is told who decodes them, and has none."""

    def __init__(self, told: list[tuple[Any, float, Any]]) -> None:
        self.told = told

    def repartition(self, **_: Any) -> "Part":
        return self

    def map_batches(self, work: Any, *, num_cpus: int, **_: Any) -> "Part":
        self.told.append((work.func, 0, num_cpus))
        return self

    def set_name(self, _: str) -> None:
        return

    def iter_internal_ref_bundles(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize(
    ("decoder", "num_gpus", "expected"),
    [
        ("pyav", 0, [(FeaturizeSegments, 0, (3, 3))]),
        ("pyav", 2, [(decode_in_child, 0, 1), (FeaturizeSegments, 0.5, (4, 4))]),
        ("nvdec", 2, [(FeaturizeSegments, 0.5, (4, 4))]),
    ],
)
def test_cpus_decode_for_gpus_that_do_not_decode_themselves(
    monkeypatch: pytest.MonkeyPatch, decoder: Decoder, num_gpus: int, expected: list[tuple[Any, float, Any]]
):
    """Who works, of which share of a GPU, and how many of them, or with how many CPUs."""
    told: list[tuple[Any, float, Any]] = []

    def on_actors(
        kind: type[Any], blocks: Iterable[Any], *, num_actors: tuple[int, int], options: Any, **_: Any
    ) -> Iterator[Any]:
        assert list(blocks) == []
        told.append((kind, options["num_gpus"], num_actors))
        return iter(())

    monkeypatch.setattr(featurize_flow, "count_gpus", lambda _: num_gpus)
    monkeypatch.setattr(featurize_flow, "count_cpus", lambda: 3)
    monkeypatch.setattr(featurize_flow, "connect", lambda: None)
    monkeypatch.setattr(featurize_flow, "blocks_as_they_come", lambda _: iter(()))
    monkeypatch.setattr(featurize_flow, "outcomes_of_blocks", on_actors)
    parts: Any = iter([Part(told)])
    outcomes(
        parts,
        num_videos=1000,
        tables="tables",
        config=FeaturizerConfig(decoder=decoder),
        limits=DecodeLimits(),
        prepared=None,
        gpus="auto",
        num_actors=None,
        gpus_per_worker=0.5,
        compiled=False,
    )
    assert told == expected


@pytest.mark.parametrize(
    ("num_clips", "num_actors"),
    [([], 1), ([None], 1), ([4, 4, 4, None, 4], 1), ([12, 8, 1], 2), ([400] * 3, 60)],
)
def test_few_clips_wait_for_no_more_actors_than_they_keep_busy(num_clips: list[int | None], num_actors: int):
    """Null: a video that failed before it had clips."""
    segments = pa.table({"num_planned_clips": pa.array(num_clips, pa.int32())})
    assert actors_worth_starting(segments) == num_actors
