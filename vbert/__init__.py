"""Large video corpora as a language that a transformer can learn.

What a notebook needs is here; each name is imported when it is first asked for:

    from vbert import FeaturizeConfig, VideoPipeline, featurize, read_documents

    featurize(FeaturizeConfig(corpus="videos", tables="tables"))
    documents = read_documents("tables")
    print(VideoPipeline("runs/captions/model")("talk.mp4"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vbert.distributed.featurize import FeaturizeConfig, featurize
    from vbert.model.configuration_videobert import VideoBertConfig
    from vbert.model.modeling_videobert import VideoBertForPreTraining
    from vbert.tables.reading import read_documents
    from vbert.tasks.pipeline import VideoPipeline

__all__ = [
    "FeaturizeConfig",
    "VideoBertConfig",
    "VideoBertForPreTraining",
    "VideoPipeline",
    "featurize",
    "read_documents",
]

_HOMES = {
    "FeaturizeConfig": "vbert.distributed.featurize",
    "VideoBertConfig": "vbert.model.configuration_videobert",
    "VideoBertForPreTraining": "vbert.model.modeling_videobert",
    "VideoPipeline": "vbert.tasks.pipeline",
    "featurize": "vbert.distributed.featurize",
    "read_documents": "vbert.tables.reading",
}


def __getattr__(name: str) -> Any:
    """Import one of `__all__` (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vbert' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What completion offers."""
    return __all__
