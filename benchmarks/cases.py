"""Odd transcripts and videos: which come out right, of which something is said, and which are silently wrong.

    python benchmarks/cases.py --cases ../shared/cases

RIGHT has what each must give, written by hand. A file that is not in it counts as said where it fails, or its
length, its clips or its words come with a remark; else what came is printed for a person to judge.
"""

import argparse
from collections import Counter
from pathlib import Path

from vbert.errors import VideoError
from vbert.text.transcripts import open_transcript
from vbert.video.decode import decode_clips
from vbert.video.frame_grid import ClipSpec
from vbert.video.media import plan_segments, probe_video

CLIP_SECONDS = 1.5
SPEC = ClipSpec(clip_seconds=CLIP_SECONDS, frames_per_clip=3, size=32, crop_share=1.0)
TWO = "0.00 Peel it. 1.00 / 1.00 Cut it. 2.00"
# Seconds, clips and size as shown; or sentences between their times.
RIGHT = {
    "clap.mp4": "4.52 s, 3 clips, 64x96",
    "concat_reset.ts": "12.00 s, 8 clips, 128x96",
    "elst_zero_duration.mp4": "12.00 s, 8 clips, 128x96",
    "mc10.mp4": "4.52 s, 3 clips, 128x96",
    "mc8.mp4": "4.52 s, 3 clips, 128x96",
    "mjpeg_exif_rot.mov": "3.00 s, 2 clips, 96x128",
    "mkv_short_duration.mkv": "12.00 s, 8 clips, 128x96",
    "mkvmerge_late_video.mkv": "7.52 s, 5 clips, 128x96",
    "mpeg2_opengop.mpg": "12.00 s, 8 clips, 128x96",
    "ogg_chained.ogv": "9.04 s, 6 clips, 128x96",
    "one_bad_pts_1000s.ts": "12.00 s, 8 clips, 128x96",
    "opengop.ts": "12.00 s, 8 clips, 128x96",
    "red70_green140_blue200.ts": "410.00 s, 273 clips, 64x64",
    "timelapse.ts": "600.00 s, 400 clips, 128x96",
    "two_streams_second_default.mp4": "4.52 s, 3 clips, 128x96",
    "aside_over_two_lines.srt": "4.00 Cut it. 5.00",
    "crcrlf.srt": "0.00 Peel it. 2.00 / 2.00 Fry it. 3.00",
    "hindi_danda.vtt": "0.00 प्याज को काटें। 2.00 / 2.00 फिर तेल में भूनें। 4.00",
    "identical_cues_manual.srt": "0.00 Stir. 1.00 / 1.00 Stir. 2.00 / 2.00 Stir. 3.00",
    "no_ms.srt": "20.00 Peel it. 24.00 / 24.00 Cut it. 27.00",
    "one_bad_byte_in_utf8.srt": "0.00 Café crème. 1.00 / 1.00 Voilà\ufffd. 2.00",
    "one_good_one_bad_arrow.srt": TWO,
    "rel_word_times.vtt": "60.00 Cut it now. 63.00 / 63.00 Fry it. 65.00",
    "slow_short_cues.vtt": "0.00 Cut it and fry so good. 12.00",
    "srt_blank_line_in_cue.srt": "0.00 Peel it. 1.12 / 1.12 Cut it. 2.00 / 2.00 Fry it. 3.00",
    "srt_colon_fraction.srt": "0.00 Peel it. 1.25",
    "srt_h_escape.srt": "0.00 Peel it now. 1.00",
    "srt_no_blank_between_cues.srt": TWO,
    "srt_no_spaces_round_arrow.srt": "0.00 Peel it. 1.00",
    "whisper_highlight.vtt": "0.00 Peel the onion now. 4.00",
    "yt_rolling_ffmpeg.srt": "0.16 Now slice the bread and then toast it until it is brown. 8.00",
    "yt_styled_duplicates.vtt": "1.80 Peel the onion. 6.90 / 6.90 Cut it. 11.50",
}


def main() -> None:
    """Try each file, and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, required=True, help="folder with the folders text and video")
    options = parser.parse_args()
    verdicts: Counter[str] = Counter()
    for path in sorted([*(options.cases / "text").iterdir(), *(options.cases / "video").iterdir()]):
        if path.suffix in (".json", ".csv"):  # captions and annotations, which need videos
            continue
        came, remarks = try_file(path)
        expected = RIGHT.get(path.name)
        verdict = (
            "right" if came == expected else "said" if remarks else "unjudged" if not expected else "silent"
        )
        verdicts[verdict] += 1
        print(f"{verdict:<9}{path.name:<34}{came[:90]}{'; ' + '; '.join(remarks) if remarks else ''}")
    print(", ".join(f"{verdict} {verdicts[verdict]}" for verdict in ("right", "said", "unjudged", "silent")))


def try_file(path: Path) -> tuple[str, list[str]]:
    """What comes of it in RIGHT's words, and what is said beside."""
    try:
        if path.parent.name == "text":
            return try_transcript(path)
        return try_video(path)
    except VideoError as error:
        return "nothing", [f"failed in {error.stage}: {error.reason}"]


def try_transcript(path: Path) -> tuple[str, list[str]]:
    """Sentences between their times."""
    found = open_transcript(str(path))
    lines = [f"{one.start_seconds:.2f} {one.text} {one.end_seconds:.2f}" for one in found.sentences]
    return " / ".join(lines), [*([found.lost] if found.lost else []), *found.notes]


def try_video(path: Path) -> tuple[str, list[str]]:
    """Seconds, clips in one pass, and size."""
    probe = probe_video(str(path))
    segments = plan_segments(probe.duration_seconds, clip_seconds=CLIP_SECONDS, segment_seconds=1e9)
    num_clips = sum(len(list(decode_clips(str(path), segment, SPEC))) for segment in segments)
    came = f"{probe.duration_seconds:.2f} s, {num_clips} clips, {probe.width}x{probe.height}"
    return came, [*([probe.lost] if probe.lost else []), *probe.warnings]


if __name__ == "__main__":
    main()
