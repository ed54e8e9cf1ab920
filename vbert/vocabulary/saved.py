"""Saved vocabularies beside their tables: which there are, and what they show of videos."""

import json
from collections.abc import Collection

from vbert.storage.files import filesystem_of, names_in, write_file
from vbert.vocabulary.tree import FACTS

FOLDER = "vocabularies"


def folders_in(tables: str) -> list[str]:
    """The vocabularies that lie beside tables: their folders, sorted."""
    folder = f"{tables.rstrip('/')}/{FOLDER}"
    return [f"{folder}/{name}" for name in names_in(folder)]


def forget_exemplars(uri: str, video_ids: Collection[str], *, dry_run: bool = False) -> int:
    """Leave clips of some videos out of a saved vocabulary's exemplars; how many there were. Its id, which
    is the centroids', stays."""
    filesystem, path = filesystem_of(f"{uri}/{FACTS}")
    if not filesystem.exists(path):
        return 0
    facts = json.loads(filesystem.cat_file(path))
    before = facts["exemplars"]
    after = {
        leaf: [clip for clip in clips if clip["video_id"] not in video_ids] for leaf, clips in before.items()
    }
    count = sum(map(len, before.values())) - sum(map(len, after.values()))
    if count and not dry_run:
        write_file(f"{uri}/{FACTS}", json.dumps(facts | {"exemplars": after}, indent=1).encode())
    return count
