"""A run's backbone on its workers: graphs in shared memory, or torch where there is a GPU."""

from typing import TypeAlias, cast

import ray

from vbert.distributed.resources import count_gpus
from vbert.features.backbone_process import BackboneGraphs
from vbert.features.featurizer import CpuFeaturizer, Featurizer, FeaturizerGraphs
from vbert.features.featurizer_config import FeaturizerConfig

# None where torch runs the backbone: on a cluster with GPUs, and for a network that has no graphs.
Prepared: TypeAlias = "ray.ObjectRef[FeaturizerGraphs] | None"


def prepare_backbone(backbone: BackboneGraphs, *, gpus: str) -> Prepared:
    """What `actor_featurizer` needs of the driver; `gpus` is what `--gpus` says."""
    if count_gpus(gpus):
        backbone.close()
        return None
    graphs = backbone.get()
    return None if graphs is None else cast("Prepared", ray.put(graphs))


def actor_featurizer(config: FeaturizerConfig, prepared: Prepared, *, compiled: bool) -> Featurizer:
    """The featurizer of an actor, which has one core: more threads would fight the neighbours' and change
    the features' last bit. `compiled` is of what torch runs."""
    if prepared is not None:
        return CpuFeaturizer(ray.get(prepared), num_threads=1)
    import torch

    from vbert.features.torch_featurizer import TorchFeaturizer

    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchFeaturizer(config, device=device, compiled=compiled)
