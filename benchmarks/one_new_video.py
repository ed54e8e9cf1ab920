"""One new video among many: the requests and bytes of a night's featurize, and its seconds.

    python -m benchmarks.one_new_video --among 1000 100000 1000000

The tables lie in an S3 stand-in behind a proxy that counts, as compaction leaves them: eight files of
features whose ids overlap wherever one looks. The bucket of videos is benchmarks/simulated_store.py, and an
actor in place of decoder and network gives 256 vectors of 1,280 numbers; all else is the job's.
"""

import argparse

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray

from benchmarks.documents import clip_rows
from benchmarks.first_run import Done, one_segment_each
from benchmarks.simulated_store import register
from tests.object_store import ObjectStore, make_bucket, object_store
from vbert.corpus.set_aside import SetAside
from vbert.corpus.sources import corpus_parts
from vbert.distributed import featurize_flow, featurize_plan
from vbert.distributed.featurize import FeaturizeConfig, featurize
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id
from vbert.features.segment_rows import Begin, Effort
from vbert.tables.clustering import MAX_DEPTH
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import with_columns_of
from vbert.tables.schemas import FEATURES, VIDEOS

FEATURIZER = featurizer_id(FeaturizerConfig())
CLIPS, DIM = 256, 1280


class Made(Done):
    """It says that all is done, and gives noise."""

    def work(self, batch: pa.Table, effort: Effort, begin: Begin) -> tuple[pa.Table, pa.Table]:
        """A row of features for each segment."""
        done, _ = super().work(batch, effort, begin)
        return done, features_of(batch["video_id"].to_pylist(), clips=CLIPS, dim=DIM)


def main() -> None:
    """A line of the table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--among", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    options = parser.parse_args()
    register()
    vars(featurize_plan)["plan_videos"] = one_segment_each
    vars(featurize_flow)["FeaturizeSegments"] = Made
    print("| among | ledger | features | in all | seconds |")
    print("|---|---|---|---|---|")
    for num_videos in options.among:
        with object_store() as store, pytest.MonkeyPatch.context() as patch:
            print(row_of(num_videos, store, make_bucket(store, patch)), flush=True)
            ray.shutdown()  # its workers know this store only


def row_of(num_videos: int, store: ObjectStore, bucket: str) -> str:
    """The last of the videos is the new one."""
    corpus = f"simulated://{num_videos + 1}-0/videos"
    known = pa.concat_tables(corpus_parts(corpus, SetAside())).sort_by("uri").slice(0, num_videos)
    write_tables(bucket, known.sort_by("video_id"))
    before = store.counts()
    summary = featurize(FeaturizeConfig(corpus=corpus, tables=bucket))
    assert (summary.num_ok, summary.num_unchanged) == (1, num_videos), summary
    after = store.counts()
    cells = [f"{num_videos:,}"]
    for of in (" videos", " features", ""):
        names = (f"requests{of}", f"bytes{of}") if of else ("well", "bytes")
        requests, read = (after[name] - before.get(name, 0) for name in names)
        cells.append(f"{requests}, {read / 1e6:.1f} MB")
    return f"| {' | '.join(cells)} | {summary.seconds:.1f} |"


def write_tables(bucket: str, known: pa.Table) -> None:
    """What the job has written of these rows of CORPUS, sorted by id, in a commit for each table."""
    videos, features = Table(bucket, VIDEOS), Table(bucket, FEATURES)
    for table in (videos, features):
        table.create()
    count = known.num_rows
    for name, value in (("featurizer", FEATURIZER), ("status", "ok")):
        known = known.append_column(name, pa.repeat(value, count))
    rows = with_columns_of(known, VIDEOS.schema)
    step = VIDEOS.rows_per_file
    ledger = [videos.write_file(rows.slice(at, step)) for at in range(0, count, step)]
    step = MAX_DEPTH * FEATURES.rows_per_file
    shards = [
        features.write_file(features_of(mine.to_pylist(), clips=1, dim=1))
        for at in range(0, count, step)
        for first in range(MAX_DEPTH)
        if len(
            mine := pc.take(known["video_id"], pa.array(range(at + first, min(at + step, count), MAX_DEPTH)))
        )
    ]
    for table, files in ((videos, ledger), (features, shards)):
        Committer(table, partition=FEATURIZER).commit(files)
        table.log.sum_up()


def features_of(names: list[str], *, clips: int, dim: int) -> pa.Table:
    """A segment a video, of the job's featurizer."""
    rows = clip_rows(names, clips=clips, dim=dim)
    at = rows.schema.get_field_index("featurizer")
    return rows.set_column(at, FEATURES.schema.field("featurizer"), pa.repeat(FEATURIZER, len(names)))


if __name__ == "__main__":
    main()
