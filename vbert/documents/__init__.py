"""All of a video in time order; sequences made of it, packed; the order in which training meets them.

Takes tokens and sentences; gives documents and micro-batches. Promises the same batches for any number of
workers.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "assembly": ["build_document"],
        "packing": ["pack"],
        "sequences": ["SequenceConfig"],
    },
)
