"""Who decodes, and on what actors compute: the stages that Ray Data is given. Jobs in tests/jobs run them."""

from typing import Any

import pytest

from vbert.distributed import featurize_flow
from vbert.distributed.featurize_flow import outcomes
from vbert.distributed.featurize_worker import FeaturizeSegments, decode_in_child
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.video.decode import Decoder
from vbert.video.decode_child import DecodeLimits


class Stages:
    """A dataset of 1,000 segments that is told what to do, and does nothing."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, float]] = []

    def sum(self, _: str) -> int:
        return 1000

    def repartition(self, **_: Any) -> "Stages":
        return self

    def materialize(self) -> "Stages":
        return self

    def map_batches(self, work: Any, *, num_gpus: float = 0, **_: Any) -> "Stages":
        self.told.append((work, num_gpus))
        return self

    def set_name(self, _: str) -> None:
        return


@pytest.mark.parametrize(
    ("decoder", "num_gpus", "expected"),
    [
        ("pyav", 0, [(FeaturizeSegments, 0)]),
        ("pyav", 2, [(decode_in_child, 0), (FeaturizeSegments, 0.5)]),
        ("nvdec", 2, [(FeaturizeSegments, 0.5)]),
    ],
)
def test_cpus_decode_for_gpus_that_do_not_decode_themselves(
    monkeypatch: pytest.MonkeyPatch, decoder: Decoder, num_gpus: int, expected: list[tuple[Any, float]]
):
    monkeypatch.setattr(featurize_flow, "count_gpus", lambda _: num_gpus)
    monkeypatch.setattr(featurize_flow, "count_cpus", lambda: 3)
    monkeypatch.setattr(featurize_flow, "rows_as_they_come", lambda rows: iter(rows.told))
    stages: Any = Stages()
    outcomes(
        stages,
        tables="tables",
        config=FeaturizerConfig(decoder=decoder),
        limits=DecodeLimits(),
        prepared=None,
        gpus="auto",
        num_actors=None,
        gpus_per_worker=0.5,
        compiled=False,
    )
    assert stages.told == expected
