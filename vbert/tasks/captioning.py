"""Captioning: a sentence about an interval of video, written by a decoder on VideoBERT's states."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from vbert.documents.sequences import IGNORED, Batch
from vbert.model.checkpoint_files import read_vocabulary
from vbert.tasks.base import CaptionTask, Inputs, TaskOptions
from vbert.tasks.caption_metrics import score_captions
from vbert.tasks.examples import Row, padded, padded_inputs


class Captioning(CaptionTask):
    """It learns to write the captions of training; an example with several is learned once with each."""

    name = "captioning"

    @staticmethod
    def model_class() -> Any:
        """A decoder on the encoder's states."""
        from vbert.model.modeling_captioning import VideoBertForCaptioning

        return VideoBertForCaptioning

    @classmethod
    def of(cls, rows: Sequence[Row], options: TaskOptions) -> Self:
        """Knows the most frequent caption, the baseline."""
        most = Counter(text for row in rows for text in row["captions"]).most_common(1)
        return cls(options, {"most_frequent": most[0][0]})

    def untrained(self, folder: str, **changes: Any) -> Any:
        """The checkpoint's encoder under a new decoder."""
        vocabulary = read_vocabulary(folder)
        return self.model_class().on_top_of(
            folder,
            num_layers=self.options.decoder_layers,
            start_id=vocabulary.cls_id,
            end_id=vocabulary.sep_id,
            pad_id=vocabulary.pad_id,
            **changes,
        )

    def batch(self, rows: Sequence[Row], inputs: Inputs) -> dict[str, np.ndarray]:
        """The clips, and with `with_speech` what is said; a row each, since a decoder reads them."""
        sequences = [self.sequence("", row, inputs) for row in rows]
        return padded_inputs(sequences, inputs.vocabulary)

    def targets(self, rows: Sequence[Row], inputs: Inputs, batch: Batch) -> dict[str, np.ndarray]:
        """The first caption's word pieces and [SEP], int64 [n, longest], -100 behind."""
        from vbert.model.modeling_captioning import MAX_CAPTION_PIECES

        pieces = inputs.vocabulary.encode([row["captions"][0] for row in rows])
        end = [inputs.vocabulary.sep_id]
        ended = (np.append(mine[: MAX_CAPTION_PIECES - 1], end) for mine in pieces)
        return {"labels": padded(ended, fill=IGNORED)}

    def num_targets(self, batch: Batch) -> int:
        """How many word pieces there are to say."""
        return int((batch["labels"] != IGNORED).sum())

    def answers(
        self, model: Any, batch: Mapping[str, Tensor], rows: Sequence[Row], inputs: Inputs
    ) -> list[dict[str, Any]]:
        """A caption by beam search."""
        written = model.generate(**batch)
        return [{"caption": inputs.vocabulary.decode(ids)} for ids in written.tolist()]

    def metrics(self, answers: Sequence[Row], rows: Sequence[Row]) -> dict[str, float]:
        """BLEU-3, BLEU-4, METEOR (with Java), ROUGE-L and CIDEr against all captions of each example."""
        return score_captions([answer["caption"] for answer in answers], [row["captions"] for row in rows])

    def baselines(self, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
        """Always the caption that is most frequent in training."""
        always = [{"caption": self.facts["most_frequent"]}] * len(rows)
        return {"most frequent caption": self.metrics(always, rows)}
