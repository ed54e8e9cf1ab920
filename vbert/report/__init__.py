"""One HTML page about a corpus and a model.

Takes the facts; gives a page that fetches nothing and runs nothing but its own script.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["render"],
    },
)
