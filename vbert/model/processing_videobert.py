"""VideoBertProcessor: videos and text -> what VideoBERT takes, and back.

A copy of this file lies in every checkpoint, with its visual vocabulary: features, visual tokens and text
need torch and transformers alone. Files and frames are decoded and featurized by vbert, if it is installed.
Two things are said here that the package says elsewhere, and a test holds both to the same: how a sequence
is joined (`tasks.examples.sequence_of`), and which visual word is a clip's (`vocabulary.tree`).
"""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoProcessor, BatchFeature, ProcessorMixin
from transformers.utils.hub import cached_file

from .configuration_videobert import VideoBertConfig, is_installed

VIDEO_PROCESSOR_CONFIG = "video_preprocessor_config.json"  # where Hugging Face's video pipeline looks
TENSORS, FACTS = "vocabulary.safetensors", "vocabulary.json"
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
Part = TypeVar("Part")
CLIPS_AT_ONCE = 1024  # x 12 children x 1,024 dimensions x 4 B = 50 MB


class VideoBertProcessor(ProcessorMixin):
    """Word pieces of text, visual words of videos, and the sequence `[CLS] text [>] clips [SEP]` of both.

    tokenizer: BERT's word pieces.
    num_word_pieces, num_visual_tokens: the model's `vocab_size` and its visual words, behind one `[>]`.
    max_length: positions of a sequence at most. Of a longer video, clips are left out evenly.
    visual_vocabulary: id of the one beside the model, which says what visual word a clip's features are, and
        names the featurizer that makes them.
    head_feature_dim: of the features that a fine-tuned model's head takes beside visual words; None: it takes
        none.
    """

    def __init__(
        self,
        tokenizer: Any,
        num_word_pieces: int,
        num_visual_tokens: int,
        max_length: int = 512,
        visual_vocabulary: str | None = None,
        head_feature_dim: int | None = None,
    ) -> None:
        super().__init__(tokenizer)  # type: ignore[no-untyped-call]
        self.num_word_pieces, self.num_visual_tokens = num_word_pieces, num_visual_tokens
        self.max_length = max_length
        self.visual_vocabulary = visual_vocabulary
        self.head_feature_dim = head_feature_dim
        self._file: Callable[[str], str] = _in_no_folder
        self._levels: list[Tensor] = []
        self._videos: Any = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Self:  # type: ignore[override]
        """A folder or a name on the hub. The vocabulary is read when it is first needed."""
        processor: Self = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        hub = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}

        def file(name: str) -> str:
            try:
                return str(cached_file(pretrained_model_name_or_path, name, **hub))
            except OSError as error:
                raise FileNotFoundError(f"{pretrained_model_name_or_path}: has no {name}") from error

        processor._file = file
        return processor

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As any processor's, with its code, the vocabulary and the featurizer's options."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        if self.visual_vocabulary is not None:
            with suppress(FileNotFoundError):  # laid beside a model when its training is over
                self._copy_vocabulary(folder)
        reference = f"{Path(__file__).stem}.{type(self).__name__}"
        (folder / VIDEO_PROCESSOR_CONFIG).write_text(
            json.dumps({"auto_map": {"AutoVideoProcessor": reference}})
        )
        return super().save_pretrained(save_directory, *args, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """What processor_config.json holds; of what has been opened nothing, and it is not copied."""
        opened = {name: self.__dict__.pop(name) for name in ("_file", "_levels", "_videos")}
        try:
            return super().to_dict()
        finally:
            self.__dict__ |= opened

    def _copy_vocabulary(self, folder: Path) -> None:
        for name in (self._in_vocabulary(TENSORS), self._in_vocabulary(FACTS), self._featurizer_options()):
            source, target = Path(self._file(name)), folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.exists() and target.samefile(source)):
                shutil.copyfile(source, target)

    def _in_vocabulary(self, name: str) -> str:
        if self.visual_vocabulary is None:
            raise ValueError("this processor has no visual vocabulary: give visual tokens")
        return f"vocabularies/{_checked(self.visual_vocabulary)}/{name}"

    def _featurizer_options(self) -> str:
        return f"featurizers/{_checked(self._facts()['featurizer'])}.json"

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(Path(self._file(self._in_vocabulary(FACTS))).read_text())
        return facts

    def __call__(
        self,
        videos: Any = None,
        text: str | Sequence[str] | None = None,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        return_tensors: str | None = None,
        **_: Any,
    ) -> BatchFeature:
        """input_ids, token_type_ids, position_ids and attention_mask int64 [B, L], padded to the longest;
        with a head_feature_dim F visual_features float32 [B, L, F], zeros where no clip is.

        `videos` is one or a list of: a file or URL; frames uint8 [frames, height, width, 3], of `fps` a
        second; features float [clips, D]; visual tokens int [clips]. `text` is one or a list, and one of
        either goes with all of the other. "[MASK]" is a mask. At most `num_frames` clips of a video are
        taken, by the name that Hugging Face's video pipeline gives. Other arguments of that pipeline, which
        choose frames, have no meaning here: a clip is the unit.
        """
        if videos is None and text is None:
            raise ValueError("give videos, text or both")
        clips = [] if videos is None else [self._clips(video, fps=fps) for video in _listed(videos)]
        texts = [] if text is None else [text] if isinstance(text, str) else list(text)
        words = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        count = max(len(clips), len(words))
        clips, words = _repeated(clips, count, nothing=([], None)), _repeated(words, count, nothing=[])
        kept = [self._kept_clips(words[row], clips[row][0], at_most=num_frames) for row in range(count)]
        sequences = [
            self._sequence(words[row], [clips[row][0][place] for place in kept[row]]) for row in range(count)
        ]
        length = max(len(ids) for ids, _ in sequences)
        pad = self.tokenizer.pad_token_id
        batch: dict[str, Any] = {
            "input_ids": [ids + [pad] * (length - len(ids)) for ids, _ in sequences],
            "token_type_ids": [kinds + [0] * (length - len(kinds)) for _, kinds in sequences],
            "position_ids": [list(range(length)) for _ in sequences],
            "attention_mask": [[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in sequences],
        }
        if self.head_feature_dim is not None:
            shown = np.zeros((count, length, self.head_feature_dim), np.float32)
            for row, places in enumerate(kept):
                if len(places):
                    is_clip = np.array(batch["input_ids"][row]) > self.num_word_pieces
                    shown[row, is_clip] = self._checked_features(clips[row][1])[places]
            batch["visual_features"] = shown
        return BatchFeature(batch, tensor_type=return_tensors)

    @property
    def model_input_names(self) -> list[str]:
        """What it gives."""
        names = ["input_ids", "token_type_ids", "position_ids", "attention_mask"]
        return names if self.head_feature_dim is None else [*names, "visual_features"]

    def _kept_clips(self, words: list[int], clips: list[int], *, at_most: int | None) -> np.ndarray:
        """Places of the clips that find room beside some words, spread evenly."""
        room = self.max_length - 3
        kept = min(room - min(len(words), room // 2), at_most or room, len(clips))
        return np.linspace(0, len(clips) - 1, kept).round().astype(int)

    def _sequence(self, words: list[int], clips: list[int]) -> tuple[list[int], list[int]]:
        """Ids and token types of `[CLS] words [>] clips [SEP]`; without clips, of `[CLS] words [SEP]`."""
        cls_id, sep_id = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        if not clips:
            ids = [cls_id, *words[: self.max_length - 2], sep_id]
            return ids, [0] * len(ids)
        words = words[: self.max_length - 3 - len(clips)]
        visual = [self.num_word_pieces + 1 + clip for clip in clips]
        ids = [cls_id, *words, self.num_word_pieces, *visual, sep_id]
        return ids, [0] * (1 + len(words)) + [1] * (len(ids) - 1 - len(words))

    def visual_tokens(self, video: Any, *, fps: float | None = None) -> list[int]:
        """The visual words of a video's clips, counted from 0; `video` as in a call."""
        return self._clips(video, fps=fps)[0]

    def _clips(self, video: Any, *, fps: float | None) -> tuple[list[int], np.ndarray | None]:
        """Visual words, and the features that they are of; None, if those are not known."""
        if isinstance(video, (str, Path)):
            return self._with_words(self._featurizer().of_file(str(video)).features)
        given = video.cpu().numpy() if isinstance(video, Tensor) else np.asarray(video)
        if given.ndim == 1 and given.dtype.kind in "iu":
            tokens: list[int] = given.tolist()
            if tokens and not 0 <= min(tokens) <= max(tokens) < self.num_visual_tokens:
                raise ValueError(f"visual tokens must be in [0, {self.num_visual_tokens})")
            return tokens, None
        if given.ndim == 2 and given.dtype.kind == "f":
            return self._with_words(given)
        if given.ndim == 4 and given.dtype == np.uint8 and given.shape[-1] == 3:
            if fps is None:
                raise ValueError("frames need fps, how many of them are a second")
            return self._with_words(self._featurizer().of_frames(given, fps=fps).features)
        raise ValueError(
            f"a video of {given.dtype} {list(given.shape)}: give a path, frames uint8 [num_frames, H, W, 3],"
            " features float [clips, D] or visual tokens int [clips]"
        )

    def _with_words(self, features: np.ndarray) -> tuple[list[int], np.ndarray]:
        return self._nearest_words(features), features

    def _checked_features(self, features: np.ndarray | None) -> np.ndarray:
        if features is None:
            raise ValueError(
                "this model also takes features: give a path, frames or features, and no visual tokens"
            )
        # As the table of features has them, which the head was trained on.
        return features.astype(np.float16)

    def _nearest_words(self, features: np.ndarray) -> list[int]:
        """The leaf of each clip: the nearest child, level by level. A missing child is NaN."""
        levels = self._open_vocabulary()
        dim = levels[0].shape[-1]
        if features.ndim != 2 or features.shape[1] != dim or not np.isfinite(features).all():
            raise ValueError(f"features must be finite and [clips, {dim}], got {list(features.shape)}")
        found: list[int] = []
        for points in torch.from_numpy(np.array(features, np.float32)).split(CLIPS_AT_ONCE):
            nodes = torch.zeros(len(points), dtype=torch.int64)
            for level in levels:
                distances = (level[nodes] - points[:, None]).square().sum(-1).nan_to_num(nan=torch.inf)
                nodes = nodes * level.shape[1] + distances.argmin(-1)
            found += nodes.tolist()
        return found

    def _open_vocabulary(self) -> list[Tensor]:
        if not self._levels:
            tensors = load_file(self._file(self._in_vocabulary(TENSORS)))
            self._levels = [tensors[f"level{index}"] for index in range(self._facts()["depth"])]
        return self._levels

    def _featurizer(self) -> Any:
        if self._videos is None:
            try:
                from vbert.features.featurizer_config import load_config
                from vbert.features.one_video import VideoFeaturizer
            except ImportError as error:
                raise ImportError(
                    "vbert decodes and featurizes videos and is not installed; give features or visual tokens"
                ) from error
            options = Path(self._file(self._featurizer_options()))
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._videos = VideoFeaturizer(load_config(str(options.parents[1]), options.stem), device=device)
        return self._videos

    def decode(self, token_ids: Any, *, skip_special_tokens: bool = True, **kwargs: Any) -> str:
        """Words as text, `[>]`, and v17 for visual word 17."""
        parts: list[str] = []
        for is_text, ids in groupby(
            torch.as_tensor(token_ids).tolist(), lambda one: one < self.num_word_pieces
        ):
            if is_text:
                options = {"skip_special_tokens": skip_special_tokens, **kwargs}
                parts.append(self.tokenizer.decode(list(ids), **options))
            else:
                visual = [number - self.num_word_pieces - 1 for number in ids]
                parts += [f"v{number}" if number >= 0 else "[>]" for number in visual]
        return " ".join(part for part in parts if part)

    def batch_decode(self, sequences: Any, **kwargs: Any) -> list[str]:
        """The same of each."""
        return [self.decode(sequence, **kwargs) for sequence in sequences]

    def exemplars(self, visual_token: int) -> list[dict[str, Any]]:
        """Clips that are nearest to a visual word: video_id, start_seconds, distance. None for a word that no
        clip of the sample had."""
        found: list[dict[str, Any]] = self._facts()["exemplars"].get(str(visual_token), [])
        return found


def _checked(name: str) -> str:
    """An id, which becomes a file's name and so may hold no path."""
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name!r}: no id of a vocabulary or featurizer")
    return name


def _in_no_folder(name: str) -> str:
    raise FileNotFoundError(f"{name}: this processor was not opened from a folder; give visual tokens")


def _listed(videos: Any) -> list[Any]:
    """One video, or several."""
    if isinstance(videos, (str, Path, Tensor, np.ndarray)):
        return [videos]
    several = list(videos)
    return [several] if several and isinstance(several[0], int) else several


def _repeated(parts: list[Part], count: int, *, nothing: Part) -> list[Part]:
    """One for all, or nothing for all."""
    if len(parts) not in (0, 1, count):
        raise ValueError(f"{len(parts)} texts or videos do not go with {count}")
    return parts if len(parts) == count else (parts or [nothing]) * count


VideoBertProcessor.register_for_auto_class()  # type: ignore[no-untyped-call]
if is_installed(__name__):
    AutoProcessor.register(VideoBertConfig, VideoBertProcessor)
