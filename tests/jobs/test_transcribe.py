"""Speech recognition as a job, on real speech, and the documents that it leads to."""

import json
import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.training_here import work_here
from tests.videos import Video, write_video
from vbert.distributed.build_documents import DocumentsConfig, DocumentsSummary, build_documents
from vbert.distributed.transcribe import TranscribeConfig, transcribe
from vbert.errors import UserError
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, TRANSCRIPTS
from vbert.text.speech import recognizer_id


@pytest.mark.slow
@pytest.mark.seconds(90)
def test_speech_becomes_the_sentences_of_documents(
    real_videos: Path, joined: None, tmp_path: Path, run_job: Run
):
    corpus, tables = tmp_path / "corpus", str(tmp_path / "tables")
    corpus.mkdir()
    shutil.copyfile(real_videos / "nasa_13013.mp4", corpus / "nasa.mp4")
    for name in ("mute", "written"):
        write_video(corpus / f"{name}.mp4", Video(num_frames=30, fps=Fraction(10)))
    (corpus / "written.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:02.000\nAs written.\n")

    def run(job: str, *arguments: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            if job != "featurize":
                work_here(patch)
            return run_job(job, "--tables", tables, *arguments)

    def build(config: DocumentsConfig) -> DocumentsSummary:
        with pytest.MonkeyPatch.context() as patch:
            work_here(patch)
            return build_documents(config)

    assert run("featurize", "--corpus", str(corpus), "--frames-per-clip", "1", "--num-workers", 1) == 0
    assert run("fit_vocabulary", "--branching", "3", "--depth", "1") == 0
    (vocabulary,) = (tmp_path / "tables" / "vocabularies").iterdir()
    unheard = DocumentsConfig(tables=tables, vocabulary=str(vocabulary))
    heard = DocumentsConfig(tables=tables, vocabulary=str(vocabulary), recognizer="pocketsphinx")
    with pytest.raises(UserError, match="no transcripts of pocketsphinx; run transcribe"):
        build(heard)
    assert build(unheard).num_built == 3

    config = TranscribeConfig(tables=tables, recognizer="pocketsphinx")
    first = transcribe(config)
    assert (first.num_spoken, first.num_silent, first.num_failed) == (1, 1, 0)  # not the written one
    table = Table(tables, TRANSCRIPTS)
    version = table.version()
    again = transcribe(config)
    assert (again.num_unchanged, again.num_spoken) == (2, 0)
    assert table.version() == version, "nothing to listen to, nothing committed"

    built = build(heard)
    assert (built.num_built, built.num_unchanged) == (1, 2)  # of the one that has words now

    def sentences() -> dict[str, list[str]]:
        rows = Table(tables, DOCUMENTS).read(columns=["uri", "sentences"], partition=vocabulary.name)
        return {Path(row["uri"]).stem: row["sentences"] for row in rows.to_pylist()}

    assert any("space telescope" in text for text in sentences()["nasa"])
    assert (sentences()["mute"], sentences()["written"]) == ([], ["As written."])

    (corpus / "nasa.mp4").write_bytes((corpus / "nasa.mp4").read_bytes() + b"\0")  # another version of it
    assert run("featurize", "--corpus", str(corpus), "--frames-per-clip", "1", "--num-workers", 1) == 0
    every = transcribe(replace(config, every_video=True))
    assert (every.num_spoken, every.num_silent, every.num_unchanged) == (1, 1, 1)
    rows = table.read(columns=["video_id"], partition=recognizer_id("pocketsphinx"))
    assert rows.num_rows == 3, "the old row has left with the new one's commit"
    assert run("transcribe", "--recognizer", "sphinx") == 2

    page = tmp_path / "report.html"
    assert run("report", "--vocabulary", str(vocabulary), "--output", str(page)) == 0
    (facts,) = re.findall(r'id="facts">(.*?)</script>', page.read_text(), re.DOTALL)
    shown = json.loads(facts)
    assert dict(shown["summary"])["Videos"] == "3"
    assert sum(shown["tokens"]["counts"]) == 8 + 2 + 2  # clips of 13 s, and of 3 s twice
    assert len(shown["documents"]) == 3
    nasa = next(one for one in shown["documents"] if one["uri"].endswith("nasa.mp4"))
    assert any("space telescope" in text for _, _, text in nasa["sentences"])
    assert all(shown["images"][index].startswith("data:image/jpeg") for _, _, index in nasa["clips"])
    assert run("report", "--vocabulary", str(vocabulary), "--evaluations", str(page), "--output", "x") == 2
