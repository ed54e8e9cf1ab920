"""One new video among many: the requests and bytes of a night's featurize, and its seconds.

    python -m benchmarks.one_new_video --among 1000 100000 1000000

The tables lie in an S3 stand-in behind a proxy that counts, as compaction leaves them: eight files of
features whose ids overlap wherever one looks. The bucket of videos is benchmarks/simulated_store.py, and an
actor in place of decoder and network gives 256 vectors of 1,280 numbers; all else is the job's.
"""

import argparse

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.documents import clip_rows, print_rows, spent
from benchmarks.first_run import Done, one_segment_each
from benchmarks.rerun import as_done
from benchmarks.simulated_store import register
from tests.object_store import ObjectStore
from vbert.corpus.set_aside import SetAside
from vbert.corpus.sources import corpus_parts
from vbert.distributed import featurize_flow, featurize_plan
from vbert.distributed.featurize import FeaturizeConfig, featurize
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id
from vbert.features.segment_rows import Begin, Effort
from vbert.tables.clustering import MAX_DEPTH
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import FEATURES, VIDEOS

FEATURIZER = featurizer_id(FeaturizerConfig())
CLIPS, DIM = 256, 1280


class Made(Done):
    """It says that all is done, and gives noise."""

    def work(self, batch: pa.Table, effort: Effort, begin: Begin) -> tuple[pa.Table, pa.Table]:
        """A row of features for each segment."""
        done, _ = super().work(batch, effort, begin)
        return done, clip_rows(batch["video_id"].to_pylist(), clips=CLIPS, dim=DIM, featurizer=FEATURIZER)


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
    print_rows(row_of, options.among)


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
    for folder in ("videos", "features", None):
        requests, megabytes = spent(before, after, folder=folder)
        cells.append(f"{requests}, {megabytes:.1f} MB")
    return f"| {' | '.join(cells)} | {summary.seconds:.1f} |"


def write_tables(bucket: str, known: pa.Table) -> None:
    """What the job has written of these rows of CORPUS, sorted by id, in a commit for each table."""
    videos, features = Table(bucket, VIDEOS), Table(bucket, FEATURES)
    for table in (videos, features):
        table.create()
    count, rows = known.num_rows, as_done(known, FEATURIZER)
    step = VIDEOS.rows_per_file
    ledger = [videos.write_file(rows.slice(at, step)) for at in range(0, count, step)]
    step = MAX_DEPTH * FEATURES.rows_per_file
    shards = [
        features.write_file(clip_rows(mine.to_pylist(), clips=1, dim=1, featurizer=FEATURIZER))
        for at in range(0, count, step)
        for first in range(MAX_DEPTH)
        if len(
            mine := pc.take(known["video_id"], pa.array(range(at + first, min(at + step, count), MAX_DEPTH)))
        )
    ]
    for table, files in ((videos, ledger), (features, shards)):
        Committer(table, partition=FEATURIZER).commit(files)
        table.log.sum_up()


if __name__ == "__main__":
    main()
