"""A run's backbone, made into graphs once for all actors without a GPU."""

import logging
from typing import Any, TypeAlias, cast

import ray

from vbert.features import NO_GRAPHS, CpuFeaturizer, Featurizer, FeaturizerGraphs
from vbert.featurizer_config import FeaturizerConfig
from vbert.ray_cluster import count_gpus

logger = logging.getLogger(__name__)

# None where torch runs the backbone.
Prepared: TypeAlias = "ray.ObjectRef[FeaturizerGraphs] | None"


def prepare_backbone(config: FeaturizerConfig) -> Prepared:
    """On a worker, which ends and gives back torch's memory.

    None on a cluster with GPUs, and where the network has no graphs: then the log says why. UserError for
    weights that a worker lacks.
    """
    if count_gpus():
        return None

    @ray.remote(num_cpus=1, max_calls=1)
    def prepare() -> FeaturizerGraphs | str:
        from vbert.cpu_export import ExportError
        from vbert.torch_features import TorchFeaturizer

        try:
            return TorchFeaturizer(config, device="cpu").graphs()
        except ExportError as error:
            return str(error)

    prepared: Any = prepare.remote()
    found = ray.get(prepared)
    if isinstance(found, str):
        logger.warning(NO_GRAPHS, config.backbone, found)
        return None
    return cast("Prepared", prepared)


def actor_featurizer(config: FeaturizerConfig, prepared: Prepared) -> Featurizer:
    """The featurizer of an actor, which has one core: more threads would fight the neighbours' and change
    the features' last bit."""
    if prepared is not None:
        return CpuFeaturizer(ray.get(prepared), num_threads=1)
    import torch

    from vbert.torch_features import TorchFeaturizer

    torch.set_num_threads(1)
    return TorchFeaturizer(config, device="cuda" if torch.cuda.is_available() else "cpu")
