"""The visual vocabulary: a sample of clips, hierarchical k-means, the nearest leaf.

Takes feature vectors; gives visual tokens, 0 to branching^depth - 1. Promises the same sample whoever draws
it, and a vocabulary named by its content.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tree": ["Vocabulary", "VocabularyConfig", "fit_vocabulary", "load", "save"],
    },
)
