"""What is found where a corpus is said to be, and is none of its videos."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class SetAside:
    """Counts, which rise while a corpus is read."""

    other_files: Counter[str] = field(default_factory=Counter)
    """Files of a folder that are neither video nor transcript, by extension."""
    num_unused_transcripts: int = 0
    """Transcripts of a folder that no video has: of other languages, or of none of its videos."""
    num_repeated: int = 0
    """Lines of a manifest that say again what an earlier one says."""
    num_forgotten: int = 0
    """Videos that somebody wanted forgotten."""
