"""The signatures of all videos in a database that spills to disk, and the pairs of videos that share keys."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vbert.duplicates.signatures import least_keys
from vbert.storage.spilling import (
    add_rows,
    count_rows,
    create_table,
    read_all,
    read_parts,
    spilling_database,
)

NEIGHBOURS = 8  # of the videos with a key each is compared with so many: enough to chain all copies
MAX_CANDIDATES = 16  # of a video: those that share most keys
MIN_SHARED = 2  # keys; one may be chance
SIGNATURES = pa.schema([("video_id", pa.string()), ("signature", pa.list_(pa.int64()))])
KEYS = pa.schema([("video", pa.int32()), ("key", pa.int32())])
NUMBERS = pa.schema([("video", pa.int32())])
KEYS_A_BAND = 500_000  # which are put in order together, in 100 MB

# Each new video beside its NEIGHBOURS before it, of those with the same key: old ones come before new ones.
BESIDE = f"""
    select video, is_new, unnest(list(video) over (
        partition by key order by is_new, video rows between {NEIGHBOURS} preceding and 1 preceding
    )) as other
    from (
        select distinct video, key, video in (from new_videos) as is_new from keys where key % ? = ?
    )
"""  # nosec B608
SHARED = f"""
    insert into shared
    select least(video, other), greatest(video, other), count(*) from ({BESIDE}) where is_new group by all
"""  # nosec B608
# Among those of one of its new videos, a pair must be one of the first.
CANDIDATES = f"""
    with pairs as (
        select first, second, sum(num_keys) as num_keys from shared
        group by all having num_keys >= {MIN_SHARED}
    ),
    mine as (select first as member, * from pairs union all select second as member, * from pairs),
    ranked as (
        select first, second, row_number() over (
            partition by member order by num_keys desc, first, second
        ) as place
        from mine where member in (from new_videos)
    )
    select distinct first, second from ranked where place <= {MAX_CANDIDATES} order by all
"""  # nosec B608
PAIRS = pa.schema([("first", pa.int32()), ("second", pa.int32()), ("num_keys", pa.int32())])


class SignatureStore:
    """In memory are 256 MB and the videos' names, on local disk a kilobyte a video and its pairs."""

    def __init__(self, video_ids: Sequence[str]) -> None:
        """`video_ids` are all that may have a signature, each once."""
        self._names = sorted(video_ids)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._database = spilling_database()
        create_table(self._database, "keys", KEYS)

    def add(self, rows: pa.Table) -> None:
        """Rows of SIGNATURES: of videos, or of parts of videos, which are put together."""
        lists = rows["signature"].combine_chunks()
        numbers = pa.array([self._numbers[name] for name in rows["video_id"].to_pylist()], pa.int32())
        owners = numbers.take(pc.list_parent_indices(lists))
        keys = lists.flatten().cast(pa.int32())
        add_rows(self._database, "keys", pa.table([owners, keys], schema=KEYS))

    def candidates(self, new: Collection[str]) -> list[tuple[str, str]]:
        """Pairs of videos, the lesser id first, that share keys and of which one is new: linear in videos.

        A key that many videos have pairs each with a few of them, new ones with each other and with old ones.
        To be asked once, when all is added.
        """
        self._add_videos("new_videos", new)
        create_table(self._database, "shared", PAIRS)
        num_bands = -(-count_rows(self._database, "keys") // KEYS_A_BAND)
        for band in range(num_bands):
            self._database.execute(SHARED, [num_bands, band])
        found = read_all(self._database, CANDIDATES)
        return [(self._names[first], self._names[second]) for first, second in found]

    def signatures(self, video_ids: Collection[str]) -> Iterator[tuple[str, list[int]]]:
        """Of those of the videos that have one, in no order."""
        self._add_videos("wanted_videos", video_ids)
        query = """
            select video, list(key) as keys from keys where video in (from wanted_videos) group by video
        """
        schema = pa.schema([("video", pa.int32()), ("keys", pa.list_(pa.int64()))])
        for part in read_parts(self._database, query, schema):
            for number, keys in zip(part["video"].to_pylist(), part["keys"].to_pylist(), strict=True):
                yield self._names[number], least_keys(np.array(keys, np.int64)).tolist()
        self._database.execute("drop table wanted_videos")

    def _add_videos(self, table: str, video_ids: Collection[str]) -> None:
        create_table(self._database, table, NUMBERS)
        numbers = pa.array([self._numbers[name] for name in video_ids], pa.int32())
        add_rows(self._database, table, pa.table([numbers], schema=NUMBERS))
