import json
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vbert.corpus.manifest import MANIFEST, manifest_parts, read_manifest
from vbert.corpus.set_aside import SetAside
from vbert.errors import UserError
from vbert.tables.schemas import video_id_of

ROWS = [
    {"video": "a.mp4", "transcript": "text/a.vtt", "video_id": "007", "steps": '[{"verb": "cut"}]'},
    {"video": "/data/b.mkv", "transcript": None, "video_id": None, "steps": "[]"},
    {
        "video": "s3://bucket/c.mp4",
        "transcript": "https://host/c.srt",
        "video_id": "third",
        "steps": "two\nlines",
    },
    {"video": "../d é.mp4", "transcript": "", "video_id": "", "steps": ""},
]


def write_csv(path: Path, rows) -> None:
    quote = lambda value: '"' + (value or "").replace('"', '""') + '"'  # noqa: E731
    lines = [",".join(quote(row[name]) for name in rows[0]) for row in rows]
    path.write_text("\n".join([",".join(rows[0]), *lines]) + "\n")


def write_jsonl(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, rows) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


@pytest.mark.parametrize("extension", WRITERS)
def test_the_three_kinds_of_manifest_say_the_same(tmp_path: Path, extension: str):
    folder = tmp_path / "corpus"
    folder.mkdir()
    WRITERS[extension](folder / f"m.{extension}", ROWS)
    expected = pa.table(
        {
            "video_id": [video_id_of("/data/b.mkv"), "007", video_id_of(f"{tmp_path}/d é.mp4"), "third"],
            "uri": ["/data/b.mkv", f"{folder}/a.mp4", f"{tmp_path}/d é.mp4", "s3://bucket/c.mp4"],
            "transcript_uri": [None, f"{folder}/text/a.vtt", None, "https://host/c.srt"],
        },
        schema=MANIFEST,
    )
    assert read_manifest(str(folder / f"m.{extension}")).equals(expected), "sorted by uri"


@pytest.mark.parametrize("extension", WRITERS)
def test_only_the_column_video_is_needed(tmp_path: Path, extension: str):
    path = tmp_path / f"m.{extension}"
    WRITERS[extension](path, [{"video": "a.mp4"}])
    assert read_manifest(str(path)).to_pylist() == [
        {"video_id": video_id_of(f"{tmp_path}/a.mp4"), "uri": f"{tmp_path}/a.mp4", "transcript_uri": None}
    ]


def test_a_manifest_on_a_store_names_files_beside_it():
    with fsspec.open("memory://bucket/lists/m.csv", "w") as file:
        file.write("video\na.mp4\n/data/b.mp4\n")
    uris = read_manifest("memory://bucket/lists/m.csv")["uri"].to_pylist()
    assert uris == ["/data/b.mp4", "memory://bucket/lists/a.mp4"]


@pytest.mark.parametrize("extension", WRITERS)
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"path": "a.mp4"}], r"names no video; give it a column `video`"),
        ([{"video": "a.mp4", "n": 1}, {"video": "", "n": 2}], r"row 2 names no video; fill in its `video`"),
        (
            [{"video": "a.mp4", "transcript": "a.vtt"}, {"video": "./a.mp4", "transcript": "b.vtt"}],
            r"video .*/a\.mp4 stands there twice; remove one",
        ),
        (
            [{"video": "a.mp4", "video_id": "x"}, {"video": "b.mp4", "video_id": "x"}],
            r"video_id x stands there twice; remove one",
        ),
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused(tmp_path: Path, extension: str, rows, message: str):
    path = tmp_path / f"m.{extension}"
    if extension == "csv":
        rows = [{name: str(value) for name, value in row.items()} for row in rows]
    WRITERS[extension](path, rows)
    with pytest.raises(UserError, match=rf"m\.{extension}: {message}"):
        read_manifest(str(path))


@pytest.mark.parametrize("extension", WRITERS)
def test_an_unreadable_manifest_is_refused_in_one_line(tmp_path: Path, extension: str):
    path = tmp_path / f"m.{extension}"
    path.write_bytes(b'video,transcript\n"a.mp4,\xff\n{"video":\n\n')
    with pytest.raises(
        UserError, match=rf"^.*m\.{extension}: cannot be read as a \.{extension} manifest \(.+\)$"
    ):
        read_manifest(str(path))


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"gone\.csv: cannot be read as a \.csv manifest .*No such file"):
        read_manifest(str(tmp_path / "gone.csv"))


def test_a_header_without_rows_is_refused(tmp_path: Path):
    (tmp_path / "m.csv").write_text("video\n")
    with pytest.raises(UserError, match="names no video"):
        read_manifest(str(tmp_path / "m.csv"))


def test_a_line_that_comes_again_is_counted_and_left_out(tmp_path: Path):
    path = tmp_path / "m.csv"
    path.write_text("video,transcript\na.mp4,a.vtt\nb.mp4,\n./a.mp4,a.vtt\na.mp4,a.vtt\n")
    set_aside = SetAside()
    (videos,) = manifest_parts(str(path), set_aside)
    assert [Path(uri).name for uri in videos["uri"].to_pylist()] == ["a.mp4", "b.mp4"]
    assert set_aside.num_repeated == 2
