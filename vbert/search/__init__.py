"""Where in a corpus something is: vectors of clips and windows, and the nearest of them.

Takes rows of tables and a vector that is asked for; gives intervals of videos, the best first.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "hits": ["Hit"],
        "index": ["nearest"],
    },
)
