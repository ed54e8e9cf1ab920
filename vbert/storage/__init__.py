"""Files and URLs, and small tables that users write.

Takes paths and URLs of any store that fsspec knows; gives file systems, whole files and columns. Promises
that a file is written whole or not at all, and that what a store refuses for a moment is asked for again.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["filesystem_of", "open_file", "write_file"],
        "records": ["read_records"],
    },
)
