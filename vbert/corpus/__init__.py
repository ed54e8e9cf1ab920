"""The raw collection: which videos there are, and what has changed.

Takes a folder, glob, manifest or bucket; gives videos with their fingerprints and transcripts, and what of
them the ledger does not have yet. Promises the same ids and order whoever lists.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "changes": ["compare"],
        "manifest": ["read_manifest"],
        "sources": ["corpus_parts", "list_corpus"],
    },
)
