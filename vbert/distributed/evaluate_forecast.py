"""Ray Data asks a pretrained model which clip comes next in videos, against two baselines."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from vbert.distributed.actors import blocks_of, outcomes_of_models
from vbert.distributed.cluster import connect
from vbert.distributed.examples import Videos
from vbert.errors import UserError, require_at_least
from vbert.model.checkpoint_files import CONFIG, read_json, visual_vocabulary_of
from vbert.storage.files import check_output, with_absolute_paths, write_json
from vbert.tasks.annotations import listed_videos
from vbert.tasks.margins import Comparison, Metrics, compare
from vbert.tasks.metrics import ranks, top_k
from vbert.tasks.visual_prediction import forecast, most_frequent, next_clips

CLIPS_A_TASK = 1024
METHODS = ("model", "the same again", "most frequent")


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """Tell which visual token comes next in videos that the model has not seen."""

    tables: str
    """Folder or bucket URL of the tables."""
    model: str
    """Folder of a pretrained model."""
    videos: str
    """File (.csv, .jsonl, .parquet) with a column video_id: those to ask about, as pretrain --held-out has
    them. All others make up the baseline of the most frequent tokens."""
    num_seen: int = 4
    """How many clips the model sees."""
    num_resamples: int = 100
    """As of predict."""
    output: str | None = None
    """File to write the metrics to, as JSON."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_seen")
        require_at_least(self, 0, "num_resamples")


@dataclass(frozen=True, kw_only=True)
class ForecastSummary:
    """Top-1 and top-5 by method."""

    num_clips: int
    num_videos: int
    comparison: Comparison
    seconds: float


def evaluate_forecast(config: ForecastConfig) -> ForecastSummary:
    """Ask about every interval of `num_seen` clips that has a next one."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model")
    videos = Videos.latest(config.tables, vocabulary=visual_vocabulary_of(config.model))
    documents = videos.read(["video_id", "uri", "visual_tokens"])
    asked = listed_videos(config.videos, documents.select(["video_id", "uri"]), tables=config.tables)
    rows = documents.to_pylist()
    others = most_frequent(
        (row["visual_tokens"] for row in rows if row["video_id"] not in asked),
        num_visual_tokens=read_json(config.model, CONFIG)["num_visual_tokens"],
    )
    seen: list[list[int]] = []
    followed: list[int] = []
    owners: list[str] = []
    for row in rows:
        if row["video_id"] in asked:
            mine, after = next_clips([row["visual_tokens"]], num_seen=config.num_seen)
            seen += mine
            followed += after.tolist()
            owners += [row["video_id"]] * len(mine)
    if not seen:
        raise UserError(
            f"{config.videos}: none of its {len(asked)} videos has more than {config.num_seen} clips; "
            "give a smaller --num-seen"
        )
    if config.output:
        check_output(config.output, kind="file")
    places = _places(config.model, seen, followed, others)

    def metrics(rows: Sequence[int]) -> Metrics:
        return {
            method: {f"top-{k}": top_k(places[method][list(rows)], k) for k in (1, 5)} for method in METHODS
        }

    comparison = compare(range(len(seen)), owners, metrics, num_resamples=config.num_resamples)
    summary = ForecastSummary(
        num_clips=len(seen),
        num_videos=len(set(owners)),
        comparison=comparison,
        seconds=time.monotonic() - start_seconds,
    )
    if config.output:
        write_json(config.output, asdict(comparison))
    return summary


def _places(
    model: str, seen: Sequence[Sequence[int]], followed: Sequence[int], frequency: np.ndarray
) -> dict[str, np.ndarray]:
    """By method, the place of the token that followed int64 [n], computed on all GPUs or CPUs."""
    connect(with_data=False)
    rows = [
        {"number": number, "seen": list(tokens), "followed": after}
        for number, (tokens, after) in enumerate(zip(seen, followed, strict=True))
    ]
    blocks = blocks_of(rows, size=CLIPS_A_TASK)
    arguments = {"model": model, "frequency": frequency}
    ranked = pa.concat_tables(outcomes_of_models(RankNext, blocks, arguments=arguments)).sort_by("number")
    return {method: ranked[method].to_numpy() for method in METHODS}


class RankNext:
    """An actor: rows of number, seen, followed in; number and a place by method out."""

    def __init__(self, *, model: str, frequency: np.ndarray) -> None:
        from vbert.training.checkpoints import ready_to_ask  # on workers only: it takes seconds

        pretrained = ready_to_ask(model)
        self.model = pretrained.model
        self.vocabulary = pretrained.vocabulary
        self.frequency = frequency

    def __call__(self, clips: pa.Table) -> pa.Table:
        """The baseline of the same again ranks what is left by frequency."""
        seen, truth = clips["seen"].to_pylist(), clips["followed"].to_numpy()
        frequent = np.repeat(self.frequency[None], len(seen), axis=0)
        again = frequent.copy()
        again[np.arange(len(seen)), [tokens[-1] for tokens in seen]] = np.inf
        scores = {
            "model": forecast(self.model, self.vocabulary, seen),
            "the same again": again,
            "most frequent": frequent,
        }
        places = {method: ranks(matrix, truth) for method, matrix in scores.items()}
        return pa.table({"number": clips["number"], **places})
