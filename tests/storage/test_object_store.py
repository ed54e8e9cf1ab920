"""Tables and videos in a bucket: moto's S3, also one that fails now and then."""

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import s3fs

from tests.listed import files_in
from tests.object_store import ObjectStore
from tests.table_rows import feature_rows, keys_of
from tests.videos import Video, write_video
from vbert.errors import UserError, VideoError
from vbert.storage.blocks import BLOCK_BYTES
from vbert.storage.files import filesystem_of, open_file, read_object, read_small_file
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import NewFile
from vbert.tables.pins import pins
from vbert.tables.schemas import FEATURES
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import ClipSpec
from vbert.video.media import Segment, plan_segments, probe_video

SMALL = ClipSpec(clip_seconds=1.5, frames_per_clip=3, size=64, crop_share=1.0)
pytestmark = pytest.mark.slow


def table_in(bucket: str) -> Table:
    table = Table(f"{bucket}/tables", FEATURES)
    table.create()
    return table


def put_large_video(bucket: str, name: str, folder: Path) -> Path:
    """20 s in 69 MB, here and in the bucket."""
    large = Video(num_frames=200, fps=Fraction(10), width=640, height=360, codec="rawvideo")
    video = write_video(folder / "large.mkv", large)
    filesystem, _ = filesystem_of(bucket)
    filesystem.put(str(video), f"{bucket}/{name}")
    return video


def test_a_table_in_a_bucket_is_as_one_in_a_folder(bucket: str):
    table = table_in(bucket)
    committer = Committer(table, partition="f-1")
    committer.commit([table.write_file(feature_rows("pq"))])
    committer.commit([table.write_file(feature_rows("p", segments=1, fingerprint="b"))], drop=["p"])
    assert keys_of(table) == [("p", 0, "b"), ("q", 0, "a"), ("q", 1, "a"), ("q", 2, "a")]
    assert table.version() == 2


def test_of_two_jobs_at_once_one_commits_and_the_other_says_why_not(bucket: str):
    """Many times, from two threads that have seen the same state of the table."""
    table = table_in(bucket)
    committed: list[str] = []
    refused: list[str] = []

    def commit(video_id: str, committer: Committer, files: list[NewFile], barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            committer.commit(files)
            committed.append(video_id)
        except UserError as error:
            refused.append(str(error))

    for pair in ("ab", "cd", "ef", "gh", "ij"):
        barrier = threading.Barrier(2)
        threads = [
            threading.Thread(
                target=commit,
                args=(
                    name,
                    Committer(Table(table.root, FEATURES), partition="f-1"),
                    [table.write_file(feature_rows(name))],
                    barrier,
                ),
            )
            for name in pair
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(committed) == len(refused) == 5
    assert all("another job" in said for said in refused)
    assert [key for key, *_ in keys_of(table)] == [name for name in sorted(committed) for _ in range(3)]


def test_commits_to_a_store_that_fails_land_once(faulty: str):
    """Reads, writes and commits, 30 times: whatever an answer that was lost had been."""
    table = table_in(faulty)
    committer = Committer(table, partition="f-1")
    names = [chr(ord("A") + index) for index in range(30)]
    for name in names:
        committer.commit([table.write_file(feature_rows(name, segments=1))])
    assert keys_of(table) == [(name, 0, "a") for name in names]
    assert table.version() == len(names)


def test_a_segment_takes_its_part_of_the_file(bucket: str, store: ObjectStore, tmp_path: Path):
    video = put_large_video(bucket, "large/v.mkv", tmp_path)
    before = store.counts()["bytes"]
    segment = Segment(index=5, first_clip=6, num_clips=2)  # from 9 s to 12 s, of 20
    remote = decode_clips(f"{bucket}/large/v.mkv", segment, SMALL)
    for ours, theirs in zip(remote, decode_clips(str(video), segment, SMALL), strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
    read = store.counts()["bytes"] - before
    assert video.stat().st_size > 60e6
    # 3 of 20 s, and at most a block at each end of it, the header's and the index's.
    assert read < 3 / 20 * video.stat().st_size + 4 * BLOCK_BYTES < video.stat().st_size


def test_a_video_is_read_once_and_asked_for_seldom(bucket: str, store: ObjectStore, tmp_path: Path):
    """Its header once to be planned, then segment after segment, as a worker has them."""
    video = put_large_video(bucket, "whole/v.mkv", tmp_path)
    uri = f"{bucket}/whole/v.mkv"
    before = store.counts()
    probe = probe_video(uri)
    for segment in plan_segments(probe.duration_seconds, clip_seconds=1.5, segment_seconds=3.0):
        assert all(clip.frames.any() for clip in decode_clips(uri, segment, SMALL))
    after = store.counts()
    size = video.stat().st_size
    assert after["bytes whole"] - before.get("bytes whole", 0) < 1.1 * size
    assert after["requests whole"] - before.get("requests whole", 0) <= size / (4 * 2**20)


def test_an_empty_file_is_read_as_one(bucket: str):
    """A store refuses a range of it; and what is empty is no pin."""
    filesystem, path = filesystem_of(f"{bucket}/tables/pins/empty.json")
    filesystem.pipe_file(path, b"")
    assert read_small_file(f"{bucket}/tables/pins/empty.json") == b""
    assert pins(f"{bucket}/tables") == []
    with pytest.raises(UserError, match=r"empty\.json: broken JSON .*; write it again"):
        read_object(f"{bucket}/tables/pins/empty.json", fix="write it again")


def test_what_a_bucket_lacks_is_said(bucket: str):
    with pytest.raises(FileNotFoundError):
        open_file(f"{bucket}/nothing.mp4")
    assert files_in(f"{bucket}/nothing", extensions={"mp4"}) == {}
    with pytest.raises(VideoError, match="probe") as caught:
        probe_video(f"{bucket}/nothing.mp4")
    assert caught.value.stage == "probe"


def test_without_credentials_the_user_hears_of_them(bucket: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=r"s3://corpus/videos: cannot be listed .*credentials"):
        files_in(f"{bucket}/videos", extensions={"mp4"})
    with pytest.raises(UserError, match=r"s3://elsewhere/tables/features: cannot be read .*credentials"):
        Table("s3://elsewhere/tables", FEATURES).create()


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(UserError, match="has a password in it") as caught:
        filesystem_of("https://me:secret@example.org/a.mp4")
    assert "secret" not in str(caught.value)


def test_a_commit_takes_as_few_requests_after_many_and_so_does_a_look(bucket: str, store: ObjectStore):
    table = table_in(bucket)
    committer = Committer(table, partition="f-1")
    num_requests, to_open = [], []
    for number in range(30):
        file = table.write_file(feature_rows(chr(97 + number), segments=1))
        before = store.counts()["well"]
        committer.commit([file])
        num_requests.append(store.counts()["well"] - before)
        before = store.counts()["well"]
        assert len(Table(table.root, FEATURES).paths(partition="f-1")) == number + 1
        to_open.append(store.counts()["well"] - before)
    usual = {3}  # whether the file is there, whether there is another commit, ours
    summing_up = {5}  # and a checkpoint, with a file that names it
    assert [set(num_requests[at::10]) for at in range(10)] == [usual] * 9 + [summing_up]
    assert max(to_open) == 13, "what names the checkpoint, it, its commit, nine more, one that is not there"
