"""A video file in, what a model says of it out; in one process, without a cluster or tables.

from vbert.tasks.pipeline import VideoPipeline

pipeline = VideoPipeline("runs/labels/model")
print(pipeline("talk.mp4"))
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vbert.documents.assembly import build_document
from vbert.errors import UserError
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id, load_config
from vbert.features.one_video import VideoFeaturizer
from vbert.model.checkpoint_files import VOCABULARIES, check_model
from vbert.tasks.base import readable
from vbert.tasks.examples import example_of, windows_of
from vbert.tasks.registry import TunedModel
from vbert.tasks.zero_shot import TEMPLATE, Classes, ZeroShotClassifier
from vbert.text.transcripts import read_transcript
from vbert.training.checkpoints import load_pretrained
from vbert.video.decode_child import DecodeLimits
from vbert.vocabulary.tree import load

BATCH_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class VideoTokens:
    """What a video is to a model: int64 [num_clips] visual tokens, and when each begins, float64 seconds."""

    visual_tokens: np.ndarray
    start_seconds: np.ndarray


class VideoPipeline:
    """A model of pretrain or finetune, its visual vocabulary and its backbone, ready for video files."""

    def __init__(
        self,
        model: str,
        *,
        featurizer: FeaturizerConfig | None = None,
        device: str | None = None,
        limits: DecodeLimits | None = None,
    ) -> None:
        """`model` is the folder that the job printed; `featurizer` is needed only where the tables did not
        say how their features were made. Videos are opened in a child process, within `limits`. UserError if
        something is not there, or is another's."""
        facts = check_model(model)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.vocabulary = load(f"{model.rstrip('/')}/{VOCABULARIES}/{facts['vocabulary']}")
        self.config = featurizer or load_config(model, self.vocabulary.featurizer)
        if featurizer_id(self.config) != self.vocabulary.featurizer:
            raise UserError(
                f"{model}: was trained on features of {self.vocabulary.featurizer}, and the featurizer given "
                f"is {featurizer_id(self.config)}; give the options that featurize had"
            )
        self.videos = VideoFeaturizer(self.config, device=str(self.device), limits=limits)
        self.tuned = TunedModel(model, device=str(self.device)) if "task" in facts else None
        self.pretrained = None if self.tuned else load_pretrained(model)

    def tokens(self, video: str) -> VideoTokens:
        """Decode and featurize a local file or URL. VideoError for what cannot be used."""
        document = self._document(video, None)
        return VideoTokens(
            visual_tokens=np.array(document["visual_tokens"], np.int64),
            start_seconds=np.array(document["visual_token_start_seconds"]),
        )

    def __call__(
        self,
        video: str,
        *,
        question: str | None = None,
        options: Sequence[str] | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        window_seconds: float | None = None,
        transcript: str | None = None,
    ) -> list[dict[str, Any]]:
        """The fine-tuned model's answers: about the interval between two times, about each window of some
        length, or about the whole video. A summary is one answer about all windows.

        A question is for question answering, with options for multiple choice. UserError for a model that is
        not fine-tuned; VideoError for a video that cannot be used.
        """
        if self.tuned is None:
            raise UserError("a pretrained model answers nothing; fine-tune it, or use tokens and zero_shot")
        annotation = {
            "video_id": video,
            "split": "test",
            "start_seconds": start_seconds,
            "end_seconds": end_seconds,
            "captions": None,
            "question": question,
            "options": list(options) if options else None,
        }
        task = self.tuned.task
        task.check_question(annotation)
        document = self._document(video, transcript)
        if not self.tuned.sees_features:
            del document["features"]
        rows = [annotation]
        window_seconds = window_seconds or task.window_seconds
        if window_seconds and start_seconds is None:
            rows = windows_of(annotation, document, window_seconds=window_seconds)
        examples = [example_of(row, document) for row in rows]
        about = task.grouped([example for example in examples if example["visual_tokens"]])
        answers = self.tuned.answers(about, batch_size=BATCH_SIZE)
        return [
            {
                **{name: row[name] for name in ("start_seconds", "end_seconds") if name in row},
                **readable(answer),
            }
            for row, answer in zip(about, answers, strict=True)
        ]

    def key_frames(self, video: str, summary: Mapping[str, Any], *, width: int = 640) -> list[bytes]:
        """The frame in the middle of each segment of a summary, as JPEGs; those that decode."""
        middles = [(start + end) / 2 for start, end in summary["segments"]]
        return [
            jpeg for jpeg in self.videos.process.thumbnails(video, middles, width=width) if jpeg is not None
        ]

    def zero_shot(
        self, video: str, *, verbs: Sequence[str], objects: Sequence[str], template: str = TEMPLATE
    ) -> dict[str, list[tuple[str, float]]]:
        """A pretrained model's log-probabilities of verbs and objects for the whole video, best first."""
        if self.pretrained is None:
            raise UserError("a fine-tuned model fills in no sentence; give the pretrained one")
        classes = Classes(verbs=tuple(verbs), objects=tuple(objects))
        model: Any = self.pretrained.model
        vocabulary = self.pretrained.vocabulary
        classifier = ZeroShotClassifier(model.to(self.device), vocabulary, classes, template=template)
        scores = classifier.scores([self.tokens(video).visual_tokens])
        return {
            kind: sorted(zip(words, scores[kind][0].tolist(), strict=True), key=lambda pair: -pair[1])
            for kind, words in (("verb", classes.verbs), ("object", classes.objects))
        }

    def _document(self, video: str, transcript: str | None) -> dict[str, Any]:
        """As build_documents makes it, of this one video, with its clips' features as the table has them."""
        found = self.videos.of_file(video)
        segment = {"clip_seconds": self.config.clip_seconds, "clip_start_seconds": found.start_seconds}
        sentences = read_transcript(transcript) if transcript else []
        row = {
            "video_id": video,
            "uri": video,
            "fingerprint": "",
            "transcript_fingerprint": None,
            "duration_seconds": found.duration_seconds,
        }
        tokens = self.vocabulary.assign(found.features)
        document = build_document(row, [segment], [tokens], sentences, vocabulary=self.vocabulary.id)
        return document | {"features": found.features[np.argsort(found.start_seconds)].astype(np.float16)}
