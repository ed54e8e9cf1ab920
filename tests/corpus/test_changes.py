import os
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbert.corpus.changes import LEDGER_COLUMNS, PENDING, CorpusChanges, compare
from vbert.corpus.set_aside import SetAside
from vbert.corpus.sources import CORPUS, corpus_parts, list_corpus
from vbert.errors import UserError
from vbert.tables.schemas import short_hash, video_id_of

MOMENT_NS = 1_700_000_000_000_000_007


def write(path: Path, *, size: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(MOMENT_NS, MOMENT_NS))
    return str(path)


def stamp(size: int) -> str:
    return short_hash(str(size), str(MOMENT_NS))


def row(uri: str, size: int, transcript: tuple[str, int] | None = None, video_id: str | None = None):
    return {
        "video_id": video_id or video_id_of(uri),
        "uri": uri,
        "fingerprint": stamp(size),
        "size_bytes": size,
        "transcript_uri": transcript and transcript[0],
        "transcript_fingerprint": transcript and stamp(transcript[1]),
    }


def ledger_of(corpus: pa.Table, status: str = "ok") -> pa.Table:
    statuses = pa.array([status] * corpus.num_rows, pa.string())
    gone = pa.nulls(corpus.num_rows, pa.float64())
    return (
        corpus.append_column("status", statuses)
        .append_column("gone_since", gone)
        .select(list(LEDGER_COLUMNS))
    )


def pending_of(changes: CorpusChanges) -> list[tuple[str, str]]:
    return [(row["video_id"], row["change"]) for part in changes.pending() for row in part.to_pylist()]


def new_transcripts_of(changes: CorpusChanges, column: str = "video_id") -> list[str]:
    return [value for part in changes.new_transcripts() for value in part[column].to_pylist()]


def test_a_folder_gives_its_videos_sorted_with_the_transcripts_beside_them(tmp_path: Path):
    b, a, c = (
        write(tmp_path / name, size=size) for name, size in (("b.mp4", 5), ("x/a.MKV", 7), ("c.webm", 0))
    )
    vtt, srt = write(tmp_path / "b.en.vtt", size=3), write(tmp_path / "x" / "a.srt", size=2)
    write(tmp_path / "notes.txt", size=1)
    write(tmp_path / "other.vtt", size=1)
    corpus = list_corpus(str(tmp_path))
    assert corpus.schema == CORPUS
    assert corpus.to_pylist() == [row(b, 5, (vtt, 3)), row(c, 0), row(a, 7, (srt, 2))]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["t.de.vtt", "t.en.vtt", "t.vtt"], "t.en.vtt"),
        (["t.de.vtt", "t.vtt"], "t.vtt"),
        (["t.fr.vtt", "t.de.vtt"], "t.de.vtt"),
        (["t.en-US.vtt", "t.vtt"], "t.en-US.vtt"),
        (["t.en-US.vtt", "t.en.srt"], "t.en.srt"),
        (["t.en.json3", "t.en.srt", "t.en.vtt"], "t.en.vtt"),
        (["t.EN.VTT"], "t.EN.VTT"),
        (["t.part2.vtt"], None),
        (["t2.vtt", "t.info.json", "u/t.vtt"], None),
    ],
)
def test_of_several_transcripts_english_comes_first_then_no_language_then_the_first(
    tmp_path: Path, names: list[str], chosen: str | None
):
    for name in ("t.mp4", *names):
        write(tmp_path / name, size=1)
    found = list_corpus(str(tmp_path))["transcript_uri"].to_pylist()
    assert found == [chosen and str(tmp_path / chosen)]


def test_a_transcript_of_a_name_with_a_dot_belongs_to_the_video_of_that_name(tmp_path: Path):
    for name in ("t.mp4", "t.v2.mp4", "t.v2.vtt"):
        write(tmp_path / name, size=1)
    assert list_corpus(str(tmp_path))["transcript_uri"].to_pylist() == [None, str(tmp_path / "t.v2.vtt")]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*/*.mp4", ["x/a.mp4", "y/b.mp4"]),
        ("**/*.mp4", ["c.mp4", "x/a.mp4", "x/deep/d.mp4", "y/b.mp4"]),
        ("x/**", ["x/a.mp4", "x/deep/d.mp4", "x/e.mkv"]),
        ("x/?.mkv", ["x/e.mkv"]),
        ("[xy]/*", ["x/a.mp4", "x/e.mkv", "y/b.mp4"]),
        ("c.mp4", ["c.mp4"]),
    ],
)
@pytest.mark.parametrize("is_local", [True, False])
def test_a_glob_finds_videos_and_their_transcripts(
    tmp_path: Path, pattern: str, found: list[str], is_local: bool
):
    root = str(tmp_path) if is_local else f"memory://{tmp_path.name}"
    for name in ("c.mp4", "x/a.mp4", "x/a.vtt", "x/e.mkv", "x/deep/d.mp4", "y/b.mp4", "y/.h.mp4", "y/n.txt"):
        store = fsspec.filesystem("file", auto_mkdir=True) if is_local else fsspec.filesystem("memory")
        store.pipe(f"{root}/{name}", b"x")
    corpus = list_corpus(f"{root}/{pattern}")
    assert corpus["uri"].to_pylist() == [f"{root}/{name}" for name in found]
    has_transcript = [uri is not None for uri in corpus["transcript_uri"].to_pylist()]
    assert has_transcript == [name == "x/a.mp4" for name in found]


def test_a_relative_source_gives_absolute_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    video = write(tmp_path / "videos" / "a.mp4", size=1)
    monkeypatch.chdir(tmp_path)
    for source in ("videos", "./videos/", "videos/*.mp4", f"file://{tmp_path}/videos"):
        assert list_corpus(source)["uri"].to_pylist() == [video]


def test_a_name_with_brackets_is_a_video_and_not_a_glob(tmp_path: Path):
    video = write(tmp_path / "talk [1].mp4", size=1)
    transcript = write(tmp_path / "talk [1].vtt", size=2)
    write(tmp_path / "talk 1.mp4", size=1)
    assert list_corpus(video).to_pylist() == [row(video, 1, (transcript, 2))]


def test_a_store_is_listed_like_a_folder():
    store = fsspec.filesystem("memory")
    for name in ("b.mp4", "a/c.mp4", "a/c.en.vtt"):
        store.pipe(f"/shop/{name}", b"four")
    corpus = list_corpus("memory://shop")
    assert corpus["uri"].to_pylist() == ["memory://shop/a/c.mp4", "memory://shop/b.mp4"]
    assert corpus["transcript_uri"].to_pylist() == ["memory://shop/a/c.en.vtt", None]
    assert corpus["size_bytes"].to_pylist() == [4, 4]


def test_a_manifest_gives_its_rows_and_what_does_not_exist_stays_as_missing(tmp_path: Path):
    a, text = write(tmp_path / "a.mp4", size=5), write(tmp_path / "text" / "a.vtt", size=3)
    write(tmp_path / "a.en.vtt", size=1)  # not named, so not taken
    (tmp_path / "m.csv").write_text("video_id,video,transcript\none,a.mp4,text/a.vtt\ntwo,/no/b.mp4,b.vtt\n")
    missing = {
        "video_id": "two",
        "uri": "/no/b.mp4",
        "fingerprint": "missing",
        "size_bytes": None,
        "transcript_uri": str(tmp_path / "b.vtt"),
        "transcript_fingerprint": "missing",
    }
    assert list_corpus(str(tmp_path / "m.csv")).to_pylist() == [missing, row(a, 5, (text, 3), video_id="one")]


def test_with_a_content_hash_a_touched_file_is_unchanged(tmp_path: Path):
    video = write(tmp_path / "a.mp4", size=5)
    write(tmp_path / "a.vtt", size=3)
    before = list_corpus(str(tmp_path), content_hash=True)
    os.utime(video)
    assert list_corpus(str(tmp_path), content_hash=True).equals(before)
    Path(video).write_bytes(b"other")
    after = list_corpus(str(tmp_path), content_hash=True)
    assert compare([after], [ledger_of(before)], retry_failed=False).num_pending == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{root}/nowhere", "no such file or folder; correct the path"),
        ("{root}/empty", r"no video there \(looked for 3g2, 3gp, .*\); correct the path"),
        ("{root}/empty/*.mp4", "no video there"),
        ("{root}/nowhere/*.mp4", "cannot be listed .*No such file"),
        ("{root}/a**/*.mp4", r"not a glob \(.*\); write \*\* between slashes"),
        ("{root}/gone.mp4", "no video there"),
        (
            "{root}/notes.txt",
            r"neither a folder, a video nor a manifest \(.parquet, .csv, .jsonl\); name one of these",
        ),
        ("memory://empty-bucket", "no video there"),
        ("zzz://bucket", "Protocol not known"),
        ("zzz://bucket/m.csv", "Protocol not known"),
    ],
)
def test_a_source_that_gives_nothing_is_refused_by_name(tmp_path: Path, source: str, message: str):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "notes.txt", size=1)
    with pytest.raises(UserError, match=message) as error:
        list_corpus(source.format(root=tmp_path))
    assert str(error.value).startswith(source.removesuffix("/*.mp4").format(root=tmp_path))
    assert "\n" not in str(error.value)


def corpus_of(rows: list[tuple[str, str, str | None]]) -> pa.Table:
    """Videos from (video_id, fingerprint, fingerprint of the transcript)."""
    return pa.Table.from_pylist(
        [
            {
                "video_id": video_id,
                "uri": f"/{video_id}.mp4",
                "fingerprint": fingerprint,
                "size_bytes": 1,
                "transcript_uri": text and f"/{video_id}.vtt",
                "transcript_fingerprint": text,
            }
            for video_id, fingerprint, text in rows
        ],
        schema=CORPUS,
    )


def test_compare_tells_new_changed_retried_and_removed_videos_apart():
    corpus = corpus_of(
        [("new", "1", None), ("same", "1", "t"), ("changed", "2", None), ("failed", "1", None)]
    )
    ledger = pa.table(
        {
            "video_id": ["failed", "gone", "changed", "same"],
            "fingerprint": ["1", "1", "1", "1"],
            "transcript_uri": pa.array([None, None, None, "/same.vtt"]),
            "transcript_fingerprint": pa.array([None, None, None, "t"]),
            "status": ["failed", "failed", "partial", "ok"],
            "gone_since": pa.array([None, 12.5, None, 3.0]),
        }
    )
    changes = compare([corpus], [ledger], retry_failed=False)
    (pending,) = changes.pending()
    assert pending.schema == PENDING
    assert pending_of(changes) == [("changed", "changed"), ("new", "new")], "in the order of the ids"
    assert (changes.num_listed, changes.num_known, changes.num_pending) == (4, 4, 2)
    assert changes.num_new_transcripts == 0
    assert list(changes.new_transcripts()) == []
    assert changes.num_removed == 1
    assert changes.removed().to_pylist() == [{"video_id": "gone", "gone_since": 12.5}]
    assert changes.returned() == ["same"]
    assert changes.num_unchanged == 2
    again = compare([corpus], [ledger], retry_failed=True)
    assert pending_of(again) == [("changed", "changed"), ("failed", "retried"), ("new", "new")]
    assert again.num_unchanged == 1


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [("t", "u", True), (None, "t", True), ("t", None, True), (None, None, False)],
)
def test_a_transcript_that_comes_goes_or_changes_leaves_the_features_alone(before, after, differs: bool):
    before_ledger = ledger_of(corpus_of([("a", "1", before)]))
    changes = compare([corpus_of([("a", "1", after)])], [before_ledger], retry_failed=True)
    assert changes.num_pending == 0
    assert new_transcripts_of(changes) == (["a"] if differs else [])
    assert all(part.schema == CORPUS for part in changes.new_transcripts())
    assert changes.num_unchanged == (0 if differs else 1)


def test_against_an_empty_ledger_everything_is_new():
    corpus = corpus_of([("a", "1", None), ("b", "1", "t")])
    changes = compare([corpus], [], retry_failed=True)
    assert pending_of(changes) == [("a", "new"), ("b", "new")]
    assert changes.removed().num_rows == 0


def test_touching_one_file_makes_only_that_video_pending(tmp_path: Path):
    for name in ("a.mp4", "b.mp4", "b.vtt", "c.mp4", "c.vtt"):
        write(tmp_path / name, size=3)
    ledger = ledger_of(list_corpus(str(tmp_path)))
    assert compare([list_corpus(str(tmp_path))], [ledger], retry_failed=True).num_unchanged == 3
    os.utime(tmp_path / "b.mp4")
    os.utime(tmp_path / "c.vtt")
    changes = compare([list_corpus(str(tmp_path))], [ledger], retry_failed=True)
    assert [uri for part in changes.pending() for uri in part["uri"].to_pylist()] == [str(tmp_path / "b.mp4")]
    assert new_transcripts_of(changes, "uri") == [str(tmp_path / "c.mp4")]
    assert changes.num_unchanged == 1


def test_a_corpus_of_many_parts_is_compared_like_one_and_spills_to_disk(monkeypatch: pytest.MonkeyPatch):
    """100,000 videos in 32 MB of memory: every third changed, one in a thousand gone."""
    monkeypatch.setattr("vbert.storage.spilling.MEMORY", "48MB")
    monkeypatch.setattr("vbert.storage.spilling.ROWS_PER_PART", 10_000)
    ids = [f"{number:016x}" for number in range(100_000)]
    ledger = corpus_of([(video_id, "1", "t") for video_id in ids])
    now = [
        (video_id, "2" if at % 3 == 0 else "1", "t") for at, video_id in enumerate(ids) if at % 1000 != 999
    ]
    corpus = corpus_of(now)
    mixed = corpus.take(np.random.default_rng(0).permutation(corpus.num_rows))
    changes = compare(
        (mixed.slice(at, 7_000) for at in range(0, mixed.num_rows, 7_000)),
        (ledger_of(ledger).slice(at, 9_000) for at in range(0, ledger.num_rows, 9_000)),
        retry_failed=False,
    )
    changed = [video_id for video_id, fingerprint, _ in now if fingerprint == "2"]
    parts = list(changes.pending())
    assert len(parts) > 1
    assert [video_id for part in parts for video_id in part["video_id"].to_pylist()] == changed
    assert changes.removed()["video_id"].to_pylist() == ids[999::1000]
    assert changes.num_unchanged == 100_000 - 100 - len(changed)


# Few values, so that videos meet.
VIDEO = st.tuples(st.sampled_from("abcdefg"), st.sampled_from("12"), st.sampled_from(["t", "u", None]))
VIDEOS = st.lists(VIDEO, unique_by=lambda video: video[0], max_size=7)
STATUSES = st.lists(st.sampled_from(["ok", "partial", "failed"]), min_size=7, max_size=7)


@settings(max_examples=30)
@given(VIDEOS, VIDEOS, STATUSES, st.booleans())
def test_compare_agrees_with_one_look_up_a_video(now, then, statuses, retry_failed: bool):
    known = {
        video_id: (fingerprint, text, status)
        for (video_id, fingerprint, text), status in zip(then, statuses, strict=False)
    }
    pending, other_text, unchanged = [], [], []
    for video_id, fingerprint, text in now:
        if video_id not in known:
            pending.append((video_id, "new"))
        elif known[video_id][0] != fingerprint:
            pending.append((video_id, "changed"))
        elif retry_failed and known[video_id][2] != "ok":
            pending.append((video_id, "retried"))
        elif known[video_id][1] != text:
            other_text.append(video_id)
        else:
            unchanged.append(video_id)

    ledger = ledger_of(corpus_of(then))
    at = ledger.schema.get_field_index("status")
    ledger = ledger.set_column(at, "status", pa.array(statuses[: len(then)], pa.string()))
    parts = [ledger.slice(0, 3), ledger.slice(3)]
    changes = compare([corpus_of(now[:2]), corpus_of(now[2:])], parts, retry_failed=retry_failed)
    assert pending_of(changes) == sorted(pending)
    assert new_transcripts_of(changes) == sorted(other_text)
    gone = known.keys() - {row[0] for row in now}
    assert changes.removed()["video_id"].to_pylist() == sorted(gone)
    assert changes.num_unchanged == len(unchanged)


def test_what_a_folder_holds_beside_is_counted(tmp_path: Path):
    names = [
        "a.mp4",
        "a.en.vtt",
        "a.de.vtt",
        "lost.srt",
        "a.info.json",
        "a.jpg",
        "b.jpg",
        "README",
        ".hidden.jpg",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    found = SetAside()
    (videos,) = corpus_parts(str(tmp_path), found)
    assert videos.num_rows == 1
    assert found.other_files == {"jpg": 2, "": 1}
    assert found.num_unused_transcripts == 2, "German, and of no video; a downloader's JSON is none"
