"""Videos that show the same: cut, encoded again, scaled or shifted copies of each other.

Takes the features of clips; gives pairs that may be copies, where they agree, and clusters.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agreement": ["agreement_of"],
        "clusters": ["clusters_of"],
    },
)
