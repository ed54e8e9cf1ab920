"""Whatever a file holds, clips or sentences come of it, or a row that says why not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest

from tests.conftest import REAL_VIDEOS, ROOT
from tests.decoders import require
from tests.hostile_videos import base_videos, write_bombs, write_mutant, write_specials
from vbert.corpus.sources import list_corpus
from vbert.errors import VideoError
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.features.ledger import DONE, ledger_row
from vbert.features.planning import SEGMENTS, plan_videos
from vbert.features.segment_rows import decode_segments
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import DecoderProcess, worker_process
from vbert.video.media import Segment, VideoProbe

pytestmark = pytest.mark.slow

NUM_INPUTS = int(os.environ.get("VBERT_TEST_INPUTS", "200"))
AT_ONCE = 50  # files
CONFIG = FeaturizerConfig(clip_seconds=0.5, segment_seconds=10.0)
LIMITS = DecodeLimits(max_decode_seconds=20.0, max_decode_gigabytes=1.0)
MAX_SEGMENTS = 72_000  # of 200 hours
FEW = Segment(index=0, first_clip=0, num_clips=8)
TRANSCRIPT_GIGABYTES = 2.0


@pytest.fixture(scope="module")
def process() -> Iterator[DecoderProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONWARNINGS", "error::RuntimeWarning")  # numbers that overflow
        process = worker_process(LIMITS)
        process.probe([])
        yield process
    process.close()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return base_videos(tmp_path_factory.mktemp("bases"), REAL_VIDEOS)


def outcomes(folder: Path, process: DecoderProcess) -> dict[str, dict[str, Any]]:
    """Of each file in a folder its row in the ledger, or an AssertionError. Of its segments the first and the
    last are decoded, and the second half of the first."""
    corpus = list_corpus(str(folder))
    planned = plan_videos(
        corpus,
        DONE.empty_table(),
        featurizer="f-1",
        clip_seconds=CONFIG.clip_seconds,
        segment_seconds=CONFIG.segment_seconds,
        limits=LIMITS,
    )
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in planned.to_pylist():
        rows.setdefault(row["uri"], []).append(row)
    assert len(rows) == corpus.num_rows
    ledger = {}
    for uri, segments in rows.items():
        num_segments = sum(segment["num_segments_here"] for segment in segments)
        assert num_segments <= MAX_SEGMENTS, uri
        if segments[0]["state"] == "pending":
            decoded([second_half(segments[0])], process)
        tried = segments if len(segments) < 2 else [segments[0], segments[-1]]
        done = decoded([shortened(segment) for segment in tried], process)
        ledger[Path(uri).name] = ledger_row(done) | {"num_segments": num_segments}
    return ledger


def shortened(segment: dict[str, Any]) -> dict[str, Any]:
    """Of those that are decoded in one pass, the first three."""
    others = segment["decoded_with"] and segment["decoded_with"][:2]
    return segment | {"decoded_with": others, "num_segments_here": 1 + len(others or [])}


def second_half(segment: dict[str, Any]) -> dict[str, Any]:
    num_clips = segment["num_planned_clips"]
    alone = segment | {"decoded_with": None, "num_segments_here": 1}
    return alone | {"first_clip": num_clips // 2, "num_planned_clips": num_clips - num_clips // 2}


def decoded(segments: list[dict[str, Any]], process: DecoderProcess) -> list[dict[str, Any]]:
    table = pa.Table.from_pylist(segments, schema=SEGMENTS)
    done: list[dict[str, Any]] = []
    start_seconds = time.monotonic()
    for row in decode_segments(table, config=CONFIG, process=process):
        size = row["frames"][0].as_buffer().size
        spec = clip_spec(CONFIG)
        (indices,) = row["clip_index"].to_pylist()
        assert size == len(indices) * spec.frames_per_clip * spec.yuv_bytes
        assert indices == sorted(set(indices))
        done += row.select(SEGMENTS.names).to_pylist()
    seconds = time.monotonic() - start_seconds
    num_segments = sum(segment["num_segments_here"] for segment in segments)
    assert seconds < num_segments * (LIMITS.max_decode_seconds + 30), segments[0]["uri"]
    for segment in done:
        if segment["state"] == "done":
            assert segment["num_clips"] >= 1
        else:
            assert segment["state"] == "failed"
            assert segment["stage"] in {"probe", "decode"}
            assert segment["reason"], segment
            assert not segment["reason"].startswith("unforeseen"), segment
    return done


def test_damaged_videos_are_rows(tmp_path: Path, bases: list[Path], process: DecoderProcess):
    statuses: list[str] = []
    for first in range(0, NUM_INPUTS, AT_ONCE):
        folder = tmp_path / str(first)
        folder.mkdir()
        for number in range(first, min(first + AT_ONCE, NUM_INPUTS)):
            write_mutant(folder, number, bases)
        for row in outcomes(folder, process).values():
            statuses.append(row["status"])
            print(row["status"], Path(row["uri"]).name, row["num_segments"], row["reason"], row["warnings"])
    assert len(statuses) == NUM_INPUTS
    assert set(statuses) == {"ok", "partial", "failed"}


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_damaged_videos_are_clips_or_errors_with_the_other_decoders(
    tmp_path: Path, bases: list[Path], decoder: Literal["decord", "torchcodec"]
):
    require(decoder)
    process = DecoderProcess(replace(LIMITS, max_decode_gigabytes=4.0))
    paths = [str(write_mutant(tmp_path, number, bases)) for number in range(0, NUM_INPUTS, 3)]
    probes = process.probe(paths)
    num_good, reasons = 0, []
    for path, probe in zip(paths, probes, strict=True):
        if isinstance(probe, VideoProbe):
            try:
                num_good += len(list(process.decode_clips(path, FEW, clip_spec(CONFIG), decoder=decoder))) > 0
            except VideoError as error:
                reasons.append(error.reason)
    process.close()
    assert num_good
    assert reasons
    assert [reason for reason in reasons if reason.startswith("unforeseen")] == []


@pytest.fixture(scope="module")
def specials(tmp_path_factory: pytest.TempPathFactory, process: DecoderProcess) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("specials")
    write_specials(folder)
    return outcomes(folder, process)


@pytest.mark.parametrize("name", ["audio only.mp4", "subtitles only.mkv", "no frames.mp4"])
def test_a_file_without_pictures_is_a_row(specials: dict[str, dict[str, Any]], name: str):
    row = specials[name]
    assert (row["status"], row["stage"], row["reason"]) == ("failed", "probe", "no video stream")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("text.mp4", "Invalid data found when processing input"), ("empty.mp4", "empty file")],
)
def test_what_is_no_video_is_a_row(specials: dict[str, dict[str, Any]], name: str, reason: str):
    assert specials[name]["reason"] == reason


def test_what_a_file_is_its_content_says(specials: dict[str, dict[str, Any]]):
    assert specials["matroska.mp4"]["status"] == "ok"


NAMES_OTHERS = ["passwd.mp4", "url.mp4", "neighbour.mp4", "concat.mp4", "concat passwd.mp4", "session.mp4"]


@pytest.mark.parametrize("name", NAMES_OTHERS)
def test_a_file_that_names_others_opens_none_of_them(specials: dict[str, dict[str, Any]], name: str):
    assert (specials[name]["status"], specials[name]["stage"]) == ("failed", "probe")


@pytest.mark.parametrize("name", ["many years.mp4", "many years.mkv"])
def test_a_duration_that_no_file_of_that_size_has_is_counted(specials: dict[str, dict[str, Any]], name: str):
    assert (specials[name]["status"], specials[name]["num_segments"]) == ("ok", 1)
    assert specials[name]["duration_seconds"] == pytest.approx(1.52, abs=0.002)


def test_a_jump_in_time_makes_no_million_segments(specials: dict[str, dict[str, Any]]):
    reason = "lasts 19,884 hours by its packets, more than 200"
    assert specials["a jump in time.mkv"]["reason"] == reason


def test_a_day_in_64_kilobytes_and_pictures_of_100_megabytes_are_decoded(specials: dict[str, dict[str, Any]]):
    day = specials["a day of nothing.mkv"]
    assert (day["status"], day["num_segments"]) == ("ok", 8995)
    assert specials["huge pictures.mp4"]["status"] == "ok"


def test_pictures_that_do_not_fit_the_memory_are_a_row(tmp_path: Path):
    """One of 67 million pixels takes 100 MB; FFmpeg's H.264 decoder calls it invalid where there are none."""
    write_bombs(tmp_path)
    process = DecoderProcess(replace(LIMITS, max_decode_gigabytes=0.2))
    segment = Segment(index=0, first_clip=0, num_clips=2)
    with pytest.raises(VideoError, match=r"^decode: "):
        list(process.decode_clips(str(tmp_path / "huge pictures.mp4"), segment, clip_spec(CONFIG)))


@pytest.mark.timeout(3600)
def test_hostile_transcripts_are_sentences_or_a_reason():
    command = [sys.executable, "-m", "tests.hostile_transcripts", "0", str(NUM_INPUTS)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(TRANSCRIPT_GIGABYTES)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == NUM_INPUTS
    wrong = [row for row in rows if row["outcome"] not in {"sentences", "video error"} or row["seconds"] > 20]
    assert wrong == []
    assert {row["outcome"] for row in rows} == {"sentences", "video error"}
