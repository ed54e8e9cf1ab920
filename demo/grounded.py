"""Learning that counts, on a corpus that nobody here drew: demonstrations in BabyAI's grid world.

make grounded

Records the demonstrations, runs the product's own jobs on them (featurize, fit_vocabulary, build_documents,
pretrain, evaluate_zero_shot, finetune, predict, evaluate_forecast), all that trains with three seeds, and
prints a table, which it writes to grounded-output/grounded.md. About half an hour on 2 cores; what is there
of an earlier run, stopped or not, is not made again. `--trial` takes sizes that teach nothing, in minutes.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.grounded_corpus import MISSIONS_A_VIDEO
from demo.grounded_table import ASKED, FINETUNED, FORECASTING, LABELED, MODELS, table
from demo.one_cluster import one_cluster
from demo.run import ROOT, evaluate_command, pretrain_command, run, say
from demo.seeds import folder_of_seed
from demo.tasks import Trial, finetune_command, folder, predict_command, pretrained_command

# What differs from the demo's pretraining, with which colours stay at chance. A mission is said while it is
# shown: of three joined ones no word follows from any clip more than from another. Of 6 words 15 % are one,
# seldom the colour; and where half of the pairs are negatives, half of the words teach nothing.
PRETRAINING = (
    *("--sequences.max-joined-sentences", 1, "--sequences.mask-share", 0.3),
    *("--sequences.negative-share", 0.3),
)
# Here looks tell all, and no order of clips: heads learn fast, and the encoder slowly.
FINETUNING = ("--optimizer.learning-rate", 1e-4, "--head-rate", 100)
TEMPLATE = ("--template", "go to the {verb} {object} .")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything."""

    num_missions: int
    num_steps: int
    """Of pretraining."""
    num_epochs: int
    """Of fine-tuning."""
    num_seeds: int
    branching: int
    """Of two levels of the visual vocabulary."""


# 1,600 missions are 400 videos of 17 s: 4,400 clips, of which 256 visual words have 17 each. A fifth of the
# videos is asked about: 320 missions, of which an accuracy of 0.7 has a standard error of 0.026.
# 240 steps of 8 rows of 128 positions are 16,000 sequences of 15: each of 1,280 training missions 13 times.
WHOLE = Sizes(num_missions=1600, num_steps=240, num_epochs=2, num_seeds=3, branching=16)
TRIAL = Sizes(num_missions=80, num_steps=4, num_epochs=1, num_seeds=1, branching=4)

seconds_of: Counter[str] = Counter()


@contextmanager
def part(name: str) -> Iterator[None]:
    """Adds up how long each part takes."""
    start_seconds = time.monotonic()
    yield
    seconds_of[name] += round(time.monotonic() - start_seconds)


def main() -> None:
    """Make the tables, train with each seed, print the table."""
    output, is_trial = chosen(str(__doc__), ROOT / "grounded-output")
    sizes = TRIAL if is_trial else WHOLE
    with one_cluster():
        prepare(output, sizes)
        for seed in range(sizes.num_seeds):
            learn(output, sizes, seed=seed)
    text = "\n".join(table(output, num_seeds=sizes.num_seeds))
    (output / "grounded.md").write_text(f"{text}\n")
    print(f"\n{text}\n")
    print(", ".join(f"{name} {seconds // 60}:{seconds % 60:02}" for name, seconds in seconds_of.items()))


def chosen(description: str, output: Path) -> tuple[Path, bool]:
    """The folder for all of it, as the command line has it, and whether it is a trial."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=output, help="folder for all of it")
    parser.add_argument("--trial", action="store_true", help="small sizes, which show that all of it runs")
    options = parser.parse_args()
    root: Path = options.output.absolute() / ("trial" if options.trial else "")
    return root, options.trial


def prepare(output: Path, sizes: Sizes) -> None:
    """Record, featurize, fit, build; and tell labels by logistic regression, which has no seed."""
    corpus, tables = output / "corpus", output / "tables"
    say(f"{sizes.num_missions} demonstrations, {MISSIONS_A_VIDEO} a video")
    with part("recording"):
        run("-m", "demo.grounded_corpus", "--output", corpus, "--num-missions", sizes.num_missions)
    with part("featurizing"):
        run("jobs/featurize.py", "--corpus", corpus / "manifest.csv", "--tables", tables)
    with part("vocabulary and documents"):
        shape = ("--branching", sizes.branching, "--depth", 2)
        run_once(tables / "vocabularies", "jobs/fit_vocabulary.py", "--tables", tables, *shape)
        run("jobs/build_documents.py", "--tables", tables, "--vocabulary", vocabulary_of(tables))
    say("what a logistic regression tells, of the mean of features and of counts of visual tokens")
    with part("logistic regression"):
        for annotations in LABELED:
            for of in MODELS:
                where = folder(output, f"{annotations} {of}") / "test"
                places = ("--annotations", f"{annotations}.jsonl", "--of", of, "--output", where)
                command = ("-m", "demo.pooled_features", "--demo", output, *places)
                run_once(where / "metrics.json", *command)


def vocabulary_of(tables: Path) -> Path:
    """The only one."""
    (found,) = (tables / "vocabularies").iterdir()
    return found


def learn(output: Path, sizes: Sizes, *, seed: int) -> None:
    """Pretrain on tokens and on features, ask both, fine-tune the first: into a folder like a demo's."""
    here = folder_of_seed(output, seed, shared=("corpus", "tables"))
    for visual_input, name in MODELS.items():
        say(f"seed {seed}: pretraining on {visual_input}")
        with part(f"pretraining on {visual_input}"):
            changes = ("--visual-input", visual_input)
            pretrain(here, here / name, *changes, num_steps=sizes.num_steps, seed=seed)
        with part("zero-shot"):
            ask(here, here / name)
    with part("forecasting"):
        asked = ("--videos", "heldout.csv")
        command = pretrained_command("evaluate_forecast", here, here / "run", FORECASTING, *asked)
        run_once(folder(here, FORECASTING) / "test" / "metrics.json", *command)
    for name, (trial, kinds) in FINETUNED.items():
        for kind in kinds:
            say(f"seed {seed}: {name}, {kind}")
            with part("fine-tuning"):
                output = folder(here, f"{name} {kind}")
                finetune(here, output, trial, kind=kind, num_epochs=sizes.num_epochs, seed=seed)


def pretrain(here: Path, model: Path, *changes: object, num_steps: int, seed: int) -> None:
    """The demo's pretraining with other sequences; goes on where it was stopped."""
    corpus, tables = here / "corpus", here / "tables"
    command = pretrain_command(tables, vocabulary_of(tables), corpus, model, num_steps=num_steps)
    run_once(model / "model", *command, *PRETRAINING, "--seed", seed, *changes)


def ask(here: Path, model: Path) -> None:
    """Which colour, which kind? Of all missions of the videos held out, and of the pairs never seen."""
    for name, clips in ASKED.items():
        command = evaluate_command(here / "tables", here / "corpus", model, clips=clips, name=name)
        run_once(model / f"{name}.json", *command, *TEMPLATE)


def finetune(here: Path, output: Path, trial: Trial, *, kind: str, num_epochs: int, seed: int) -> None:
    """As the demo's tasks, for fewer epochs of more examples."""
    command = finetune_command(here, output, trial, kind=kind)
    run_once(output / "model", *command, *FINETUNING, "--num-epochs", num_epochs, "--seed", seed)
    run_once(output / "test" / "metrics.json", *predict_command(here, output, trial))


def run_once(result: Path, *command: object) -> None:
    """Run a command unless what it leaves at its end is there."""
    if not result.exists():
        run(*command)


if __name__ == "__main__":
    main()
