"""One video's way without Ray: planned, decoded and featurized, what fails included."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest

from tests.videos import Video, break_packets, write_video
from vbert.corpus.sources import list_corpus
from vbert.features.featurizer import Featurizer
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.features.ledger import DONE, ledger_row
from vbert.features.planning import check_transcripts, plan_videos
from vbert.features.segment_rows import (
    Effort,
    decode_segments,
    decoded_bytes,
    featurize_decoded,
    featurize_segments,
)
from vbert.features.torch_featurizer import open_featurizer
from vbert.tables.schemas import FEATURES, SIGNALS, unpack_vectors
from vbert.video.frame_grid import Clip

CONFIG = FeaturizerConfig(segment_seconds=3.0)  # two clips a segment
NOTHING = DONE.empty_table()


def plan(corpus: pa.Table, done: pa.Table = NOTHING) -> pa.Table:
    return plan_videos(corpus, done, featurizer="f-1", clip_seconds=1.5, segment_seconds=3.0)


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return open_featurizer(CONFIG, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of 7.5 s: five clips, three segments."""
    write_video(tmp_path / "a.mp4", Video(num_frames=75, fps=Fraction(10)))
    return tmp_path


def done_row(corpus: pa.Table, index: int, **columns: Any) -> pa.Table:
    row = {"segment_index": index, "num_clips": 2, "num_dropped_clips": 0, "warnings": []}
    (video,) = corpus.to_pylist()
    names = {name: video[name] for name in ("video_id", "fingerprint")}
    return pa.Table.from_pylist([names | row | columns], schema=DONE)


def test_a_video_is_cut_into_segments_of_whole_clips(folder: Path):
    rows = plan(list_corpus(str(folder))).to_pylist()
    facts = [
        (row["segment_index"], row["first_clip"], row["num_planned_clips"], row["state"]) for row in rows
    ]
    assert facts == [(0, 0, 2, "pending"), (1, 2, 2, "pending"), (2, 4, 1, "pending")]
    assert {row["num_segments"] for row in rows} == {3}
    assert {(row["width"], row["height"], row["codec"], row["replaces"]) for row in rows} == {
        (96, 64, "h264", False)
    }


def test_a_segment_that_is_committed_is_not_planned_again_unless_the_file_has_changed(folder: Path):
    corpus = list_corpus(str(folder))
    states = [row["state"] for row in plan(corpus, done_row(corpus, 1)).to_pylist()]
    assert states == ["pending", "done", "pending"]
    changed = plan(corpus, done_row(corpus, 1, fingerprint="older")).to_pylist()
    assert [row["state"] for row in changed] == ["pending"] * 3
    assert all(row["replaces"] for row in changed)


def test_what_is_no_video_is_one_failed_row(tmp_path: Path):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    (row,) = plan(list_corpus(str(tmp_path))).to_pylist()
    assert (row["state"], row["stage"], row["num_segments"]) == ("failed", "probe", 0)
    assert row["reason"] == "Invalid data found when processing input"
    assert ledger_row([row])["status"] == "failed"


def test_a_manifests_missing_file_is_one_failed_row(tmp_path: Path):
    (tmp_path / "list.csv").write_text("video\ngone.mp4\n")
    (row,) = plan(list_corpus(str(tmp_path / "list.csv"))).to_pylist()
    assert (row["state"], row["stage"], row["reason"]) == ("failed", "probe", "No such file or directory")


def test_a_transcript_that_cannot_be_used_is_a_reason_and_the_video_goes_on(folder: Path):
    (folder / "a.vtt").write_text("no times")
    corpus = list_corpus(str(folder))
    rows = plan(corpus).to_pylist()
    assert all("no transcript that is known" in row["transcript_reason"] for row in rows)
    assert [row["state"] for row in rows] == ["pending"] * 3
    assert check_transcripts(corpus)["reason"].to_pylist() == [rows[0]["transcript_reason"]]


def test_every_clip_gets_its_vector_and_its_time(folder: Path, featurizer: Featurizer):
    segments, features = featurize_segments(plan(list_corpus(str(folder))), featurizer, config=CONFIG)
    assert segments["state"].to_pylist() == ["done"] * 3
    assert segments["num_clips"].to_pylist() == [2, 2, 1]
    assert features.schema == FEATURES.schema
    assert features["clip_start_seconds"].to_pylist() == [[0.0, 1.5], [3.0, 4.5], [6.0]]
    vectors = unpack_vectors(features["features"])
    assert vectors.shape == (5, 1280)
    np.testing.assert_array_equal(vectors, vectors.astype(np.float16).astype(np.float32))
    for name in SIGNALS:
        assert [len(values) for values in features[name].to_pylist()] == [2, 2, 1], name
    row = ledger_row(segments.to_pylist())
    assert (row["status"], row["num_clips"], row["warnings"]) == ("ok", 5, [])


def test_segments_alone_give_the_bits_of_segments_together(folder: Path, featurizer: Featurizer):
    planned = plan(list_corpus(str(folder)))
    _, together = featurize_segments(planned, featurizer, config=CONFIG)
    alone = [featurize_segments(planned.slice(index, 1), featurizer, config=CONFIG)[1] for index in (2, 0, 1)]
    assert pa.concat_tables(alone).sort_by("segment_index").equals(together.combine_chunks())


class Told:
    """A featurizer that says when it starts on clips, and when it is waited for. Features are indices."""

    spec, feature_dim, device, packages = clip_spec(CONFIG), 1, "a device beside", ()

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def start(self, clips: Sequence[Clip]) -> Callable[[], np.ndarray]:
        first = clips[0].index
        self.events.append(("start", first))

        def finish() -> np.ndarray:
            self.events.append(("finish", first))
            return np.array([[clip.index] for clip in clips], np.float32)

        return finish

    def extract(self, clips: Sequence[Clip]) -> np.ndarray:
        return self.start(clips)()


def test_the_next_segment_is_decoded_while_one_is_computed_and_waiting_is_counted(folder: Path):
    """Segments begin with the clips 0, 2 and 4; each is decoded for 0.05 s at least."""
    told, effort = Told(), Effort()

    def begin(row: dict[str, Any]) -> None:
        told.events.append(("decode", row["first_clip"]))
        time.sleep(0.05)

    planned = plan(list_corpus(str(folder)))
    _, features = featurize_segments(planned, told, config=CONFIG, effort=effort, begin=begin)
    assert told.events == [
        ("decode", 0), ("start", 0), ("decode", 2), ("start", 2), ("finish", 0),
        ("decode", 4), ("start", 4), ("finish", 2), ("finish", 4),
    ]  # fmt: skip
    assert unpack_vectors(features["features"]).ravel().tolist() == [0, 1, 2, 3, 4]
    assert effort.wait_seconds > 3 * 0.05
    assert effort.backbone_seconds < 0.05


def test_corrupt_clips_are_dropped_and_counted_and_a_segment_of_nothing_else_fails(
    folder: Path, featurizer: Featurizer
):
    write_video(folder / "a.mp4", Video(num_frames=75, fps=Fraction(10), gop=15))
    break_packets(folder / "a.mp4", range(62, 66))  # in the last clip, which begins with frame 60
    segments, features = featurize_segments(plan(list_corpus(str(folder))), featurizer, config=CONFIG)
    assert segments["state"].to_pylist() == ["done", "done", "failed"]
    assert segments["reason"].to_pylist()[2] == "all 1 clips have more than 10% corrupt frames"
    assert features["segment_index"].to_pylist() == [0, 1]
    row = ledger_row(segments.to_pylist())
    assert (row["status"], row["stage"], row["num_clips"]) == ("partial", "decode", 4)


def test_a_stream_that_ends_before_its_header_says_so_is_a_warning(folder: Path, featurizer: Featurizer):
    planned = plan(list_corpus(str(folder)))
    wishful = planned.slice(2, 1).to_pylist()[0] | {"num_planned_clips": 4}
    segments, _ = featurize_segments(
        pa.Table.from_pylist([wishful], planned.schema), featurizer, config=CONFIG
    )
    (row,) = segments.to_pylist()
    assert (row["state"], row["num_clips"]) == ("done", 1)
    assert row["segment_warnings"] == ["segment 2: the stream ends 3 clips before the header's duration"]


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_clips_that_travel_to_another_node_give_the_same_features(
    folder: Path, featurizer: Featurizer, decoder: Literal["pyav", "decord"]
):
    """A video whose file is gone since it was planned is among them, and a segment that is done already."""
    write_video(folder / "b.mp4", Video(num_frames=30, fps=Fraction(10)))
    write_video(folder / "gone.mp4", Video(num_frames=30, fps=Fraction(10)))
    corpus = list_corpus(str(folder))
    planned = plan(corpus, done_row(corpus.slice(0, 1), 1))
    (folder / "gone.mp4").unlink()
    config = replace(CONFIG, decoder=decoder)
    together = featurize_segments(planned, featurizer, config=config)
    start_seconds = time.time()
    decoded = list(decode_segments(planned, config=config))
    end_seconds = time.time()
    assert [rows.num_rows for rows in decoded] == [1] * planned.num_rows
    effort = Effort()
    apart = featurize_decoded(pa.concat_tables(decoded), featurizer, config=config, effort=effort)
    assert start_seconds <= effort.began_at <= end_seconds, "work begins where frames are decoded"
    assert apart[0].equals(together[0])
    assert apart[1].equals(together[1])
    states = [row["state"] for row in apart[0].to_pylist()]
    assert states == ["done", "done", "done", "done", "failed"]
    assert apart[1].num_rows == 3
    size = decoded[0]["frames"][0].as_buffer().size
    assert size == decoded_bytes(config) * (2 if decoder == "decord" else 1)  # RGB is twice yuv420p


def test_a_video_without_keyframes_is_decoded_in_one_pass(tmp_path: Path, featurizer: Featurizer):
    write_video(tmp_path / "a.mkv", Video(num_frames=105, fps=Fraction(10), gop=999))
    planned = plan(list_corpus(str(tmp_path)))
    (row,) = planned.to_pylist()
    assert (row["num_segments"], row["num_segments_here"], len(row["decoded_with"])) == (4, 4, 3)
    segments, features = featurize_segments(planned, featurizer, config=CONFIG)
    assert [(row["segment_index"], row["num_clips"]) for row in segments.to_pylist()] == [
        (0, 2),
        (1, 2),
        (2, 2),
        (3, 1),
    ]
    assert features["clip_start_seconds"].to_pylist() == [[0.0, 1.5], [3.0, 4.5], [6.0, 7.5], [9.0]]
    assert ledger_row(segments.to_pylist())["status"] == "ok"
    decoded = pa.concat_tables(decode_segments(planned, config=CONFIG))
    assert decoded["clip_index"].to_pylist() == [[0, 1], [2, 3], [4, 5], [6]]
