"""What a user can get wrong, job by job: one line with a fix, status 2, nothing changed, no Ray started."""

import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.bad_input_world import FEATURIZER, make_world

JOBS = Path(__file__).parents[1] / "jobs"
Run = Callable[..., int]
State = dict[str, tuple[int, int]]

# Of each job a command line that is right: it would go on to start Ray. The cases below spoil one option.
RIGHT: dict[str, dict[str, str]] = {
    "featurize": {"corpus": "{root}/videos", "tables": "{tables}", "backbone": "efficientnet_lite0"},
    "fit_vocabulary": {"tables": "{tables}", "branching": "3", "depth": "2"},
    "build_documents": {"tables": "{tables}", "vocabulary": "{own}"},
    "transcribe": {"tables": "{tables}", "recognizer": "pocketsphinx"},
    "compact_tables": {"tables": "{tables}"},
    "pretrain": {
        "tables": "{tables}",
        "vocabulary": "{own}",
        "output": "{root}/new-run",
        "model.bert": "{root}/bert",
        "sequences.row-length": "64",
        "data-streams": "2",
    },
    "finetune": {
        "task": "classification",
        "tables": "{tables}",
        "model": "{root}/pretrained",
        "annotations": "{root}/annotations.jsonl",
        "output": "{root}/new-tuning",
        "row-length": "64",
    },
    "predict": {
        "tables": "{tables}",
        "model": "{root}/tuned",
        "annotations": "{root}/annotations.jsonl",
        "output": "{root}/new-answers",
    },
    "evaluate_zero_shot": {
        "tables": "{tables}",
        "model": "{root}/pretrained",
        "clips": "{root}/clips.csv",
        "output": "{root}/metrics.json",
    },
    "evaluate_retrieval": {
        "tables": "{tables}",
        "model": "{root}/pretrained",
        "annotations": "{root}/annotations.jsonl",
        "output": "{root}/metrics.json",
        "first-stage": "{root}/near",
    },
    "evaluate_forecast": {
        "tables": "{tables}",
        "model": "{root}/pretrained",
        "videos": "{root}/ids.csv",
        "output": "{root}/metrics.json",
    },
    "deduplicate": {"tables": "{tables}"},
    "search": {
        "like": "a.mp4@2.0",
        "tables": "{tables}",
        "html": "{root}/found.html",
    },
    "report": {
        "tables": "{tables}",
        "vocabulary": "{own}",
        "run": "{root}/run",
        "output": "{root}/report.html",
    },
}

CASES: list[tuple[str, str, str, str]] = [
    # job, option, value, what the line says
    ("featurize", "corpus", "{root}/nowhere", "nowhere: no such file or folder; correct the path"),
    ("featurize", "corpus", "{root}/empty", "empty: no video there"),
    ("featurize", "corpus", "", "--corpus is empty"),
    ("featurize", "corpus", "{root}/text.txt", "text.txt: neither a folder, a video nor a manifest"),
    ("featurize", "corpus", "{root}/names.csv", "names.csv: names no video"),
    ("featurize", "corpus", "{root}/nothing.csv", "nothing.csv: cannot be read as a .csv manifest"),
    ("featurize", "corpus", "{root}/uneven.csv", "uneven.csv: cannot be read as a .csv manifest"),
    ("featurize", "corpus", "{root}/utf16.csv", "utf16.csv"),
    ("featurize", "corpus", "{root}/nul.csv", "nul.csv: row 1 holds a zero byte"),
    ("featurize", "corpus", "{root}/hole.csv", "hole.csv: row 2 names no video; fill in"),
    ("featurize", "corpus", "{root}/twice.csv", "v.mp4 stands there twice; remove one"),
    ("featurize", "corpus", "{root}/numbers.jsonl", "numbers.jsonl: cannot be read as a .jsonl manifest"),
    ("featurize", "corpus", "{root}/cut.jsonl", "cut.jsonl: cannot be read as a .jsonl manifest"),
    ("featurize", "corpus", "{root}/cut.parquet", "cut.parquet: cannot be read as a .parquet manifest"),
    ("featurize", "tables", "{root}/text.txt", "text.txt/videos: cannot"),
    ("featurize", "tables", "", "--tables is empty"),
    ("featurize", "tables", "{root}/files-instead", "files-instead/videos: holds holiday.mp4"),
    ("featurize", "tables", "{root}/broken-log", "broken-log/videos: "),
    ("featurize", "tables", "{root}/other-columns", "other-columns/videos: "),
    ("featurize", "weights", "{root}/no.pth", "no.pth: no such file"),
    ("featurize", "weights", "{root}/scores.pth", "scores.pth: not a state dict"),
    ("featurize", "weights", "{root}/cut-bert/model.safetensors", "model.safetensors: not a state dict"),
    ("featurize", "backbone", "s4d", "s4d"),
    ("featurize", "backbone", "hf:{root}/empty", "empty"),
    ("featurize", "decoder", "vlc", "--decoder"),
    ("featurize", "commit-seconds", "nan", "--commit-seconds"),
    ("fit_vocabulary", "tables", "{root}/empty", "features: no such table; give the --tables"),
    ("fit_vocabulary", "tables", "{root}/files-instead", "files-instead/features: no such table"),
    ("fit_vocabulary", "tables", "{root}/broken-log", "broken-log/features: "),
    ("fit_vocabulary", "tables", "{root}/other-columns", "other-columns/features: "),
    ("fit_vocabulary", "featurizer", "resnet50-01234567", f"one of {FEATURIZER}"),
    ("fit_vocabulary", "depth", "100000000", "depth 100000000"),
    ("fit_vocabulary", "branching", "three", "--branching"),
    ("build_documents", "vocabulary", "{root}/empty", "empty: no vocabulary there"),
    ("build_documents", "vocabulary", "{root}/text.txt", "text.txt: no vocabulary there"),
    ("build_documents", "vocabulary", "{root}/pretrained", "pretrained: no vocabulary there"),
    ("build_documents", "vocabulary", "{other}", "no video with features of other-89abcdef"),
    *(
        ("build_documents", "vocabulary", f"{{root}}/vocabularies/{name}", f"{name}: {said}")
        for name, said in (
            ("no-levels", "not a whole vocabulary"),
            ("list-exemplars", "not a whole vocabulary"),
            ("escaping-featurizer", "'../../etc/passwd' is no featurizer's id"),
            ("other-id", "its content is of"),
            ("cut-facts", "not a whole vocabulary"),
            ("list-facts", "not a whole vocabulary"),
            ("deep-facts", "not a whole vocabulary"),
            ("cut-tensors", "not a whole vocabulary"),
        )
    ),
    ("build_documents", "captions", "{root}/nowhere.json", "nowhere.json: cannot be read"),
    ("build_documents", "captions", "{root}/empty", "empty: cannot be read"),
    ("build_documents", "captions", "{root}/cut.json", "cut.json: not JSON"),
    ("build_documents", "recognizer", "pocketsphinx", "has no transcripts of pocketsphinx; run transcribe"),
    ("build_documents", "language", "gibberish", "--language gibberish: is no language of ISO 639"),
    ("build_documents", "exclude", "duplicates", "needs the copies of"),
    ("build_documents", "tables", "{root}/empty", "videos: no such table"),
    ("transcribe", "tables", "{root}/empty", "videos: no such table"),
    ("transcribe", "featurizer", "s3d-0", f"give --featurizer, one of {FEATURIZER}"),
    ("transcribe", "recognizer", "parrot", "--recognizer parrot: must be"),
    ("transcribe", "recognizer", "whisper:{root}/empty", "--recognizer whisper:"),
    ("transcribe", "num-actors", "0", "--num-actors must be at least 1, got 0"),
    ("featurize", "num-actors", "4:x", "--num-actors 4:x: must be a number, or the least and the most"),
    ("featurize", "num-actors", "4:2", "--num-actors 4:2: must be at least 1, and the most no less"),
    ("featurize", "gpus", "0", "--gpus 0: must be auto, none or how many, from 1"),
    ("pretrain", "gpus", "all", "--gpus all: must be auto, none or how many, from 1"),
    ("compact_tables", "tables", "{root}/empty", "empty: no table there"),
    ("compact_tables", "tables", "{root}/text.txt", "text.txt: no table there"),
    ("compact_tables", "tables", "{root}/broken-log", "broken-log/videos: "),
    ("pretrain", "vocabulary", "{other}", "has none of vocabulary"),
    ("pretrain", "vocabulary", "{root}/vocabularies/cut-tensors", "cut-tensors: not a whole vocabulary"),
    ("pretrain", "model.bert", "{root}/empty", "empty"),
    ("pretrain", "model.bert", "{root}/text.txt", "text.txt"),
    ("pretrain", "model.bert", "{root}/cut-bert", "cut-bert/model.safetensors: not a whole"),
    ("pretrain", "output", "{root}/text.txt", "text.txt"),
    ("pretrain", "output", "{root}/begun", "begun: holds a run with --seed 1, and not 0"),
    ("pretrain", "output", "{root}/begun-tuning", "begun-tuning: holds a run of finetune"),
    ("pretrain", "output", "{root}/torn", "torn/options.json: "),
    ("pretrain", "output", "", "--output is empty"),
    ("pretrain", "held-out", "{root}/gone.csv", "none of its 1 videos (such as gone)"),
    ("pretrain", "documents-version", "99", "no version 99"),
    ("pretrain", "optimizer.learning-rate", "nan", "--optimizer.learning-rate nan"),
    ("pretrain", "optimizer.beta2", "1.5", "beta2 1.5"),
    ("pretrain", "optimizer.weight-decay", "-1", "weight-decay -1"),
    ("pretrain", "sequences.window-seconds", "0", "window-seconds 0.0"),
    ("pretrain", "max-failures", "-2", "--max-failures"),
    ("pretrain", "strategy", "zero", "--strategy"),
    ("finetune", "model", "{root}/nowhere", "nowhere: no checkpoint"),
    ("finetune", "model", "{root}/text.txt", "text.txt: no checkpoint"),
    ("finetune", "model", "{root}/bert", "bert: "),
    ("finetune", "model", "{root}/tuned", "tuned: fine-tuned for classification, and not a pretrained model"),
    ("finetune", "model", "{root}/continuous", "on visual tokens"),
    ("finetune", "model", "{root}/of-other-words", "has no documents of vocabulary"),
    (
        "finetune",
        "model",
        "{root}/of-unknown-features",
        "does not say what features its visual tokens are of",
    ),
    ("finetune", "model", "{root}/of-other-features", "has no features of other-89abcdef"),
    ("finetune", "features", "pixels", "--features"),
    ("finetune", "model", "{root}/cut-config", "cut-config/config.json: broken"),
    ("finetune", "model", "{root}/cut-progress", "cut-progress/progress.json: broken"),
    ("finetune", "model", "{root}/list-progress", "list-progress/progress.json: broken"),
    ("finetune", "model", "{root}/no-words", "no-words/progress.json: "),
    ("finetune", "model", "{root}/cut-tokenizer", "cut-tokenizer/tokenizer.json: "),
    ("finetune", "model", "{root}/cut-pretrained", "cut-pretrained/model.safetensors: not a whole"),
    ("finetune", "model", "{root}/pickled", "no checkpoint (it has no model.safetensors)"),
    ("finetune", "annotations", "{root}/nothing.csv", "nothing.csv: cannot be read"),
    ("finetune", "annotations", "{root}/heading.csv", "heading.csv: has no rows"),
    ("finetune", "annotations", "{root}/backwards.csv", "row 1 (video cooking-1): start_seconds 6.0"),
    ("finetune", "annotations", "{root}/half.csv", "has one of start_seconds and end_seconds"),
    ("finetune", "annotations", "{root}/words.csv", "words.csv: cannot be read"),
    ("finetune", "annotations", "{root}/split.csv", "split 'dev' is none of train"),
    ("finetune", "annotations", "{root}/gone.csv", "none of its 1 videos"),
    ("finetune", "annotations", "{root}/text.txt", "is a .csv, .jsonl or .parquet file"),
    ("finetune", "output", "{root}/begun", "begun: holds a run of pretrain"),
    ("finetune", "output", "{root}/begun-tuning", "begun-tuning: holds a run with"),
    ("finetune", "output", "{root}/torn-tuning", "torn-tuning/finetune.json: "),
    ("finetune", "output", "{root}/user", "user/examples: holds thesis.txt"),
    ("finetune", "output", "{root}/text.txt", "text.txt"),
    ("finetune", "dropout", "1.5", "--dropout 1.5"),
    ("finetune", "head-rate", "0", "--head-rate 0"),
    ("finetune", "row-length", "3", "--row-length must be at least 16, got 3"),
    ("finetune", "options.decoder-layers", "0", "decoder-layers 0"),
    ("predict", "model", "{root}/pretrained", "a pretrained model and not a fine-tuned one; run finetune"),
    ("predict", "model", "{root}/empty", "empty: no checkpoint"),
    ("predict", "model", "{root}/cut-tuned", "cut-tuned/model.safetensors: not a whole"),
    ("predict", "output", "{root}/text.txt", "text.txt"),
    ("predict", "annotations", "{root}/gone.csv", "none of its 1 videos"),
    ("predict", "window-seconds", "nan", "--window-seconds nan"),
    ("predict", "num-resamples", "-1", "--num-resamples"),
    ("evaluate_zero_shot", "model", "{root}/tuned", "tuned: fine-tuned for classification"),
    ("evaluate_zero_shot", "model", "{root}/cut-pretrained", "model.safetensors: not a whole"),
    ("evaluate_zero_shot", "model", "{root}/of-other-words", "has no documents of vocabulary"),
    ("evaluate_zero_shot", "model", "{root}/escaping", "escaping/progress.json: "),
    ("evaluate_zero_shot", "clips", "{root}/ids.csv", "ids.csv: row 1 has no `start_seconds`"),
    ("evaluate_zero_shot", "template", "say something", "say something"),
    ("evaluate_zero_shot", "output", "{root}/empty", "empty"),
    ("evaluate_zero_shot", "output", "{root}/text.txt/metrics.json", "text.txt"),
    ("evaluate_retrieval", "model", "{root}/tuned", "tuned: fine-tuned for classification"),
    ("evaluate_retrieval", "first-stage", "{root}/pretrained", "a pretrained model and not a fine-tuned"),
    ("evaluate_retrieval", "first-stage", "{root}/tuned", "was fine-tuned for classification"),
    ("evaluate_retrieval", "first-stage", "{root}/near-other-words", "near-other-words: "),
    ("evaluate_retrieval", "first-stage", "{root}/cut-near", "model.safetensors: not a whole"),
    ("evaluate_retrieval", "num-candidates", "0", "--num-candidates"),
    ("evaluate_retrieval", "word-vectors", "{root}/text.txt", "text.txt: is no text file of word vectors"),
    ("evaluate_retrieval", "sentence-encoder", "{root}/empty", "empty: no encoder of texts"),
    ("evaluate_retrieval", "output", "{root}/empty", "empty"),
    ("deduplicate", "tables", "{root}/empty", "features: no such table"),
    ("deduplicate", "featurizer", "resnet50-01234567", f"one of {FEATURIZER}"),
    ("search", "like", "cooking-1", "--like cooking-1: give VIDEO@SECONDS, such as talk.mp4@12.5"),
    ("search", "like", "cooking-1@-1", "--like cooking-1@-1: give VIDEO@SECONDS"),
    ("search", "like", "nobody@1", "has no video nobody"),
    ("search", "like", "a@99", "--like a@99: no clip at that time"),
    ("search", "like", "cooking-1@1", "--like cooking-1@1: no clip at that time"),
    ("search", "tables", "{root}/empty", "features: no such table"),
    ("search", "featurizer", "resnet50-01234567", f"one of {FEATURIZER}"),
    ("search", "html", "{root}/empty", "empty"),
    ("search", "num-results", "0", "--num-results must be at least 1, got 0"),
    ("search", "window-seconds", "0", "--window-seconds 0.0 must be above 0"),
    ("search", "model", "{root}/near", "a text needs --model, and --like takes none"),
    ("evaluate_forecast", "model", "{root}/near", "near: fine-tuned for retrieval"),
    ("evaluate_forecast", "model", "{root}/continuous", "knows no visual tokens"),
    ("evaluate_forecast", "videos", "{root}/gone.csv", "none of its 1 videos"),
    ("evaluate_forecast", "num-seen", "99", "give a smaller --num-seen"),
    ("evaluate_forecast", "output", "{root}/empty", "empty"),
    ("report", "vocabulary", "{other}", "run/model: knows the visual vocabulary"),
    ("report", "run", "{root}/empty", "empty/model: no checkpoint"),
    ("report", "run", "{root}/run-of-other-words", "run-of-other-words/model: "),
    ("report", "run", "{root}/metrics", "metrics/metrics.jsonl: line 2"),
    ("report", "evaluations", "{root}/no-metrics.json", "no-metrics.json: has no `scores`"),
    ("report", "output", "{root}/empty", "empty"),
    ("report", "output", "{root}/text.txt/report.html", "text.txt"),
    ("report", "num-videos", "-1", "--num-videos"),
]


class RayStarted(Exception):
    """A job has found nothing wrong before it starts Ray."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def run(places: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a job in this process, with one option changed, up to Ray's start: its exit status."""

    def no_ray(*_: object, **__: object) -> None:
        raise RayStarted

    def run(job: str, **changes: str) -> int:
        options = RIGHT[job] | {name.replace("_", "-"): value for name, value in changes.items()}
        arguments = [
            part for name, value in options.items() for part in (f"--{name}", value.format(**places))
        ]
        monkeypatch.setattr("sys.argv", [f"{job}.py", *arguments])
        monkeypatch.setattr("ray.init", no_ray)
        monkeypatch.setattr("vbert.distributed.build_documents.VIDEOS_HERE", 0)  # which need no Ray
        monkeypatch.setattr("vbert.distributed.fit_vocabulary.BYTES_HERE", 0)
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(JOBS / f"{job}.py"), run_name="__main__")
        assert isinstance(stop.value.code, int)
        return stop.value.code

    monkeypatch.chdir(tmp_path)
    return run


def state_of(root: str) -> State:
    """Size and time of all that is there: a commit to a table, a new folder or a changed file shows."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in Path(root).rglob("*")}


@pytest.mark.seconds(6)  # some start a process that imports torch
@pytest.mark.parametrize(
    ("job", "option", "value", "said"),
    CASES,
    ids=[f"{job}-{option}-{value[-24:]}" for job, option, value, _ in CASES],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_input_is_one_line_and_changes_nothing(
    run: Run,
    places: Mapping[str, str],
    capfd: pytest.CaptureFixture[str],
    job: str,
    option: str,
    value: str,
    said: str,
):
    before = state_of(places["root"])
    assert run(job, **{option: value}) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert state_of(places["root"]) == before


@pytest.mark.seconds(6)
# Where there is nothing to join compact_tables needs no Ray.
@pytest.mark.parametrize("job", sorted(set(RIGHT) - {"compact_tables"}))
def test_the_command_lines_that_are_spoilt_here_are_right(run: Run, job: str):
    with pytest.raises(RayStarted):
        run(job)


@pytest.mark.seconds(6)
def test_a_job_in_a_process_of_its_own_ends_with_status_2_and_no_traceback(places: Mapping[str, str]):
    command = [sys.executable, str(JOBS / "compact_tables.py"), "--tables", f"{places['root']}/broken-log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {places['root']}/broken-log/videos: cannot be read as a table (")
    assert done.stdout == ""
