import os
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

import fsspec
import pytest

from tests.listed import files_in
from vbert.corpus.listing import MIN_FILES_TO_LIST, MISSING, content_stamps, stat_files
from vbert.errors import UserError
from vbert.storage.files import extension_of, local_path, local_uri, open_file
from vbert.tables.schemas import short_hash


@pytest.fixture
def memory_store():
    store = fsspec.filesystem("memory")
    yield store
    for path in list(store.store):
        store.rm(path)


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(stamps, root) -> list[str]:
    return sorted(os.path.relpath(uri, root) for uri in stamps)


def test_a_folder_is_walked_through_to_its_depths_without_hidden_files(tmp_path: Path):
    for name in ("a.mp4", "deep/er/b.MP4", "c.txt", ".d.mp4", ".cache/e.mp4", "deep/._a.mp4", "mp4"):
        write(tmp_path / name)
    assert names(files_in(str(tmp_path), extensions={"mp4"}), tmp_path) == ["a.mp4", "deep/er/b.MP4"]
    assert names(files_in(str(tmp_path), extensions={"mp4"}, max_depth=1), tmp_path) == ["a.mp4"]


def test_a_local_file_is_stamped_with_its_size_and_its_modification_time_in_nanoseconds(tmp_path: Path):
    video = write(tmp_path / "a.mp4", b"seven b")
    os.utime(video, ns=(5, 1_700_000_000_123_456_789))
    expected = (7, short_hash("7", "1700000000123456789"))
    assert files_in(str(tmp_path), extensions={"mp4"}) == {str(video): expected}
    assert stat_files([str(video)]) == {str(video): expected}


def test_links_in_a_circle_and_to_a_folder_already_listed_add_nothing(tmp_path: Path):
    write(tmp_path / "real" / "a.mp4")
    (tmp_path / "real" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "real", target_is_directory=True)
    assert names(files_in(str(tmp_path), extensions={"mp4"}), tmp_path) == ["real/a.mp4"]


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path):
    write(tmp_path / "disk" / "a.mp4")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "one").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert names(files_in(str(tmp_path / "corpus"), extensions={"mp4"}), tmp_path) == ["corpus/one/a.mp4"]


def test_a_link_to_nothing_is_a_missing_file(tmp_path: Path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    assert files_in(str(tmp_path), extensions={"mp4"}) == {str(tmp_path / "a.mp4"): MISSING}


def test_a_link_to_itself_is_a_missing_file(tmp_path: Path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "b").symlink_to(tmp_path / "b", target_is_directory=True)
    assert files_in(str(tmp_path), extensions={"mp4"}) == {str(tmp_path / "a.mp4"): MISSING}
    assert stat_files([str(tmp_path / "a.mp4")]) == {str(tmp_path / "a.mp4"): MISSING}


@pytest.mark.machine
def test_a_name_that_is_not_utf8_becomes_a_file_url_that_leads_back_to_the_file(tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/caf\xe9 1.mp4"
    try:
        Path(os.fsdecode(path)).write_bytes(b"bytes")
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    (uri,) = files_in(str(tmp_path), extensions={"mp4"})
    assert uri.startswith("file:///")
    assert unquote_to_bytes(uri.removeprefix("file://")) == path
    with open_file(uri) as file:
        assert file.read() == b"bytes"
    assert stat_files([uri])[uri].size_bytes == 5


def test_a_local_uri_is_the_plain_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert local_path("talks/../a b.mp4") == f"{tmp_path}/a b.mp4"
    assert local_path("file:///data/a%20b.mp4") == "/data/a b.mp4"
    assert local_path("s3://bucket/a.mp4") is None
    assert local_uri("/data/a b%20é.mp4") == "/data/a b%20é.mp4"


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a/One.MP4", "mp4"), ("a.b/c", ""), ("mp4", ""), (".mp4", ""), ("talk.en.vtt", "vtt"), ("a.", "")],
)
def test_an_extension_is_lower_case_and_of_the_name_itself(name: str, extension: str):
    assert extension_of(name) == extension


def test_a_store_is_listed_by_url_without_hidden_files(memory_store):
    for name in ("a.mp4", "deep/b.MKV", "deep/.c.mp4", ".d/e.mp4", "f.txt"):
        memory_store.pipe(f"/bucket/{name}", b"abc")
    stamps = files_in("memory://bucket/", extensions={"mp4", "mkv"})
    assert sorted(stamps) == ["memory://bucket/a.mp4", "memory://bucket/deep/b.MKV"]
    assert {stamp.size_bytes for stamp in stamps.values()} == {3}
    assert list(files_in("memory://bucket", extensions={"mp4"}, max_depth=1)) == ["memory://bucket/a.mp4"]
    assert files_in("memory://nothing-there", extensions={"mp4"}) == {}


def test_folders_of_a_store_are_listed_side_by_side_and_each_once(
    memory_store, monkeypatch: pytest.MonkeyPatch
):
    names = [
        f"{year}/{day:02}/{number}.mp4" for year in ("a", "b") for day in range(40) for number in range(2)
    ]
    for name in [*names, "top.mp4", "a/between.mp4", ".hidden/x.mp4"]:
        memory_store.pipe(f"/bucket/{name}", b"abc")
    asked: list[str] = []
    monkeypatch.setattr(type(memory_store), "find", recorded(type(memory_store).find, asked))
    expected = {f"memory://bucket/{name}" for name in [*names, "top.mp4", "a/between.mp4"]}
    assert set(files_in("memory://bucket", extensions={"mp4"})) == expected
    assert len(asked) == len(set(asked)) == 80, "a listing of each day's folder"
    for depth, num_files in ((1, 1), (2, 2), (3, 162)):
        assert len(files_in("memory://bucket", extensions={"mp4"}, max_depth=depth)) == num_files


def test_a_rewritten_object_has_another_fingerprint(memory_store):
    memory_store.pipe("/bucket/a.mp4", b"abc")
    before = files_in("memory://bucket", extensions={"mp4"})
    memory_store.pipe("/bucket/a.mp4", b"abd")
    after = files_in("memory://bucket", extensions={"mp4"})
    assert before["memory://bucket/a.mp4"] != after["memory://bucket/a.mp4"]


@pytest.mark.parametrize("num_files", [3, MIN_FILES_TO_LIST + 1])
def test_many_files_of_one_folder_take_one_listing_and_give_the_stamps_of_single_requests(
    memory_store, monkeypatch: pytest.MonkeyPatch, num_files: int
):
    urls = [f"memory://bucket/{i}.mp4" for i in range(num_files)]
    for url in urls:
        memory_store.pipe(url, b"abc")
    listed = files_in("memory://bucket", extensions={"mp4"})
    asked: list[str] = []
    monkeypatch.setattr(type(memory_store), "info", recorded(type(memory_store).info, asked))
    assert stat_files([*urls, "memory://bucket/gone.mp4", "memory://no/where.mp4"]) == listed | {
        "memory://bucket/gone.mp4": MISSING,
        "memory://no/where.mp4": MISSING,
    }
    assert len(asked) == (1 if num_files > MIN_FILES_TO_LIST else 5)  # where.mp4 lies alone


def recorded(method, calls: list[str]):
    def call(self, path, **kwargs):
        calls.append(path)
        return method(self, path, **kwargs)

    return call


def test_a_folder_of_a_store_that_does_not_exist_has_only_missing_files():
    urls = [f"memory://nowhere/{i}.mp4" for i in range(MIN_FILES_TO_LIST)]
    assert stat_files(urls) == dict.fromkeys(urls, MISSING)


def test_a_content_fingerprint_follows_the_bytes_and_not_the_time(tmp_path: Path):
    one, same, other = (
        write(tmp_path / f"{i}.mp4", content) for i, content in enumerate([b"ab", b"ab", b"ac"])
    )
    os.utime(same, ns=(5, 5))
    stamps = content_stamps(stat_files([str(one), str(same), str(other), "/no/such.mp4"]))
    assert stamps[str(one)] == stamps[str(same)] != stamps[str(other)]
    assert stamps["/no/such.mp4"] == MISSING


def test_an_unknown_protocol_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"^zzz://a: cannot be opened \(Protocol not known: zzz\); use .*$"):
        files_in("zzz://a", extensions={"mp4"})


def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for protocol in ("s3", "s3a"):  # where another test has had them loaded
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)
    with pytest.raises(UserError, match=r"^s3://b/x: .* not installed; pip install 'vbert\[s3\]'$"):
        files_in("s3://b/x", extensions={"mp4"})


def test_a_folder_without_permission_is_refused_rather_than_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "closed" / "a.mp4")
    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    with pytest.raises(UserError, match=r"cannot be listed .*Permission denied"):
        files_in(str(tmp_path), extensions={"mp4"})


def test_a_file_without_permission_is_refused_rather_than_taken_for_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(UserError, match=r"Permission denied: '/data/a.mp4': make the file readable"):
        stat_files(["/data/a.mp4"])


def refuse(path):
    raise PermissionError(13, "Permission denied", path)


def test_a_url_of_a_host_keeps_its_host_and_a_store_without_versions_is_stamped_by_size(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda protocol: HostStore)
    stamps = files_in("sftp://host/videos", extensions={"mp4"})
    assert stamps == {"sftp://host/videos/a.mp4": (7, short_hash("7", ""))}
    assert list(files_in("abfs://container@host/videos", extensions={"mp4"})) == ["abfs:///videos/a.mp4"]


class HostStore:
    """Knows files by their path alone, and of them only the size."""

    def __init__(self, **_: str) -> None:
        pass

    @classmethod
    def _get_kwargs_from_urls(cls, url: str) -> dict[str, str]:
        return {"host": url}

    @classmethod
    def _strip_protocol(cls, url: str) -> str:
        return "container/videos" if url.startswith("abfs") else "/videos"

    def invalidate_cache(self) -> None:
        pass

    def ls(self, path: str, *, detail: bool) -> list[dict[str, object]]:
        assert detail
        return [{"name": "/videos/a.mp4", "size": 7, "type": "file"}]

    def unstrip_protocol(self, path: str) -> str:
        return "abfs://" + path


def test_a_path_that_no_file_can_have_is_a_missing_file(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    uris = [f"{tmp_path}/{'x' * 300}.mp4", f"{tmp_path}/loop/a.mp4"]
    assert stat_files(uris) == dict.fromkeys(uris, MISSING)
