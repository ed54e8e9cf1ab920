"""Large video corpora as a language that a transformer can learn.

What a notebook needs is here; each name is imported when it is first asked for:

    from vbert import FeaturizeConfig, VideoPipeline, featurize, read_documents

    featurize(FeaturizeConfig(corpus="videos", tables="tables"))
    documents = read_documents("tables")
    print(VideoPipeline("runs/captions/model")("talk.mp4"))
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from vbert.distributed.featurize import FeaturizeConfig as FeaturizeConfig
    from vbert.distributed.featurize import featurize as featurize
    from vbert.model.configuration_videobert import VideoBertConfig as VideoBertConfig
    from vbert.model.modeling_videobert import VideoBertForPreTraining as VideoBertForPreTraining
    from vbert.tables.reading import document_batches as document_batches
    from vbert.tables.reading import read_documents as read_documents
    from vbert.tasks.pipeline import VideoPipeline as VideoPipeline

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "distributed.featurize": ["FeaturizeConfig", "featurize"],
        "model.configuration_videobert": ["VideoBertConfig"],
        "model.modeling_videobert": ["VideoBertForPreTraining"],
        "tables.reading": ["document_batches", "read_documents"],
        "tasks.pipeline": ["VideoPipeline"],
    },
)
