"""Summarization: how important each interval of a video is, and which make its summary."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Self

import numpy as np
from scipy.stats import kendalltau, spearmanr
from torch import Tensor

from vbert.documents.sequences import IGNORED, Batch
from vbert.tasks.base import Inputs, Task, TaskOptions
from vbert.tasks.examples import Row, evenly_spaced, packed_inputs
from vbert.tasks.key_segments import choose, overlap_f1

BUDGET_SHARE = (
    0.15  # of a video's annotated time, as in SumMe (Gygli et al. 2014) and TVSum (Song et al. 2015)
)


class Summarization(Task):
    """An example is a video: all its annotated intervals in order. Importances are scaled to 0..1 over the
    training examples."""

    name = "summarization"
    columns = ("start_seconds", "importance")
    window_seconds = 6.0

    @staticmethod
    def model_class() -> Any:
        """A score for each clip."""
        from vbert.model.modeling_heads import VideoBertForClipScoring

        return VideoBertForClipScoring

    @classmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """Knows the range of importances."""
        values = [row["importance"] for row in rows]
        return cls(options, {"least": min(values), "most": max(values)})

    @staticmethod
    def has_target(row: Row) -> bool:
        """Whether its importance is known, and it has times."""
        return row["importance"] is not None and row["start_seconds"] is not None

    def grouped(self, rows: Sequence[Row]) -> list[Row]:
        """One a video, with its intervals in order of time."""
        in_order = sorted(rows, key=lambda row: (row["video_id"], row["start_seconds"]))
        return [
            {"video_id": video, "split": mine[0]["split"], "intervals": mine}
            for video, mine in ((k, list(v)) for k, v in groupby(in_order, key=lambda row: row["video_id"]))
        ]

    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """A sequence a video: the clips of all its intervals."""
        sequences = [
            self.sequence("", {"said": "", **self._shown(row["intervals"], inputs)}, inputs) for row in rows
        ]
        return packed_inputs(sequences, inputs.vocabulary, row_length=inputs.row_length)

    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """The importance of each clip float [num_rows, row_length], -100 elsewhere."""
        least, most = self.facts["least"], self.facts["most"]
        labels = np.full(batch["input_ids"].shape, float(IGNORED))
        is_clip = batch["input_ids"] >= inputs.vocabulary.visual_offset
        for number, row in enumerate(rows):
            owners = self._kept(row["intervals"], inputs)[1]
            importance = np.array([interval["importance"] for interval in row["intervals"]])
            scaled = (importance - least) / max(most - least, 1e-9)
            labels[is_clip & (batch["sequence_ids"] == number)] = scaled[owners]
        return {"labels": labels}

    def num_targets(self, batch: Batch) -> int:
        """How many clips there are to score."""
        return int((batch["labels"] != IGNORED).sum())

    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """A score from 0 to 1 for each interval, the mean over its clips; the intervals that make the
        summary; and what is said in them."""
        scores = model(**batch).logits.sigmoid().cpu().numpy()
        is_clip = (batch["input_ids"] >= inputs.vocabulary.visual_offset).cpu().numpy()
        sequence_ids = batch["sequence_ids"].cpu().numpy()
        found = []
        for number, row in enumerate(rows):
            owners = self._kept(row["intervals"], inputs)[1]
            mine = scores[is_clip & (sequence_ids == number)]
            count = len(row["intervals"])
            sums = np.bincount(owners, mine, minlength=count)
            found.append(self._answer(row, sums / np.bincount(owners, minlength=count).clip(1)))
        return found

    def _answer(self, row: Row, scores: np.ndarray) -> dict[str, Any]:
        chosen = choose(row["intervals"], scores, share=BUDGET_SHARE)
        intervals = [row["intervals"][at] for at in chosen]
        return {
            "_scores": [round(float(score), 6) for score in scores],
            "_chosen": chosen,
            "segments": [[interval["start_seconds"], interval["end_seconds"]] for interval in intervals],
            "text": " ".join(interval["said"] for interval in intervals if interval["said"]),
        }

    def metrics(self, answers: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
        """Of each video, and then the mean: F1 of the summary's time with that of the summary that the true
        importances make; and Kendall's and Spearman's rank correlation of scores with importances (Otani et
        al. 2019), 0 where either is the same for all."""
        found: dict[str, list[float]] = {"F1": [], "Kendall": [], "Spearman": []}
        for answer, row in zip(answers, rows, strict=True):
            importance = np.array([interval["importance"] for interval in row["intervals"]])
            wanted = choose(row["intervals"], importance, share=BUDGET_SHARE)
            found["F1"].append(overlap_f1(row["intervals"], answer["_chosen"], wanted))
            found["Kendall"].append(_correlation(kendalltau, answer["_scores"], importance))
            found["Spearman"].append(_correlation(spearmanr, answer["_scores"], importance))
        return {name: float(np.mean(values)) for name, values in found.items()}

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """Intervals at random: the mean over some draws."""
        chance = np.random.default_rng(0)
        found = []
        for _ in range(20):
            answers = [self._answer(row, chance.random(len(row["intervals"]))) for row in rows]
            found.append(self.metrics(answers, rows))
        return {"random segments": {name: float(np.mean([f[name] for f in found])) for name in found[0]}}

    def _shown(self, intervals: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """The clips that fit a row, by the names of an example's columns."""
        kept, _ = self._kept(intervals, inputs)
        columns = [name for name in ("visual_tokens", "features") if name in intervals[0]]
        return {
            name: np.concatenate([np.asarray(interval[name]) for interval in intervals])[kept]
            for name in columns
        }

    def _kept(self, intervals: Sequence[Row], inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """Which of all the intervals' clips fit a row, int64 [n], and the interval int64 [n] of each."""
        owners = np.repeat(np.arange(len(intervals)), [len(mine["visual_tokens"]) for mine in intervals])
        kept = evenly_spaced(len(owners), at_most=inputs.row_length - 3)
        return kept, owners[kept]


def _correlation(statistic: Any, scores: Sequence[float], importance: np.ndarray) -> float:
    if len(set(scores)) < 2 or len(set(importance.tolist())) < 2:
        return 0.0
    return float(statistic(scores, importance).statistic)
