"""Ray finds videos that show the same: signatures from each file of features, then pairs clip by clip.

features files -> signatures of new videos -> pairs that share keys -> where they agree -> clusters
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from vbert.distributed.actors import blocks_of, outcomes_on_cpus
from vbert.distributed.cluster import RewriteOnWorkers, connect
from vbert.duplicates.agreement import agreement_of, on_grid
from vbert.duplicates.clusters import Link, clusters_of
from vbert.duplicates.signature_store import SIGNATURES, SignatureStore
from vbert.duplicates.signatures import least_keys, signature_of
from vbert.progress import Progress
from vbert.storage.files import with_absolute_paths
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.pins import pinned
from vbert.tables.reading import choose_featurizer
from vbert.tables.schemas import DUPLICATES, FEATURES, VIDEOS, short_hash, unpack_vectors
from vbert.tables.selection import Among

PAIRS_A_TASK = 64
ROW_COLUMNS = [name for name in DUPLICATES.schema.names if name not in ("featurizer", "signature")]
LINKS = pa.schema(
    [
        *(("first", pa.string()), ("second", pa.string())),
        *(("share", pa.float64()), ("offset_seconds", pa.float64())),
    ]
)
Rows = dict[str, dict[str, Any]]  # of DUPLICATES by video, without signatures: 0.8 KB each


@dataclass(frozen=True, kw_only=True)
class DeduplicateConfig:
    """Find videos that show the same: cut, encoded again, scaled or shifted copies. Nothing is decoded."""

    tables: str
    """Folder or bucket URL of the tables that featurize wrote."""
    featurizer: str | None = None
    """Whose features, as featurize printed it; may be left out where there is only one."""


@dataclass(frozen=True, kw_only=True)
class DeduplicateSummary:
    """What one run did and what there is now."""

    featurizer: str
    num_videos: int
    num_new: int
    """Videos that were looked at: new, changed, or of a cluster that has lost one."""
    num_pairs: int
    """Pairs that were compared clip by clip."""
    num_clusters: int
    """Of more than one video."""
    num_copies: int
    """Videos in them that are not the one to keep."""
    seconds: float


def deduplicate(config: DeduplicateConfig) -> DeduplicateSummary:
    """Bring the table `duplicates` up to date with the ledger, for one featurizer."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables")
    featurizer = choose_featurizer(config.featurizer, Table(config.tables, FEATURES))
    ledger = _usable_videos(config.tables, featurizer)
    table = Table(config.tables, DUPLICATES)
    table.create()
    before = _by_id(table.read(columns=ROW_COLUMNS, partition=featurizer))
    rows, new, unsigned = _carried_over(before, ledger)
    links: list[Link] = []
    num_pairs = 0
    store = SignatureStore(list(rows))
    if new:
        connect()
        name = f"deduplicate-{short_hash(featurizer)}"
        with pinned(config.tables, name, job=f"deduplicate of {featurizer}"):
            _add_known(store, table, featurizer, sorted(set(rows) - set(unsigned)))
            signed = _add_signatures(store, config.tables, featurizer, unsigned)
            for video_id in set(unsigned) - signed:
                del rows[video_id]  # pruned since the ledger was read
            pairs = store.candidates(new)
            num_pairs = len(pairs)
            links = list(_agreeing(config.tables, featurizer, pairs))
    members = clusters_of([*links, *_old_links(rows, new)], _worth(ledger, rows))
    for video_id, member in members.items():
        rows[video_id] |= asdict(member)
    _commit(table, featurizer, before, rows, store)
    sizes = pc.value_counts(pa.array([row["cluster"] for row in rows.values()], pa.string()))
    counts = [count for count in sizes.field("counts").to_pylist() if count > 1]
    return DeduplicateSummary(
        featurizer=featurizer,
        num_videos=len(rows),
        num_new=len(new),
        num_pairs=num_pairs,
        num_clusters=len(counts),
        num_copies=sum(counts) - len(counts),
        seconds=time.monotonic() - start_seconds,
    )


def _usable_videos(tables: str, featurizer: str) -> pa.Table:
    columns = ["video_id", "fingerprint", "num_clips", "transcript_uri", "width"]
    ledger = Table(tables, VIDEOS).read(columns=columns, partition=featurizer)
    return ledger.filter(pc.greater(ledger["num_clips"], 0))


def _by_id(rows: pa.Table) -> Rows:
    return {row["video_id"]: row for row in rows.to_pylist()}


def _carried_over(before: Rows, ledger: pa.Table) -> tuple[Rows, set[str], list[str]]:
    """A row for each video of the ledger; the videos to be looked at: those that are new or have changed, and
    the others of clusters that have lost a video by that; and those that have no signature yet."""
    now = _by_id(ledger.select(["video_id", "fingerprint", "num_clips"]))
    same = {
        name for name, row in now.items() if before.get(name, {}).get("fingerprint") == row["fingerprint"]
    }
    broken = {before[name]["cluster"] for name in set(before) - same}
    rows = {name: {**(before[name] if name in same else row)} for name, row in now.items()}
    new = {name for name in now if name not in same or before[name]["cluster"] in broken}
    return rows, new, [name for name in now if name not in same]


def _worth(ledger: pa.Table, rows: Rows) -> dict[str, tuple[int, ...]]:
    """The longest of copies is kept, then one with a transcript, then the widest."""
    return {
        row["video_id"]: (row["num_clips"], row["transcript_uri"] is not None, row["width"] or 0)
        for row in ledger.to_pylist()
        if row["video_id"] in rows
    }


def _old_links(rows: Rows, new: Collection[str]) -> Iterator[Link]:
    """What earlier runs have found of the videos that nothing has changed for."""
    for name, row in rows.items():
        if name not in new and row["kept_id"] != name:
            yield Link(
                first=row["kept_id"], second=name, share=row["share"], offset_seconds=row["offset_seconds"]
            )


def _add_known(store: SignatureStore, table: Table, featurizer: str, video_ids: Sequence[str]) -> None:
    """What earlier runs have found, a row group at a time."""
    selection = Among(video_ids)
    for path in table.paths(partition=featurizer):
        for rows in table.row_groups(path, columns=SIGNATURES.names, selection=selection):
            store.add(rows)


def _add_signatures(
    store: SignatureStore, tables: str, featurizer: str, video_ids: Sequence[str]
) -> set[str]:
    """Those of new videos, from all files that may hold them, each read once; which videos have one."""
    features = Table(tables, FEATURES)
    paths = features.paths_that_may_hold(Among(video_ids), partition=featurizer) if video_ids else []
    arguments = {"features": features, "video_ids": ray.put(list(video_ids))}
    signed: set[str] = set()
    for block in _on_cpus(SignVideos, [{"path": path} for path in paths], 1, arguments, "sign"):
        store.add(block)
        signed.update(block["video_id"].to_pylist())
    return signed


def _agreeing(tables: str, featurizer: str, pairs: Sequence[tuple[str, str]]) -> Iterator[Link]:
    arguments = {"features": Table(tables, FEATURES), "featurizer": featurizer}
    rows = [{"first": first, "second": second} for first, second in pairs]
    for block in _on_cpus(ComparePairs, rows, PAIRS_A_TASK, arguments, "compare"):
        yield from (Link(**row) for row in block.to_pylist())


def _on_cpus(
    kind: type[Any], rows: Sequence[Mapping[str, Any]], size: int, arguments: Mapping[str, Any], what: str
) -> Iterable[pa.Table]:
    """What actors make of so many rows at a time."""
    blocks = blocks_of(rows, size=size)
    progress = Progress(f"deduplicate ({what})", total=len(blocks), unit="parts")
    for block in outcomes_on_cpus(kind, blocks, arguments=arguments):
        yield block
        progress.advance(1)
    progress.finish()


def _commit(table: Table, featurizer: str, before: Rows, rows: Rows, store: SignatureStore) -> None:
    """Write the rows that differ; drop those of videos that are gone."""
    changed = [name for name, row in rows.items() if row != before.get(name)]
    files = []
    for at in range(0, len(changed), DUPLICATES.rows_per_file):
        names = changed[at : at + DUPLICATES.rows_per_file]
        written = [
            {**rows[name], "featurizer": featurizer, "signature": signature}
            for name, signature in store.signatures(names)
        ]
        files.append(table.write_file(pa.Table.from_pylist(written, schema=DUPLICATES.schema)))
    stale = (set(before) - set(rows)) | set(changed) & set(before)
    rewrite = RewriteOnWorkers(table.root, DUPLICATES, partition=featurizer)
    Committer(table, partition=featurizer).commit(files, drop=stale, rewrite=rewrite(stale))


class SignVideos:
    """An actor: paths of features files in, rows of SIGNATURES of the parts of videos there out."""

    def __init__(self, *, features: Table, video_ids: "ray.ObjectRef[list[str]]") -> None:
        self.features = features
        wanted: list[str] = ray.get(video_ids)
        self.selection = Among(wanted)

    def __call__(self, files: pa.Table) -> pa.Table:
        """A segment at a time."""
        parts: dict[str, list[np.ndarray]] = {}
        for path in files["path"].to_pylist():
            groups = self.features.row_groups(
                path, columns=["video_id", "features"], selection=self.selection
            )
            for rows in groups:
                for at, video_id in enumerate(rows["video_id"].to_pylist()):
                    vectors = unpack_vectors(rows["features"].slice(at, 1))
                    parts.setdefault(video_id, []).append(signature_of(vectors))
        found = [
            {"video_id": video_id, "signature": least_keys(np.concatenate(keys)).tolist()}
            for video_id, keys in parts.items()
        ]
        return pa.Table.from_pylist(found, schema=SIGNATURES)


class ComparePairs:
    """An actor: pairs of videos in, rows of LINKS of those that are copies out."""

    def __init__(self, *, features: Table, featurizer: str) -> None:
        self.features, self.featurizer = features, featurizer

    def __call__(self, pairs: pa.Table) -> pa.Table:
        """Each video's features are read once for all its pairs here."""
        names = set(pairs["first"].to_pylist()) | set(pairs["second"].to_pylist())
        videos = self._clips(names)
        found = []
        for pair in pairs.to_pylist():
            if pair["first"] not in videos or pair["second"] not in videos:
                continue  # pruned since the ledger was read
            (first, seconds), (second, _) = videos[pair["first"]], videos[pair["second"]]
            agreement = agreement_of(first, second)
            if agreement.is_copy:
                offset_seconds = agreement.offset_clips * seconds
                found.append({**pair, "share": agreement.share, "offset_seconds": offset_seconds})
        return pa.Table.from_pylist(found, schema=LINKS)

    def _clips(self, video_ids: Collection[str]) -> dict[str, tuple[np.ndarray, float]]:
        """Clips float32 [n, dim] of each video without gaps, and the length of one in seconds."""
        columns = ["video_id", "clip_seconds", "clip_start_seconds", "features"]
        rows = self.features.read(columns=columns, partition=self.featurizer, video_ids=video_ids)
        found = {}
        for video_id in rows["video_id"].unique().to_pylist():
            mine = rows.filter(pc.equal(rows["video_id"], video_id))
            starts = pc.list_flatten(mine["clip_start_seconds"]).to_numpy()
            if len(starts):
                seconds = mine["clip_seconds"][0].as_py()
                vectors = unpack_vectors(mine["features"])
                found[video_id] = on_grid(vectors, starts, clip_seconds=seconds), seconds
        return found
