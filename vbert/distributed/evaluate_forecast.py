"""Actors ask a pretrained model which clip comes next in videos, against two baselines."""

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
from vbert.tasks.visual_prediction import NextCounts, forecast, next_clips

CLIPS_A_TASK = 1024
METHODS = ("model", "the same again", "most frequent next")
AT_CHANGES = " at scene changes"
CLEARLY = 2.0  # standard errors


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """Tell which visual token comes next in videos that the model has not seen."""

    tables: str
    """Folder or bucket URL of the tables."""
    model: str
    """Folder of a pretrained model."""
    videos: str
    """File (.csv, .jsonl, .parquet) with a column video_id: those to ask about, as pretrain --held-out has
    them. All others make up the baseline of what most often came next."""
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
    """Top-1 and top-5 by method, over all clips and over scene changes: those whose token differs from the
    last that was seen."""

    num_clips: int
    num_scene_changes: int
    num_videos: int
    comparison: Comparison
    seconds: float

    def verdicts(self) -> dict[str, str]:
        """By baseline, in which figures the model is ahead of it by more than two standard errors."""
        found = {}
        for method in METHODS[1:]:
            margins = self.comparison.margins.get(method, {})
            beaten = [name for name in self.comparison.scores["model"] if margins.get(name, 0.0) > CLEARLY]
            found[f"beats {method}"] = ", ".join(beaten) or "in nothing"
        return found


def evaluate_forecast(config: ForecastConfig) -> ForecastSummary:
    """Ask about every interval of `num_seen` clips that has a next one."""
    start_seconds = time.monotonic()
    config = with_absolute_paths(config, "tables", "model")
    videos = Videos.latest(config.tables, vocabulary=visual_vocabulary_of(config.model))
    documents = videos.read(["video_id", "uri", "visual_tokens"])
    asked = listed_videos(config.videos, documents.select(["video_id", "uri"]), tables=config.tables)
    rows = documents.to_pylist()
    others = NextCounts(
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
    is_change = np.array([tokens[-1] for tokens in seen]) != followed

    def metrics(rows: Sequence[int]) -> Metrics:
        mine = np.array(rows)
        changes = mine[is_change[mine]]
        asked = {"": mine} | ({AT_CHANGES: changes} if len(changes) else {})
        figures = [(where, k) for where in asked for k in (1, 5)]
        return {
            method: {f"top-{k}{where}": top_k(places[method][asked[where]], k) for where, k in figures}
            for method in METHODS
        }

    comparison = compare(range(len(seen)), owners, metrics, num_resamples=config.num_resamples)
    summary = ForecastSummary(
        num_clips=len(seen),
        num_scene_changes=int(is_change.sum()),
        num_videos=len(set(owners)),
        comparison=comparison,
        seconds=time.monotonic() - start_seconds,
    )
    if config.output:
        write_json(config.output, asdict(comparison))
    return summary


def _places(
    model: str, seen: Sequence[Sequence[int]], followed: Sequence[int], others: NextCounts
) -> dict[str, np.ndarray]:
    """By method, the place of the token that followed int64 [n], computed on all GPUs or CPUs."""
    connect()
    rows = [
        {"number": number, "seen": list(tokens), "followed": after}
        for number, (tokens, after) in enumerate(zip(seen, followed, strict=True))
    ]
    blocks = blocks_of(rows, size=CLIPS_A_TASK)
    arguments = {"model": model, "others": others}
    ranked = pa.concat_tables(outcomes_of_models(RankNext, blocks, arguments=arguments)).sort_by("number")
    return {method: ranked[method].to_numpy() for method in METHODS}


class RankNext:
    """An actor: rows of number, seen, followed in; number and a place by method out."""

    def __init__(self, *, model: str, others: NextCounts) -> None:
        from vbert.training.checkpoints import ready_to_ask  # on workers only: it takes seconds

        pretrained = ready_to_ask(model)
        self.model = pretrained.model
        self.vocabulary = pretrained.vocabulary
        self.others = others

    def __call__(self, clips: pa.Table) -> pa.Table:
        """The baseline of the same again ranks what is left as the other does."""
        seen, truth = clips["seen"].to_pylist(), clips["followed"].to_numpy()
        last = [tokens[-1] for tokens in seen]
        scores = {
            "model": forecast(self.model, self.vocabulary, seen),
            "the same again": self.others.same_again(last),
            "most frequent next": self.others.most_frequent_next(last),
        }
        places = {method: ranks(matrix, truth) for method, matrix in scores.items()}
        return pa.table({"number": clips["number"], **places})
