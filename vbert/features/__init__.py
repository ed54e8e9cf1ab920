"""Clips to feature vectors: the frozen backbones, the plan of the work and its ledger.

Takes probed videos; gives rows of the tables `features` and `videos`. Promises that a featurizer's id names
all that decides a value, and that a failed segment is a row.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "featurizer": ["Featurizer"],
        "featurizer_config": ["FeaturizerConfig", "featurizer_id"],
        "torch_featurizer": ["open_featurizer"],
    },
)
