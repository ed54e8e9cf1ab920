"""The whole Ray job against its parts: how much of the cores' time is decode and backbone.

    python benchmarks/job.py

The floor is what the same segments cost in plain processes, one a core, at once: no Ray, no tables. The job's
time is from its first worker's first segment to its last commit: without the start of Ray and of the workers.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# One plain process: its share of the segments, after the model has been loaded and warmed up.
PLAIN = """
import sys, time, torch
torch.set_num_threads(1)
import pyarrow as pa
from vbert.corpus.sources import list_corpus
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id
from vbert.features.ledger import DONE
from vbert.features.segment_rows import featurize_segments
from vbert.features.planning import plan_videos
from vbert.features.torch_featurizer import open_featurizer
corpus, rank, num_ranks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = FeaturizerConfig()
options = dict(clip_seconds=config.clip_seconds, segment_seconds=config.segment_seconds)
plan = plan_videos(list_corpus(corpus), DONE.empty_table(), featurizer=featurizer_id(config), **options)
mine = plan.take(list(range(rank, plan.num_rows, num_ranks)))
featurizer = open_featurizer(config, device="cpu")
featurize_segments(mine.slice(0, 1), featurizer, config=config)
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
segments, _ = featurize_segments(mine, featurizer, config=config)
print(time.monotonic() - start, sum(segments["num_clips"].to_pylist()), flush=True)
"""


JOB = """
import sys
from vbert.distributed.featurize import FeaturizeConfig, featurize
summary = featurize(FeaturizeConfig(corpus=sys.argv[1], tables=sys.argv[2], num_workers=int(sys.argv[3])))
print(summary.working_seconds, summary.seconds)
"""


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-videos", type=int, default=48, help="of 20 to 35 s each")
    parser.add_argument("--num-cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; the least time of each counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        make_corpus(corpus, options.num_videos)
        floors, jobs = [], []
        for _ in range(options.repeats):
            floors.append(plain_seconds(corpus, options.num_cores))
            jobs.append(job_seconds(corpus, options.num_cores))
    floor_seconds, num_clips = min(floors)
    working_seconds, seconds = min(jobs)
    print(f"{num_clips:,} clips on {options.num_cores} cores, efficientnet_lite0")
    print(f"plain processes         {floor_seconds:6.1f} s  {num_clips / floor_seconds:6.1f} clips/s")
    print(f"job, without its start  {working_seconds:6.1f} s  {num_clips / working_seconds:6.1f} clips/s")
    print(f"job, all of it          {seconds:6.1f} s  {num_clips / seconds:6.1f} clips/s")
    print(f"share of the ideal      {floor_seconds / working_seconds:6.2f}  (goal: at least 0.85)")


def make_corpus(folder: Path, num_videos: int) -> None:
    """Copies of one rendered video: a minute of 320x240 H.264."""
    folder.mkdir()
    rendered = folder.parent / "rendered"
    if not rendered.exists():
        command = [sys.executable, "-m", "demo.render_corpus", "--output", str(rendered), "--num-videos", "4"]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    originals = sorted(rendered.rglob("*.mp4"))
    for index in range(num_videos):
        shutil.copyfile(originals[index % len(originals)], folder / f"{index:04}.mp4")


def plain_seconds(corpus: Path, num_cores: int) -> tuple[float, int]:
    """The slowest of the processes, and all their clips."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PLAIN, str(corpus), str(rank), str(num_cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(num_cores)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all at once: they share the memory's bandwidth as the job's actors do
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate()[0].split() for process in processes]
    return max(float(seconds) for seconds, _ in results), sum(int(clips) for _, clips in results)


def job_seconds(corpus: Path, num_cores: int) -> tuple[float, float]:
    """One run of the job into new tables: its working time, and all of its time."""
    tables = corpus.parent / "tables"
    shutil.rmtree(tables, ignore_errors=True)
    command = [sys.executable, "-c", JOB, str(corpus), str(tables), str(num_cores)]
    run = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    working_seconds, seconds = map(float, run.stdout.split()[-2:])
    return working_seconds, seconds


if __name__ == "__main__":
    main()
