"""Copies found among rendered and real videos: precision and recall, beside exact hashes and whole vectors.

    python -m benchmarks.deduplicate
    python -m benchmarks.deduplicate --videos ../shared/videos

Of each video FFmpeg makes copies: three quarters as wide at a lower quality, cropped, begun half a clip
later, the middle half of it. A pair is right if both are of one video. Rendered videos show the same few
kitchens and foods, so that most that are no copies look alike. The last line is of copies half as wide at the
lowest quality: of videos 200 to 720 pixels wide that is less than the network looks at.
"""

import hashlib
import subprocess  # nosec B404
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import tyro

from demo.render_corpus import render_corpus
from vbert.duplicates.agreement import agreement_of, on_grid
from vbert.duplicates.clusters import Link, clusters_of
from vbert.duplicates.signatures import candidates, signature_of
from vbert.errors import VideoError
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.one_video import VideoFeaturizer

MIN_SECONDS = 10.0  # a copy of half of it has three clips
MAX_SECONDS = 40.0
ENCODE = ("-an", "-c:v", "libx264", "-preset", "veryfast")
EVEN = "scale=trunc(iw/2)*2:trunc(ih/2)*2"
TINY = "tiny"
Pairs = set[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure."""

    num_rendered: int = 12
    """Rendered videos."""
    videos: str | None = None
    """Folder of real videos, of which those of 10 s and more are taken, 40 s of each."""


def main(config: BenchmarkConfig) -> None:
    """Make the copies, featurize all, print the table."""
    with tempfile.TemporaryDirectory() as name:
        features = featurized(config, Path(name))
        hashes = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in copies_in(Path(name))}
    print_table(features, {name: hashes[name] for name in features})


def featurized(config: BenchmarkConfig, folder: Path) -> dict[str, np.ndarray]:
    """Clips float32 [n, dim] of each video and of its copies, by `<video>.<copy>`."""
    render_corpus(folder / "rendered", num_videos=config.num_rendered, seed=0, num_workers=None)
    originals = sorted((folder / "rendered").glob("*.mp4"))
    if config.videos:
        originals += sorted(path for path in Path(config.videos).iterdir() if path.is_file())
    (folder / "copies").mkdir()
    featurizer = VideoFeaturizer(FeaturizerConfig(), device="cpu")
    clip_seconds = featurizer.config.clip_seconds
    found = {}
    for original in originals:
        for copy in copies_of(original, folder / "copies", shift_seconds=clip_seconds / 2):
            try:
                video = featurizer.of_file(str(copy))
            except VideoError:
                continue
            found[copy.stem] = on_grid(video.features, video.start_seconds, clip_seconds=clip_seconds)
    featurizer.process.close()
    return found


def copies_of(original: Path, folder: Path, *, shift_seconds: float) -> list[Path]:
    """The video itself, encoded anew, and its copies; none of one that is short or cannot be read."""
    asked = ("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(original))
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # nosec B603
    try:
        seconds = min(float(said), MAX_SECONDS)
    except ValueError:
        return []
    if seconds < MIN_SECONDS:
        return []
    ways = {
        "itself": (0.0, seconds, EVEN, "20"),
        "small": (0.0, seconds, f"scale=iw*3/4:-2,{EVEN}", "30"),
        TINY: (0.0, seconds, f"scale=iw/2:-2,{EVEN}", "34"),
        "cropped": (0.0, seconds, f"crop=iw*0.9:ih*0.9,{EVEN}", "26"),
        "shifted": (shift_seconds, seconds - shift_seconds, EVEN, "26"),
        "cut": (seconds / 4 + 0.4, seconds / 2, EVEN, "28"),
    }
    found = []
    for name, (start, length, picture, quality) in ways.items():
        path = folder / f"{original.stem}.{name}.mp4"
        place = ("-ss", str(start), "-t", str(length), "-i", str(original))
        command = ("ffmpeg", "-v", "error", *place, "-vf", picture, *ENCODE, "-crf", quality, str(path))
        subprocess.run(command, check=True)  # nosec B603
        found.append(path)
    return found


def copies_in(folder: Path) -> list[Path]:
    """All that `copies_of` has made."""
    return sorted((folder / "copies").glob("*.mp4"))


def ours(features: Mapping[str, np.ndarray]) -> Pairs:
    """As deduplicate finds them."""
    signatures = {name: signature_of(clips) for name, clips in features.items()}
    links = []
    for first, second in candidates(signatures, set(signatures)):
        agreement = agreement_of(features[first], features[second])
        if agreement.is_copy:
            links.append(
                Link(first=first, second=second, share=agreement.share, offset_seconds=agreement.offset_clips)
            )
    members = clusters_of(links, {name: len(clips) for name, clips in features.items()})
    return {(a, b) for a, b in all_pairs(features) if members[a].cluster == members[b].cluster}


def all_pairs(features: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Each two videos, the lesser name first."""
    return list(combinations(sorted(features), 2))


def is_right(pair: tuple[str, str]) -> bool:
    """Whether both are of one video."""
    return pair[0].rpartition(".")[0] == pair[1].rpartition(".")[0]


def by_whole_vectors(features: Mapping[str, np.ndarray]) -> Pairs:
    """By the cosine of two videos' mean clips, from the threshold on that gives the best F1 of all."""
    means = {name: clips.mean(0) / np.linalg.norm(clips.mean(0)) for name, clips in features.items()}
    pairs = all_pairs(features)
    scores = np.array([means[a] @ means[b] for a, b in pairs])
    order = np.argsort(-scores)
    right = np.array([is_right(pair) for pair in pairs])[order]
    hits = np.cumsum(right)
    best = int(np.argmax(2 * hits / (np.arange(1, len(pairs) + 1) + right.sum())))
    return {pairs[at] for at in order[: best + 1]}


def print_table(features: Mapping[str, np.ndarray], hashes: Mapping[str, str]) -> None:
    """Precision, recall and seconds of each way, and what ours has missed."""
    every, features = features, {name: clips for name, clips in features.items() if not name.endswith(TINY)}
    wanted = {pair for pair in all_pairs(features) if is_right(pair)}
    print(f"{len(features)} videos, {len(all_pairs(features)):,} pairs, {len(wanted)} of them copies")
    ways: dict[str, Callable[[], Pairs]] = {
        "deduplicate": lambda: ours(features),
        "mean vectors, best threshold": lambda: by_whole_vectors(features),
        "exact hash of the file": lambda: {(a, b) for a, b in all_pairs(features) if hashes[a] == hashes[b]},
    }
    for name, find in ways.items():
        start_seconds = time.perf_counter()
        found = find()
        seconds = time.perf_counter() - start_seconds
        precision = len(found & wanted) / len(found) if found else 1.0
        recall = len(found & wanted) / len(wanted)
        print(f"{name:<30} precision {precision:.3f}  recall {recall:.3f}  {seconds:6.2f} s")
        if name == "deduplicate":
            for pair in sorted(found ^ wanted):
                print(f"  {'missed' if pair in wanted else 'wrong'}: {pair[0]}, {pair[1]}")
    tiny = {pair for pair in all_pairs(every) if is_right(pair) and any(n.endswith(TINY) for n in pair)}
    print(f"deduplicate, of tiny copies    {'':16} recall {len(ours(every) & tiny) / len(tiny):.3f}")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig))
