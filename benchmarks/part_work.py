"""A small piece of each part of the job, and what it takes: one part, at sizes that rise, in this process.

    python -m benchmarks.part_work commit 1000 20000    # CPU seconds, bytes of memory more, bytes made

benchmarks/part_costs.py runs it for all of them.
"""

import resource
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks.features import random_clips
from benchmarks.ledger import FEATURIZER, write_ledger
from benchmarks.part_costs import CLIPS_PER_SEGMENT, LATENCY_MS, NUM_COMMITS, SEGMENTS_PER_FILE
from benchmarks.prepared import encode, name_again
from benchmarks.rerun import write_ledger as write_ledger_of
from benchmarks.simulated_store import register
from vbert.corpus.changes import LEDGER_COLUMNS, compare
from vbert.corpus.set_aside import SetAside
from vbert.corpus.sources import corpus_parts, list_corpus
from vbert.distributed.assign_tokens import Buckets
from vbert.distributed.build_documents import FACTS
from vbert.documents import changes as document_changes
from vbert.documents.assembly import build_document
from vbert.documents.data_streams import cut_runs, in_share, windows_of_epoch
from vbert.features.featurizer import Featurizer
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec, featurizer_id
from vbert.features.ledger import DONE, Ledger
from vbert.features.planning import plan_videos
from vbert.features.torch_featurizer import open_featurizer
from vbert.tables.clustering import join_files
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS, pack_vectors, short_hash
from vbert.text.transcripts import Sentence
from vbert.video.decode import decode_clips
from vbert.video.media import plan_segments, probe_video

FEATURE_DIM = 1280
CLIPS_PER_DOCUMENT, SENTENCES_PER_DOCUMENT = 178, 45  # of 267 s
DOCUMENTS_PER_FILE = 131_072

Work = Callable[[], float]  # what is measured; gives bytes that it made, or 0


def comparing(folder: Path, num_videos: int) -> Work:
    """List a bucket, read the ledger, compare: nothing has changed."""
    register()
    corpus = f"simulated://{num_videos}-{LATENCY_MS}/videos"
    write_ledger_of(corpus, folder)

    def work() -> float:
        featurizer = featurizer_id(FeaturizerConfig())
        before = Ledger(str(folder), featurizer=featurizer).listed_before(LEDGER_COLUMNS)
        changes = compare(corpus_parts(corpus, SetAside()), before, retry_failed=False)
        assert changes.num_unchanged == num_videos
        return 0

    return work


def probing(folder: Path, num_videos: int) -> Work:
    """Look at headers and plan segments; bytes: of the plan, a row a segment."""
    first = folder / "0.mp4"
    encode(str(first), "H.264", height=360, seconds=30)
    name_again(first, (folder / f"{number}.mp4" for number in range(1, num_videos)))
    videos, config = list_corpus(str(folder)), FeaturizerConfig()

    def work() -> float:
        plan = plan_videos(
            videos,
            DONE.empty_table(),
            featurizer=featurizer_id(config),
            clip_seconds=config.clip_seconds,
            segment_seconds=config.segment_seconds,
        )
        return float(plan.nbytes)

    return work


def decoding(folder: Path, num_seconds: int) -> Work:
    """Decode 360p H.264 to what EfficientNet-Lite0 sees; bytes: of the file."""
    path = folder / "video.mp4"
    encode(str(path), "H.264", height=360, seconds=num_seconds)
    config = FeaturizerConfig()

    def work() -> float:
        seconds = probe_video(str(path)).duration_seconds
        for segment in plan_segments(
            seconds, clip_seconds=config.clip_seconds, segment_seconds=config.segment_seconds
        ):
            for _ in decode_clips(str(path), segment, clip_spec(config)):
                pass
        return float(path.stat().st_size)

    return work


@cache
def opened_featurizer() -> Featurizer:
    """Once in this process."""
    torch.set_num_threads(1)
    return open_featurizer(FeaturizerConfig(), device="cpu")


def featurizing(_: Path, num_clips: int) -> Work:
    """The backbone of CPUs on one thread."""
    featurizer = opened_featurizer()

    def work() -> float:
        for _ in range(num_clips // 20):
            featurizer.extract(random_clips(featurizer.spec, num_clips=20))
        return 0

    return work


def features_file(table: Table, number: int, num_segments: int) -> NewFile:
    """A file of noise as an actor writes it, uncommitted."""
    noise = np.random.default_rng(number).normal(size=(num_segments, CLIPS_PER_SEGMENT, FEATURE_DIM))
    vectors = pack_vectors(list(noise.astype(np.float16).astype(np.float32)))
    columns = {
        "video_id": pa.array([short_hash(str(number), str(at)) for at in range(num_segments)]),
        "featurizer": pa.repeat(FEATURIZER, num_segments),
        "segment_index": pa.repeat(pa.scalar(0, pa.int32()), num_segments),
        "clip_start_seconds": pa.array([np.arange(CLIPS_PER_SEGMENT) * 1.5] * num_segments),
        "features": vectors,
    }
    return table.write_file(pa.table(columns))


def table_of(folder: Path, num_files: int) -> tuple[Table, Committer, NewFile]:
    """A table that names so many files, all of them names of one file or of its copies."""
    table = Table(str(folder), FEATURES)
    table.create()
    file = features_file(table, 0, 1)
    first = folder / FEATURES.name / file.path
    paths = [first.with_name(f"part-{number:032x}.parquet") for number in range(1, num_files)]
    name_again(first, paths)
    others = [
        NewFile(
            path=str(path.relative_to(folder / FEATURES.name)),
            partition=FEATURIZER,
            size_bytes=file.size_bytes,
            num_rows=1,
            stats=file.stats,
        )
        for path in paths
    ]
    committer = Committer(table, partition=FEATURIZER)
    committer.commit([file, *others])
    return table, committer, file


def committing(folder: Path, num_files: int) -> Work:
    """Commits of one more file each (NUM_COMMITS)."""
    table, committer, _ = table_of(folder, num_files)

    def work() -> float:
        for number in range(NUM_COMMITS):
            committer.commit([features_file(table, number + 1, 1)])
        return 0

    return work


def checkpointing(folder: Path, num_files: int) -> Work:
    """What Delta does at each hundredth commit."""
    table, _, _ = table_of(folder, num_files)

    def work() -> float:
        table.open().create_checkpoint()
        return 0

    return work


def joining(folder: Path, num_files: int) -> Work:
    """Files as featurize writes them into a shard; bytes: of the shard."""
    table = Table(str(folder), FEATURES)
    table.create()
    files = [features_file(table, number, SEGMENTS_PER_FILE) for number in range(num_files)]
    Committer(table, partition=FEATURIZER).commit(files)
    stored = table.stored(partition=FEATURIZER)

    def work() -> float:
        joined = join_files(table, stored, partition=FEATURIZER, target_bytes=256_000_000)
        return float(sum(file.size_bytes for file in joined))

    return work


def documenting(folder: Path, num_videos: int) -> Work:
    """Documents made of tokens and sentences, and written; bytes: of their file."""
    table = Table(str(folder), DOCUMENTS)
    table.create()
    random = np.random.default_rng(0)
    starts = (np.arange(CLIPS_PER_DOCUMENT) * 1.5).tolist()
    segment = {"clip_start_seconds": starts, "clip_seconds": 1.5}
    said = [
        Sentence(text="now let me show you how to cut it", start_seconds=at * 5.0, end_seconds=at * 5.0 + 4)
        for at in range(SENTENCES_PER_DOCUMENT)
    ]

    def made(count: int) -> float:
        rows = []
        for number in range(count):
            facts = {"video_id": short_hash(str(number)), "uri": str(number)}
            tokens = [random.integers(0, 20_736, CLIPS_PER_DOCUMENT, np.int32)]
            video = dict.fromkeys(VIDEOS.schema.names) | facts
            rows.append(build_document(video, [segment], tokens, said, vocabulary="v-1"))
        return float(table.write_file(pa.Table.from_pylist(rows, schema=DOCUMENTS.schema)).size_bytes)

    made(1)  # imports
    return partial(made, num_videos)


def holding_videos(folder: Path, num_videos: int) -> Work:
    """What the driver of build-documents keeps of the ledger."""
    write_ledger(str(folder), num_videos)

    def work() -> float:
        videos = Table(str(folder), VIDEOS).read(
            columns=[*document_changes.LEDGER_COLUMNS, *FACTS], partition=FEATURIZER
        )
        videos = videos.sort_by("video_id").combine_chunks()
        return float(len(Buckets(videos["video_id"].to_pylist(), size=1024)))

    return work


def ordering(_: Path, num_documents: int) -> Work:
    """The order of an epoch, as each of pretraining's workers finds it."""
    files = {str(at): DOCUMENTS_PER_FILE for at in range(num_documents // DOCUMENTS_PER_FILE)}

    def work() -> float:
        streams = windows_of_epoch(cut_runs(files), seed=0, epoch=0, num_streams=8)
        return float(sum(len(stream) for stream in streams))

    return work


def choosing(_: Path, num_documents: int) -> Work:
    """Which documents are trained on, as pretraining's driver finds out of each id at its start."""
    numbers = pa.array(np.arange(num_documents)).cast(pa.string())
    rows = pa.table({"video_id": pc.utf8_lpad(numbers, width=16, padding="0")})  # no Python's strings yet

    def work() -> float:
        ids = rows["video_id"].to_pylist()
        validation = [name for name in ids if in_share("validation", name, 0.01)]
        return float(len(validation) + sum(not in_share("validation", name, 0.01) for name in ids))

    return work


WORK: dict[str, Callable[[Path, int], Work]] = {
    "compare": comparing,
    "probe": probing,
    "decode": decoding,
    "backbone": featurizing,
    "commit": committing,
    "checkpoint": checkpointing,
    "join": joining,
    "documents": documenting,
    "videos held": holding_videos,
    "order": ordering,
    "choose": choosing,
}


def cpu_seconds() -> float:
    """Of this process and all below it, until now: other work on the machine does not count."""
    here = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [here, *here.children(recursive=True)])


def main() -> None:
    """Prepare, work, print."""
    name, *sizes = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        works = []
        for size in sizes:
            place = Path(folder, size)
            place.mkdir()
            works.append(WORK[name](place, int(size)))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for work in works:
            before = cpu_seconds()
            made_bytes = work()
            more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
            print(cpu_seconds() - before, more * 1024, made_bytes)


if __name__ == "__main__":
    main()
