"""The job's actor as benchmarks have it, where what they measure is all around it."""

from typing import Any

from vbert.distributed.featurize_worker import FeaturizeSegments
from vbert.distributed.prometheus import WorkerMetrics
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES


class WithoutModel(FeaturizeSegments):
    """Without its decoder and its model; who derives from it says what its `work` is."""

    def __init__(self, *, tables: str, **_: Any) -> None:
        self.metrics = WorkerMetrics()
        self.features = Table(tables, FEATURES)
        self.provenance = {"device": "none"}
