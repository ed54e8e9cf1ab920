"""Copies found among videos, end to end: thresholds chosen on some videos, measured on others.

    python -m benchmarks.deduplicate
    python -m benchmarks.deduplicate --videos ../shared/videos --folder /tmp/copies

Of each video FFmpeg makes copies: three quarters as wide at a lower quality, cropped, begun half a clip
later, the middle half of it. A pair is right if both are of one video. Rendered videos show the same few
kitchens and foods, so that most that are no copies look alike. Half of the videos choose: how much clips
must correlate, and how near the mean clips of two videos must be for the peer. The others are featurized and
deduplicated by the jobs; then come tiny copies, half as wide at the lowest quality, as a second corpus: of
videos 200 to 720 pixels wide that is less than the network looks at.
"""

import hashlib
import shutil
import subprocess  # nosec B404
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import tyro

from demo.render_corpus import render_corpus
from vbert.distributed.deduplicate import DeduplicateConfig, deduplicate
from vbert.distributed.featurize import FeaturizeConfig, featurize
from vbert.duplicates.agreement import MIN_CORRELATION, agreement_of, on_grid
from vbert.tables.delta import Table
from vbert.tables.schemas import DUPLICATES, FEATURES, VIDEOS, unpack_vectors

MIN_SECONDS = 10.0  # a copy of half of it has three clips
ENCODE = ("-an", "-c:v", "libx264", "-preset", "veryfast")
EVEN = "scale=trunc(iw/2)*2:trunc(ih/2)*2"
CORRELATIONS = np.arange(0.5, 1.0, 0.05).round(2).tolist()
SHIFT_SECONDS = 0.75  # half a clip
Pairs = set[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure."""

    num_rendered: int = 12
    """Rendered videos, of which half choose."""
    videos: str | None = None
    """Folder of real videos, of which those of 10 s and more are taken, every second one to choose."""
    max_seconds: float = 40.0
    """Of each video."""
    folder: str | None = None
    """Where copies and tables are kept, so that another run goes on; None: they are thrown away."""


def main(config: BenchmarkConfig) -> None:
    """Make the copies, choose, measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(config.folder or name)
        originals = originals_of(config, folder)
        chosen_on, measured_on = originals[::2], originals[1::2]
        features = featurized(chosen_on, folder / "choosing", max_seconds=config.max_seconds)
        correlation, cosine = choose(features)
        print(f"chosen on {len(chosen_on)} videos: correlation {correlation}, cosine {cosine:.3f}")
        print(f"deduplicate has a correlation of {MIN_CORRELATION}; cosines are the peer's")
        measure(measured_on, folder / "measuring", cosine=cosine, max_seconds=config.max_seconds)


def originals_of(config: BenchmarkConfig, folder: Path) -> list[Path]:
    """The videos of which copies are made."""
    rendered = folder / "rendered"
    if not rendered.is_dir():
        render_corpus(rendered, num_videos=config.num_rendered, seed=0, num_workers=None)
    found = sorted(rendered.glob("*.mp4"))
    if config.videos:
        real = sorted(path for path in Path(config.videos).iterdir() if path.is_file())
        found += [path for path in real if seconds_of(path) >= MIN_SECONDS]
    return found


def seconds_of(path: Path) -> float:
    """By the header; 0 if there is none."""
    asked = ("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path))
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # nosec B603
    try:
        return float(said)
    except ValueError:
        return 0.0


def featurized(originals: Sequence[Path], folder: Path, *, max_seconds: float) -> dict[str, np.ndarray]:
    """Clips float32 [n, dim] of each copy, by `<video>.<copy>`, from tables that featurize has written."""
    for original in originals:
        copies_of(original, folder / "copies", max_seconds=max_seconds)
    featurize(FeaturizeConfig(corpus=str(folder / "copies"), tables=str(folder / "tables")))
    return features_in(folder / "tables")


def copies_of(original: Path, folder: Path, *, max_seconds: float) -> None:
    """The video itself, encoded anew, and its copies; the tiny one into a folder beside the others'."""
    seconds = min(seconds_of(original), max_seconds)
    ways = {
        "itself": (0.0, seconds, EVEN, "20"),
        "small": (0.0, seconds, f"scale=iw*3/4:-2,{EVEN}", "30"),
        "cropped": (0.0, seconds, f"crop=iw*0.9:ih*0.9,{EVEN}", "26"),
        "shifted": (SHIFT_SECONDS, seconds - SHIFT_SECONDS, EVEN, "26"),
        "cut": (seconds / 4 + 0.4, seconds / 2, EVEN, "28"),
        "tiny": (0.0, seconds, f"scale=iw/2:-2,{EVEN}", "34"),
    }
    for name, (start, length, picture, quality) in ways.items():
        where = folder.with_name("tiny") if name == "tiny" else folder
        where.mkdir(parents=True, exist_ok=True)
        path = where / f"{original.stem}.{name}.mp4"
        if path.exists():
            continue
        place = ("-ss", str(start), "-t", str(length), "-i", str(original))
        part = path.with_suffix(".part.mp4")
        command = ("ffmpeg", "-v", "error", "-y", *place, "-vf", picture, *ENCODE, "-crf", quality, str(part))
        subprocess.run(command, check=True)  # nosec B603
        part.rename(path)


def features_in(tables: Path) -> dict[str, np.ndarray]:
    """Clips of each video in the tables, by the name of its file."""
    table = Table(str(tables), FEATURES)
    (featurizer,) = table.partitions()
    columns = ["video_id", "clip_seconds", "clip_start_seconds", "features"]
    rows = table.read(columns=columns, partition=featurizer)
    found = {}
    for video_id, name in names_in(tables).items():
        mine = rows.filter(pc.equal(rows["video_id"], video_id))
        starts = pc.list_flatten(mine["clip_start_seconds"]).to_numpy()
        seconds = mine["clip_seconds"][0].as_py()
        found[name] = on_grid(unpack_vectors(mine["features"]), starts, clip_seconds=seconds)
    return found


def names_in(tables: Path) -> dict[str, str]:
    """The name of each video's file, `<video>.<copy>`, by its id."""
    ledger = Table(str(tables), VIDEOS)
    (featurizer,) = ledger.partitions()
    rows = ledger.read(columns=["video_id", "uri", "num_clips"], partition=featurizer).to_pylist()
    return {row["video_id"]: Path(row["uri"]).stem for row in rows if row["num_clips"]}


def choose(features: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The correlation of clips and the cosine of mean clips that give the best F1 of all pairs; of
    correlations that do so the middle one."""
    pairs = all_pairs(features)
    is_right = np.array([is_copy(pair) for pair in pairs])
    scores = []
    for correlation in CORRELATIONS:
        found = [
            agreement_of(features[a], features[b], min_correlation=correlation).is_copy for a, b in pairs
        ]
        scores.append(f1(np.array(found), is_right))
        print(f"  correlation {correlation:.2f}: F1 {scores[-1]:.3f}")
    best = np.flatnonzero(np.isclose(scores, max(scores)))
    cosines = cosines_of(features, pairs)
    thresholds = np.unique(cosines)
    by_cosine = [f1(cosines >= threshold, is_right) for threshold in thresholds]
    return CORRELATIONS[best[len(best) // 2]], float(thresholds[int(np.argmax(by_cosine))])


def f1(found: np.ndarray, is_right: np.ndarray) -> float:
    """Of bools [num_pairs]."""
    return float(2 * (found & is_right).sum() / (found.sum() + is_right.sum()))


def all_pairs(names: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Each two videos, the lesser name first."""
    return list(combinations(sorted(names), 2))


def is_copy(pair: tuple[str, str]) -> bool:
    """Whether both are of one video."""
    return pair[0].rpartition(".")[0] == pair[1].rpartition(".")[0]


def cosines_of(features: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Of the two videos' mean clips."""
    means = {name: clips.mean(0) / np.linalg.norm(clips.mean(0)) for name, clips in features.items()}
    return np.array([means[a] @ means[b] for a, b in pairs])


def measure(originals: Sequence[Path], folder: Path, *, cosine: float, max_seconds: float) -> None:
    """Compare the ways, then again when the tiny copies have come."""
    featurized(originals, folder, max_seconds=max_seconds)
    tables, with_tiny = folder / "tables", folder / "tables-with-tiny"
    print(f"measured on {len(originals)} others:", end=" ")
    compare(tables, [folder / "copies"], cosine=cosine)
    shutil.rmtree(with_tiny, ignore_errors=True)
    shutil.copytree(tables, with_tiny)
    featurize(FeaturizeConfig(corpus=str(folder / "tiny"), tables=str(with_tiny)))
    print("and with tiny copies:", end=" ")
    compare(with_tiny, [folder / "copies", folder / "tiny"], cosine=cosine)


def compare(tables: Path, folders: Sequence[Path], *, cosine: float) -> None:
    """Precision, recall and seconds of each way, and what deduplicate has missed."""
    features = features_in(tables)
    pairs = all_pairs(features)
    wanted = {pair for pair in pairs if is_copy(pair)}
    print(f"{len(features)} videos, {len(pairs):,} pairs, {len(wanted)} of them copies")
    start_seconds = time.perf_counter()
    deduplicate(DeduplicateConfig(tables=str(tables)))
    found = clustered(tables)
    print_line("deduplicate", found, wanted, time.perf_counter() - start_seconds)
    for pair in sorted(found ^ wanted):
        print(f"  {'missed' if pair in wanted else 'wrong'}: {pair[0]}, {pair[1]}")
    start_seconds = time.perf_counter()
    near = cosines_of(features, pairs) >= cosine
    by_cosine = {pair for pair, is_near in zip(pairs, near, strict=True) if is_near}
    print_line("cosine of mean clips, all pairs", by_cosine, wanted, time.perf_counter() - start_seconds)
    start_seconds = time.perf_counter()
    files = [path for folder in folders for path in folder.iterdir()]
    hashes = {path.stem: hashlib.sha256(path.read_bytes()).digest() for path in files}
    same = {(a, b) for a, b in pairs if hashes[a] == hashes[b]}
    print_line("exact hash of the file", same, wanted, time.perf_counter() - start_seconds)


def clustered(tables: Path) -> Pairs:
    """Pairs of names that the table `duplicates` has in one cluster."""
    names, table = names_in(tables), Table(str(tables), DUPLICATES)
    (featurizer,) = table.partitions()
    clusters: dict[str, list[str]] = {}
    for row in table.read(columns=["video_id", "cluster"], partition=featurizer).to_pylist():
        clusters.setdefault(row["cluster"], []).append(names[row["video_id"]])
    return {pair for mine in clusters.values() for pair in combinations(sorted(mine), 2)}


def print_line(name: str, found: Pairs, wanted: Pairs, seconds: float) -> None:
    """One way's."""
    precision = len(found & wanted) / len(found) if found else 1.0
    recall = len(found & wanted) / len(wanted)
    print(f"{name:<32} precision {precision:.3f}  recall {recall:.3f}  {seconds:6.2f} s")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig))
