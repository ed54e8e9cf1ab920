"""The jobs in a row as a user runs them, and what a user can get wrong."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Run
from tests.job_process import JOBS
from tests.videos import Video, write_video
from vbert.documents.assembly import tokens_of_sentences
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS


def write_corpus(folder: Path) -> Path:
    """Four videos of 3 to 7.5 s; one has a transcript, one a file that is none."""
    folder.mkdir()
    for index in range(4):
        write_video(folder / f"v{index}.mp4", Video(num_frames=30 + 15 * index, fps=Fraction(10)))
    cues = "00:00.100 --> 00:01.400\nFirst we cut it.\n\n00:02.000 --> 00:04.000\nThen we fry it.\n"
    (folder / "v2.vtt").write_text(f"WEBVTT\n\n{cues}")
    (folder / "v3.vtt").write_text("no times here")
    return folder


@pytest.mark.slow
@pytest.mark.seconds(90)
def test_the_jobs_in_a_row(run_job: Run, joined: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    corpus, tables = write_corpus(tmp_path / "corpus"), tmp_path / "tables"
    featurize = ("featurize", "--corpus", corpus, "--tables", tables, "--num-workers", 1)

    assert run_job(*featurize) == 1
    assert "v3.mp4: transcript: no transcript that is known" in capsys.readouterr().out
    (featurizer,) = Table(str(tables), FEATURES).partitions()
    ledger = Table(str(tables), VIDEOS).read(columns=["uri", "status", "num_clips"], partition=featurizer)
    assert {Path(row["uri"]).stem: (row["status"], row["num_clips"]) for row in ledger.to_pylist()} == {
        "v0": ("ok", 2),
        "v1": ("ok", 3),
        "v2": ("ok", 4),
        "v3": ("partial", 5),
    }

    assert run_job("fit_vocabulary", "--tables", tables, "--branching", 3, "--depth", 2) == 0
    assert "clips sampled         14" in capsys.readouterr().out
    (vocabulary,) = (tables / "vocabularies").iterdir()
    assert run_job("fit_vocabulary", "--tables", tables, "--branching", 3, "--depth", 2) == 0
    assert list((tables / "vocabularies").iterdir()) == [vocabulary], "the same sample, the same vocabulary"
    assert (
        run_job("fit_vocabulary", "--tables", tables, "--branching", 2, "--depth", 1, "--sample-size", 9) == 0
    )

    build = ("build_documents", "--tables", tables, "--vocabulary", vocabulary)
    assert run_job(*build) == 0
    documents = Table(str(tables), DOCUMENTS)

    def read() -> dict[str, dict[str, object]]:
        rows = documents.read(columns=DOCUMENTS.schema.names, partition=vocabulary.name).to_pylist()
        return {Path(row["uri"]).stem: row for row in rows}

    first = read()
    assert sorted(first) == ["v0", "v1", "v2", "v3"]
    assert first["v2"]["sentences"] == ["First we cut it.", "Then we fry it."]
    assert first["v2"]["visual_token_start_seconds"] == [0.0, 1.5, 3.0, 4.5]
    # Clips' middles: 0.75, 2.25, 3.75, 5.25.
    assert tokens_of_sentences(first["v2"]).tolist() == [[0, 1], [1, 3]]
    assert first["v3"]["sentences"] == []

    before = documents.version()
    assert run_job(*build) == 0
    assert documents.version() == before, "nothing changed, nothing committed"

    (corpus / "v3.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nAt last.\n")
    (corpus / "v0.mp4").unlink()
    assert run_job(*featurize, "--prune", "--prune-after-days", 0, "--prune-at-most", 1) == 0
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"v1": {"timestamps": [[0.0, 2.0]], "sentences": ["A cat."]}}))
    assert run_job(*build, "--captions", captions) == 0
    second = read()
    assert sorted(second) == ["v1", "v2", "v3"]
    assert second["v2"] == first["v2"]
    assert (second["v3"]["sentences"], second["v1"]["sentences"]) == (["At last."], ["A cat."])
    tokens = [np.array(documents["v3"]["visual_tokens"]) for documents in (first, second)]
    np.testing.assert_array_equal(*tokens)

    rows = {layout.name: _rows(tables, layout.name) for layout in (VIDEOS, FEATURES, DOCUMENTS)}
    assert run_job("compact_tables", "--tables", tables) == 0
    assert {name: _rows(tables, name) for name in rows} == rows
    assert len(Table(str(tables), FEATURES).paths(partition=featurizer)) == 1
    assert run_job("compact_tables", "--tables", tables) == 0
    assert "0 files joined into 0" in capsys.readouterr().out


def _rows(tables: Path, name: str) -> list[str]:
    layout = {layout.name: layout for layout in (VIDEOS, FEATURES, DOCUMENTS)}[name]
    table = Table(str(tables), layout)
    (partition,) = table.partitions()
    return sorted(map(repr, table.read(columns=layout.schema.names, partition=partition).to_pylist()))


TABLES = ("--tables", "{folder}/tables")
PRETRAIN = (*TABLES, "--vocabulary", "{folder}/none", "--output", "{folder}/run")


@pytest.mark.seconds(6)
@pytest.mark.parametrize(
    ("job", "arguments", "message"),
    [
        ("featurize", ["--corpus", "{folder}/nowhere", *TABLES], "nowhere: no such file or folder"),
        ("featurize", ["--corpus", "{folder}/empty", *TABLES], "empty: no video there"),
        ("featurize", ["--corpus", "{folder}/list.csv", *TABLES], "list.csv: names no video"),
        ("featurize", ["--corpus", "nosuch://x", *TABLES], "nosuch://x: cannot be opened"),
        (
            "featurize",
            ["--corpus", "{folder}/videos", "--tables", "{folder}/list.csv"],
            "cannot make the table",
        ),
        ("featurize", ["--corpus", "{folder}/videos", *TABLES, "--backbone", "s4d"], "s4d"),
        ("featurize", ["--corpus", "{folder}/videos", *TABLES, "--weights", "{folder}/no.pth"], "no.pth"),
        ("featurize", ["--corpus", "{folder}/videos", *TABLES, "--weights", "{folder}/list.csv"], "list.csv"),
        (
            "featurize",
            ["--corpus", "{folder}/videos", *TABLES, "--clip-seconds", "0"],
            "clip_seconds must be",
        ),
        ("featurize", ["--corpus", "{folder}/videos", *TABLES, "--num-workers", "0"], "must be at least 1"),
        ("featurize", ["--corpus", "{folder}/videos", *TABLES, "--commit-seconds", "-1"], "got -1.0"),
        ("featurize", ["--corpus", "{folder}/videos", *TABLES, "--frames-per-clip", "0"], "got 0"),
        (
            "featurize",
            ["--corpus", "{folder}/videos", *TABLES, "--decoder", "decord", "--skip-loop-filter"],
            "skip_loop_filter works with decoder pyav only, got decoder decord",
        ),
        ("fit_vocabulary", [*TABLES], "no such table"),
        ("fit_vocabulary", [*TABLES, "--branching", "1"], "branching must be at least 2, got 1"),
        ("build_documents", [*TABLES, "--vocabulary", "{folder}/none"], "none: no vocabulary there"),
        (
            "build_documents",
            [*TABLES, "--vocabulary", "{folder}/empty", "--captions", "x"],
            "no vocabulary there",
        ),
        ("pretrain", [*PRETRAIN], "none: no vocabulary there"),
        ("pretrain", [*PRETRAIN, "--num-steps", "0"], "--num-steps must be at least 1, got 0"),
        (
            "pretrain",
            [*PRETRAIN, "--rows-per-step", "12"],
            "--rows-per-step 12 must be a multiple of --data-streams 8",
        ),
        ("pretrain", [*PRETRAIN, "--num-workers", "9"], "--num-workers 9 must be from 1 to --data-streams 8"),
        ("pretrain", [*PRETRAIN, "--share-of-videos", "0"], "--share-of-videos 0.0 must be in (0, 1]"),
        ("pretrain", [*PRETRAIN, "--sequences.row-length", "4"], "--sequences.row-length 4 (at least 16)"),
        ("pretrain", [*PRETRAIN, "--sequences.mask-share", "1"], "--sequences.mask-share 1.0"),
        ("pretrain", [*PRETRAIN, "--model.dropout", "2"], "--model.dropout 2.0"),
        ("pretrain", [*PRETRAIN, "--optimizer.learning-rate", "-1"], "--optimizer.learning-rate -1.0"),
        (
            "evaluate_zero_shot",
            [*TABLES, "--model", "{folder}/empty", "--clips", "{folder}/list.csv"],
            "empty: no checkpoint",
        ),
        ("compact_tables", [*TABLES], "tables: no table there"),
        ("compact_tables", [*TABLES, "--retention-hours", "0"], "at least 1, got 0"),
        ("compact_tables", [*TABLES, "--target-megabytes", "0"], "at least 1, got 0"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_status_2(
    run_job: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    job: str,
    arguments: list[str],
    message: str,
):
    for name in ("empty", "videos"):
        (tmp_path / name).mkdir()
    (tmp_path / "videos" / "v.mp4").write_bytes(b"")
    (tmp_path / "list.csv").write_text("name\nv.mp4\n")
    assert run_job(job, *(argument.format(folder=tmp_path) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("job", [path.stem for path in sorted(JOBS.glob("*.py"))])
def test_every_job_explains_its_options(run_job: Run, capsys: pytest.CaptureFixture[str], job: str):
    assert run_job(job, "--help") == 0
    out = capsys.readouterr().out
    assert ("Folder or bucket URL of the tables" if job == "info" else "--tables") in out
    assert "(required)" in out
