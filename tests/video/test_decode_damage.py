"""Damage is counted in the clip that it falls in, and never passed off as good."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.videos import Video, break_packets, ffmpeg, read_numbers, write_video
from vbert.errors import VideoError
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import Clip, ClipSpec
from vbert.video.media import Segment

SPEC = ClipSpec(clip_seconds=0.4, frames_per_clip=10, size=32, crop_share=1.0)  # every frame of 25 fps
ALL = Segment(index=0, first_clip=0, num_clips=99)


def decode(path: Path, segment: Segment = ALL) -> list[Clip]:
    return list(decode_clips(str(path), segment, SPEC))


def corrupt_of(clips: list[Clip]) -> list[tuple[int, int]]:
    return [(clip.num_corrupt_frames, clip.num_frames_seen) for clip in clips]


@pytest.mark.parametrize("share", [(0.0, 1.0), (0.4, 0.8)], ids=["all", "a_part"])
def test_a_broken_frame_and_all_after_it_until_the_next_keyframe_are_corrupt(
    tmp_path: Path, share: tuple[float, float]
):
    path = write_video(tmp_path / "broken.mp4", Video(options={"crf": "1"}))
    break_packets(path, [18], share=share)  # keyframes are 0, 12, 24, 36, 48
    assert corrupt_of(decode(path)) == [(0, 10), (2, 10), (4, 10), (0, 10), (0, 10)]  # 18, 19; 20 to 23


def test_a_broken_keyframe_spoils_its_whole_group(tmp_path: Path):
    path = write_video(tmp_path / "broken.mp4", Video(options={"crf": "1"}))
    break_packets(path, [12])
    assert [clip.num_corrupt_frames for clip in decode(path)] == [0, 8, 4, 0, 0]  # 12 to 19; 20 to 23


def test_a_segment_alone_counts_the_same_damage(tmp_path: Path):
    path = write_video(tmp_path / "broken.mp4", Video(options={"crf": "1"}))
    break_packets(path, [14])
    for clip in decode(path):
        (alone,) = decode(path, Segment(index=0, first_clip=clip.index, num_clips=1))
        assert corrupt_of([alone]) == corrupt_of([clip])


def test_with_b_frames_no_frame_after_the_damage_passes_as_good(tmp_path: Path):
    path = write_video(tmp_path / "broken.mp4", Video(b_frames=3, options={"crf": "1"}))
    break_packets(path, [16])
    clips = decode(path)
    # At most the frames of one group before the broken one are counted with it; what is shown is checked too.
    assert 6 <= sum(clip.num_corrupt_frames for clip in clips) <= 16
    for clip in clips:
        first = clip.index * 10
        wrong = sum(number != first + place for place, number in enumerate(read_numbers(clip, 32)))
        assert wrong <= clip.num_corrupt_frames


def test_damage_just_after_a_keyframe_lasts_though_the_keyframe_is_shown_later(tmp_path: Path):
    # With B-frames, packet 13 (a P-frame) is decoded before the keyframe, 12, comes out.
    path = write_video(tmp_path / "broken.mp4", Video(b_frames=3, options={"crf": "1"}))
    break_packets(path, [13])
    clips = decode(path)
    assert [clip.num_corrupt_frames for clip in clips[2:]] == [4, 0, 0]  # 20 to 23
    assert clips[1].num_corrupt_frames >= 7  # 13 to 19


def test_a_frame_that_is_missing_from_the_file_is_noticed_where_others_refer_to_it(tmp_path: Path):
    video = Video(codec="libx265", options={"x265-params": "log-level=none:bframes=0:ref=1:scenecut=0"})
    path = write_video(tmp_path / "whole.mp4", video)
    with av.open(str(path)) as source, av.open(str(tmp_path / "gap.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number != 16:
                packet.stream = stream
                target.mux(packet)
    clips = decode(tmp_path / "gap.mkv")
    assert [clip.num_corrupt_frames for clip in clips] == [
        0,
        4,
        4,
        0,
        0,
    ]  # 16 is made up, 17 to 23 refer to it


def test_frames_that_never_decode_are_missing_and_count_as_corrupt(tmp_path: Path):
    # VP9 hands out nothing for a frame whose header is broken: 20 to 22 are missing, 23 depends on them.
    path = write_video(tmp_path / "broken.mp4", Video(codec="libvpx-vp9", options={"deadline": "realtime"}))
    break_packets(path, [20, 21, 22], share=(0.0, 0.3))
    clips = decode(path)
    assert corrupt_of(clips) == [(0, 10), (0, 10), (4, 11), (0, 10), (0, 10)]  # 19 is held into clip 2
    assert read_numbers(clips[2], 32)[:3] == [19, 19, 19]


def test_damage_at_the_end_counts_in_the_clips_that_it_should_have_filled(tmp_path: Path):
    path = write_video(tmp_path / "broken.mp4", Video(codec="libvpx-vp9", options={"deadline": "realtime"}))
    break_packets(path, range(36, 50), share=(0.0, 0.3))
    assert corrupt_of(decode(path)) == [(0, 10), (0, 10), (0, 10), (4, 10), (10, 11)]


def test_a_video_of_which_nothing_decodes_is_a_video_error(tmp_path: Path):
    path = write_video(tmp_path / "broken.mp4", Video(codec="libvpx-vp9", options={"deadline": "realtime"}))
    break_packets(path, range(50))
    with pytest.raises(VideoError, match=r"^decode: Invalid data found when processing input$"):
        decode(path)


def test_a_file_that_breaks_off_gives_the_clips_before(tmp_path: Path):
    whole = write_video(tmp_path / "whole.mp4", Video(container_options={"movflags": "faststart"}))
    with av.open(str(whole)) as container:
        cut_at = [packet.pos for packet in container.demux(video=0) if packet.size][27]
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[:cut_at])
    clips = decode(path)
    assert [clip.index for clip in clips] == [0, 1]
    assert [number for clip in clips for number in read_numbers(clip, 32)] == list(range(20))
    assert [clip.index for clip in decode(path, Segment(index=0, first_clip=1, num_clips=3))] == [1]
    with pytest.raises(VideoError, match=r"^decode: the stream ends at 1\.080 s, before clip 4 does$"):
        decode(path, Segment(index=1, first_clip=4, num_clips=1))


def test_a_file_that_breaks_off_in_its_first_clip_has_the_rest_of_it_counted_as_corrupt(tmp_path: Path):
    whole = write_video(tmp_path / "whole.mp4", Video(container_options={"movflags": "faststart"}))
    with av.open(str(whole)) as container:
        cut_at = [packet.pos for packet in container.demux(video=0) if packet.size][4]
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[:cut_at])
    clips = decode(path)
    assert corrupt_of(clips) == [(6, 10)]
    assert read_numbers(clips[0], 32) == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]


def test_a_gap_in_a_transport_stream_counts_until_the_next_keyframe(tmp_path: Path):
    path = write_video(tmp_path / "gap.ts", Video(options={"crf": "1"}))
    content = path.read_bytes()
    with av.open(str(path)) as container:
        position = [packet.pos for packet in container.demux(video=0) if packet.size][17] // 188 * 188
    path.write_bytes(content[:position] + content[position + 3 * 188 :])  # 17 to 19, 188 bytes each
    clips = decode(path)
    assert [clip.index for clip in clips] == [0, 1, 2, 3, 4]
    assert clips[0].num_corrupt_frames == 0
    assert 3 <= clips[1].num_corrupt_frames <= 5  # and those that the codec still held when the gap was seen
    assert clips[2].num_corrupt_frames == 4
    assert sum(clip.num_corrupt_frames for clip in clips[3:]) == 0


def test_seeking_where_there_is_no_keyframe_but_the_first_decodes_from_the_start(tmp_path: Path):
    path = write_video(tmp_path / "one_group.mp4", Video(gop=1000, num_frames=100, fps=Fraction(25)))
    (clip,) = decode(path, Segment(index=0, first_clip=8, num_clips=1))
    assert read_numbers(clip, 32) == list(range(80, 90))


def test_remuxed_damage_is_still_found(tmp_path: Path):
    path = write_video(tmp_path / "broken.mp4", Video(options={"crf": "1"}))
    break_packets(path, [18], share=(0.4, 0.8))
    ffmpeg("-i", path, "-c", "copy", tmp_path / "copy.mkv")
    assert corrupt_of(decode(tmp_path / "copy.mkv")) == [(0, 10), (2, 10), (4, 10), (0, 10), (0, 10)]
