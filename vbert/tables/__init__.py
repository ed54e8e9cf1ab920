"""Delta Lake tables: what is in them, how they are read, and how they are committed to.

Takes Arrow tables; gives files, versions and rows. Promises that a commit is there once and whole, or not
at all. No other folder knows Delta.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "commits": ["Committer"],
        "delta": ["Table"],
        "reading": ["document_batches", "read_documents"],
        "schemas": ["DOCUMENTS", "FEATURES", "TRANSCRIPTS", "VIDEOS"],
    },
)
