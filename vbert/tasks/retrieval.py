"""Retrieval: texts and intervals of video as vectors, and whose vectors are each other's nearest."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from vbert.documents.sequences import Batch, random_generator
from vbert.tasks.base import CaptionTask, Inputs, TaskOptions
from vbert.tasks.examples import Row, packed_inputs
from vbert.tasks.metrics import ranks, retrieval_metrics

NUM_DRAWS = 20


class Retrieval(CaptionTask):
    """It learns from captions and their videos, from an example with several once with each."""

    name = "retrieval"
    compares_examples = True

    @staticmethod
    def model_class() -> Any:
        """A vector for a text or a video."""
        from vbert.model.modeling_heads import VideoBertForRetrieval

        return VideoBertForRetrieval

    @classmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """It learns nothing but weights."""
        return cls(options, {})

    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """The first captions, then the clips, as sequences of their own; an example without captions (a
        video to be found) has an empty text."""
        texts = [(row["captions"] or [""])[0] for row in rows]
        alone = [
            self.sequence(text, {**row, "visual_tokens": [], "features": None}, inputs)
            for text, row in zip(texts, rows, strict=True)
        ]
        shown = [self.sequence("", row, inputs) for row in rows]
        packed = packed_inputs(alone + shown, inputs.vocabulary, row_length=inputs.row_length)
        return packed | {"is_video": np.arange(2 * len(rows)) >= len(rows)}

    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """A number for each text, equal where the texts are, on whatever worker."""
        mine = [random_generator(row["captions"][0]).integers(2**62) for row in rows]
        return {"text_numbers": np.array(mine, np.int64)}

    def num_targets(self, batch: Batch) -> int:
        """A text for each video, and a video for each text."""
        return 2 * len(batch["text_numbers"])

    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """The vectors of the first caption and of the clips."""
        texts, videos = model.embed(**batch).chunk(2)
        return [
            {"_text_vector": text, "_video_vector": video}
            for text, video in zip(texts.tolist(), videos.tolist(), strict=True)
        ]

    def metrics(self, answers: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
        """Recall at 1, 5 and 10 and the median rank, of the video for a text and the text for a video.

        What has the same caption as the example asked for is not in its way: it is as right.
        """
        texts = np.array([answer["_text_vector"] for answer in answers])
        videos = np.array([answer["_video_vector"] for answer in answers])
        return metrics_of(texts @ videos.T, [row["captions"][0] for row in rows])

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """What an order at random gives."""
        return {"chance": chance_metrics([row["captions"][0] for row in rows])}


class PretrainedRetrieval(Retrieval):
    """By what a pretrained model was taught of texts and videos that are encoded apart."""

    @staticmethod
    def model_class() -> Any:
        """The same vectors, by the head that pretraining had for them."""
        from vbert.model.modeling_videobert import VideoBertForPreTraining

        return VideoBertForPreTraining


def metrics_of(scores: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
    """Of scores [num_texts, num_videos], where text i belongs to video i and the captions may repeat."""
    own = np.arange(len(captions))
    numbers = np.unique(np.array(captions), return_inverse=True)[1]
    is_same = (numbers[:, None] == numbers) & (own[:, None] != own)
    apart = np.where(is_same, -np.inf, scores)
    return {
        f"{way} {name}": value
        for way, one_way in (("text to video", apart), ("video to text", apart.T))
        for name, value in retrieval_metrics(ranks(one_way, own)).items()
    }


def chance_metrics(captions: Sequence[str]) -> dict[str, float]:
    """`metrics_of` an order at random: the mean over NUM_DRAWS, since one is luck."""
    chance = np.random.default_rng(0)
    found = [metrics_of(chance.random((len(captions),) * 2), captions) for _ in range(NUM_DRAWS)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}
