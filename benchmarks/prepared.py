"""What benchmarks need first: rendered files, and environments with other packages."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.decode import FFMPEG, wheel_clip

ENCODERS = {
    "H.264": ("-c:v", "libx264", "-crf", "23", "-preset", "medium"),
    "HEVC": ("-c:v", "libx265", "-crf", "28", "-preset", "fast", "-x265-params", "log-level=error"),
    "VP9": ("-c:v", "libvpx-vp9", "-crf", "33", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5"),
    "AV1": ("-c:v", "libsvtav1", "-crf", "35", "-preset", "9"),
}

MAX_NAMES = 60_000  # of a file: ext4 knows 65,000


def name_again(original: Path, paths: Iterable[Path]) -> None:
    """Give a file more names, or a copy of it where it has too many."""
    for number, path in enumerate(paths, start=1):
        if number % MAX_NAMES == 0:
            original = Path(shutil.copyfile(original, path))
        else:
            path.hardlink_to(original)


def encode(path: str, codec: str, *, height: int, seconds: float) -> None:
    """A real clip, looped, at 30 frames a second."""
    command = [FFMPEG, "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", str(wheel_clip()), "-an"]
    command += ["-t", str(seconds), "-vf", f"scale=-2:{height}", "-r", "30", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, *ENCODERS[codec], path], check=True, stderr=subprocess.DEVNULL)


def environment(folder: Path, packages: Sequence[str]) -> str:
    """The Python of a new environment that has these packages."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return python
