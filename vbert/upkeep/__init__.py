"""What is in the tables, and how it gets out of them: videos that are to be forgotten, partitions of old ids.

Takes tables; gives an inventory, or tables without what was to go. Promises that a forgotten video is in no
file of theirs, and stays out when its file is seen again.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "drop": ["drop"],
        "forget": ["forget"],
        "inventory": ["take_inventory"],
    },
)
