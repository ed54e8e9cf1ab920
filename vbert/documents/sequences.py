"""Documents -> training sequences: three regimes, masks, alignment pairs, all by a seeded chance.

The unit is a window: some hundred documents that are in memory together. A window, a seed and an epoch make
the same sequences wherever it is computed.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from vbert.documents.assembly import tokens_of_sentences
from vbert.errors import UserError
from vbert.text.joint_vocabulary import JointVocabulary

IGNORED = -100  # a label that asks for no prediction, as everywhere in Hugging Face's models
NUM_NEIGHBOURS = 16  # of which the nearest makes a negative: the nearest of all may show the same
NO_CLIP = -1  # at a position that has no vector of continuous features
TEXT, VIDEO = 0, 1  # token types, as BERT's sentences A and B


class Regime(IntEnum):
    """What a sequence holds (VideoBERT, section 3.3); 0 is padding."""

    TEXT = 1
    VIDEO = 2
    JOINT = 3


@dataclass(frozen=True, kw_only=True)
class SequenceConfig:
    """How documents become training sequences. What the paper gives a number for has that number."""

    row_length: int = 256
    """Positions of a row. Sequences are packed into rows; a longer one is cut."""
    joint_weight: float = 1.0
    """How often a sentence goes with its video, against the other two weights."""
    text_weight: float = 1.0
    """How often a sentence goes alone."""
    video_weight: float = 1.0
    """How often visual tokens go alone. Intervals without text are so in any case, unless this is 0."""
    mask_share: float = 0.15
    """Share of words and clips to predict: of these 80 % are hidden, 10 % replaced, 10 % left (BERT)."""
    negative_share: float = 0.5
    """Share of joint sequences whose video is another's; predicting which is the alignment objective."""
    same_video_share: float = 0.0
    """Share of these whose video is their own at another moment, where it has one: they look alike."""
    near_video_share: float = 0.0
    """Share of the rest whose video is, of 16 others, that which has most visual tokens in common with
    theirs."""
    max_joined_sentences: int = 3
    """1 to this many neighbouring sentences make one: what is said is not always what is shown just then."""
    max_subsampling_step: int = 5
    """Every n-th visual token is kept, n from 1 to this: videos of other speeds, and longer spans."""
    window_seconds: float = 16.0
    """Length of an interval of video without text."""

    def __post_init__(self) -> None:
        weights = (self.joint_weight, self.text_weight, self.video_weight)
        if not (min(weights) >= 0 and sum(weights) > 0):
            raise UserError(f"regime weights {weights}: none may be negative, and one must be above 0")
        if not 0 < self.mask_share < 1 or not 0 <= self.negative_share < 1:
            raise UserError(
                f"--sequences.mask-share {self.mask_share} and --sequences.negative-share "
                f"{self.negative_share}: must be shares below 1"
            )
        for name in ("same_video_share", "near_video_share"):
            if not 0 <= getattr(self, name) <= 1:
                flag = name.replace("_", "-")
                raise UserError(f"--sequences.{flag} {getattr(self, name)} must be in [0, 1]")
        if self.row_length < 16 or self.max_joined_sentences < 1 or self.max_subsampling_step < 1:
            raise UserError(
                f"--sequences.row-length {self.row_length} (at least 16), max-joined-sentences "
                f"{self.max_joined_sentences} and max-subsampling-step {self.max_subsampling_step} "
                "(at least 1): too small"
            )
        if not self.window_seconds > 0:
            raise UserError(f"--sequences.window-seconds {self.window_seconds}: must be above 0")


@dataclass(frozen=True, slots=True)
class Passage:
    """An interval of a document: what is said and what is shown. Int64 ids of the joint vocabulary."""

    words: np.ndarray
    clips: np.ndarray


Batch = Mapping[str, np.ndarray]  # what goes into the model at once, by the name of its argument


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """One model input, not yet in a row. All arrays are int64 [length]."""

    input_ids: np.ndarray
    labels: np.ndarray
    token_types: np.ndarray
    regime: Regime
    alignment: int = IGNORED  # 1 aligned, 0 not
    pair: int = IGNORED  # of a text and, behind it, its video: a number, the same where texts are


def random_generator(*names: object) -> np.random.Generator:
    """Chance that is the same for the same names, on any machine."""
    digest = hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def sequences_of_documents(
    documents: Sequence[Mapping[str, Any]],
    vocabulary: JointVocabulary,
    config: SequenceConfig,
    *,
    seed: int,
    epoch: int,
    with_pairs: bool = False,
) -> list[TrainingSequence]:
    """All sequences of some documents (rows of schemas.DOCUMENTS) in one epoch, in their order.

    Videos without a neighbour in the window get no alignment pairs: a negative is another video's.
    `with_pairs` has a text not go alone without its video, nor a video without its text, if it has one: both
    come, as two sequences one behind the other, of at most half a row each.
    """
    chances = [random_generator(seed, epoch, document["video_id"]) for document in documents]
    passages = [
        list(passages_of(document, vocabulary, config, chance))
        for document, chance in zip(documents, chances, strict=True)
    ]
    shown = [[passage.clips for passage in mine if len(passage.clips)] for mine in passages]
    negatives = Negatives(shown, config)
    sequences = []
    for index, (mine, chance) in enumerate(zip(passages, chances, strict=True)):
        others = negatives.others_of(index)
        for passage in mine:
            regime = _regime(passage, config, chance)
            if regime is None:
                continue
            words, clips, alignment = passage.words, passage.clips, IGNORED
            if with_pairs and regime != Regime.JOINT and len(words) and len(clips):
                clips = subsample(clips, config.max_subsampling_step, chance)
                pair = int(random_generator(words.tobytes().hex()).integers(2**31))
                sequences += [
                    build_sequence(words, clips, vocabulary, config, chance, regime=alone, pair=pair)
                    for alone in (Regime.TEXT, Regime.VIDEO)
                ]
                continue
            if regime == Regime.JOINT and others:
                alignment = int(chance.random() >= config.negative_share)
                if not alignment:
                    clips = negatives.draw(index, clips, others, chance)
            clips = subsample(clips, config.max_subsampling_step, chance)
            sequences.append(
                build_sequence(
                    words,
                    clips,
                    vocabulary,
                    config,
                    chance,
                    regime=regime,
                    alignment=alignment,
                )
            )
    return sequences


class Negatives:
    """The clips that a text is told from: of the same video, of one that looks like it, or of any other."""

    def __init__(self, shown: Sequence[Sequence[np.ndarray]], config: SequenceConfig) -> None:
        """`shown` are the clips of each passage that has any, by document of the window."""
        self.shown = shown
        self.config = config
        self._with_video = [index for index, clips in enumerate(shown) if clips]
        self._tokens: dict[int, frozenset[int]] = {}

    def others_of(self, index: int) -> list[int]:
        """The other documents that have video."""
        return [other for other in self._with_video if other != index]

    def draw(
        self, index: int, clips: np.ndarray, others: Sequence[int], chance: np.random.Generator
    ) -> np.ndarray:
        """Instead of `clips`, which are of the document `index`."""
        elsewhere: Sequence[np.ndarray] = [theirs for theirs in self.shown[index] if theirs is not clips]
        if not elsewhere or chance.random() >= self.config.same_video_share:
            elsewhere = self.shown[self._other(index, others, chance)]
        return elsewhere[int(chance.integers(len(elsewhere)))]

    def _other(self, index: int, others: Sequence[int], chance: np.random.Generator) -> int:
        if self.config.near_video_share and chance.random() < self.config.near_video_share:
            drawn = chance.choice(others, min(NUM_NEIGHBOURS, len(others)), replace=False)
            mine = self._tokens_of(index)
            return int(max(drawn, key=lambda other: _overlap(mine, self._tokens_of(int(other)))))
        return others[int(chance.integers(len(others)))]

    def _tokens_of(self, index: int) -> frozenset[int]:
        if index not in self._tokens:
            self._tokens[index] = frozenset(np.concatenate(self.shown[index]).tolist())
        return self._tokens[index]


def _overlap(one: frozenset[int], other: frozenset[int]) -> float:
    """What two sets have in common, of what they have together (Jaccard)."""
    return len(one & other) / len(one | other)


def passages_of(
    document: Mapping[str, Any],
    vocabulary: JointVocabulary,
    config: SequenceConfig,
    chance: np.random.Generator,
) -> Iterator[Passage]:
    """Sentences, 1 to `max_joined_sentences` together, with their clips; then the video that has no text."""
    visual = np.asarray(document["visual_tokens"], np.int64) + vocabulary.visual_offset
    words = vocabulary.encode(document["sentences"])
    ranges = tokens_of_sentences(document)
    is_covered = np.zeros(len(visual), bool)
    at = 0
    while at < len(words):
        joined = slice(at, at + int(chance.integers(1, config.max_joined_sentences + 1)))
        mine = ranges[joined]
        mine = mine[mine[:, 0] < mine[:, 1]]
        span = slice(mine[:, 0].min(), mine[:, 1].max()) if len(mine) else slice(0, 0)
        is_covered[span] = True
        yield Passage(np.concatenate(words[joined]), visual[span])
        at = joined.stop
    nothing = np.zeros(0, np.int64)
    for window in windows_without_text(document, is_covered, config.window_seconds):
        yield Passage(nothing, visual[window])


def windows_without_text(
    document: Mapping[str, Any], is_covered: np.ndarray, window_seconds: float
) -> Iterator[slice]:
    """Intervals of clips that no sentence takes, cut every `window_seconds`; a lone clip is left out."""
    starts = np.asarray(document["visual_token_start_seconds"], np.float64)
    free = np.flatnonzero(~is_covered)
    if len(free) == 0:
        return
    intervals = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
    for interval in intervals:
        number = ((starts[interval] - starts[interval[0]]) // window_seconds).astype(np.int64)
        for window in np.split(interval, np.flatnonzero(np.diff(number)) + 1):
            if len(window) > 1:
                yield slice(int(window[0]), int(window[-1]) + 1)


def _regime(passage: Passage, config: SequenceConfig, chance: np.random.Generator) -> Regime | None:
    """Drawn by the weights among what the passage allows; None if their weights are 0."""
    weights = {
        Regime.TEXT: config.text_weight if len(passage.words) else 0.0,
        Regime.VIDEO: config.video_weight if len(passage.clips) else 0.0,
        Regime.JOINT: config.joint_weight if len(passage.words) and len(passage.clips) else 0.0,
    }
    total = sum(weights.values())
    if total == 0:
        return None
    return Regime(int(chance.choice(list(weights), p=[weight / total for weight in weights.values()])))


def subsample(clips: np.ndarray, max_step: int, chance: np.random.Generator) -> np.ndarray:
    """Every n-th, n from 1 to `max_step`, from a random start (VideoBERT, section 3.3)."""
    step = int(chance.integers(1, max_step + 1))
    first = int(chance.integers(step))
    return clips[min(first, max(0, len(clips) - 1)) :: step]


def build_sequence(
    words: np.ndarray,
    clips: np.ndarray,
    vocabulary: JointVocabulary,
    config: SequenceConfig,
    chance: np.random.Generator,
    *,
    regime: Regime,
    alignment: int = IGNORED,
    pair: int = IGNORED,
) -> TrainingSequence:
    """`[CLS] words [SEP]`, `[CLS] [>] clips [SEP]` or `[CLS] words [>] clips [SEP]`, masked.

    Too long a text leaves half of the row to the video. A pair that does not belong together is masked like
    the others, or masks would give it away, but nothing is to be predicted in it: its video says nothing
    about its text. Either half of a `pair` has half a row at most.
    """
    room = config.row_length if pair == IGNORED else config.row_length // 2
    ids, token_types = join(words, clips, vocabulary, regime=regime, row_length=room)
    hidden, labels = mask(ids, vocabulary, chance, share=config.mask_share)
    if alignment == 0:
        labels = np.full_like(labels, IGNORED)
    return TrainingSequence(hidden, labels, token_types, regime, alignment, pair)


def join(
    words: np.ndarray, clips: np.ndarray, vocabulary: JointVocabulary, *, regime: Regime, row_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and token types int64 [at most row_length] of one sequence, without masks."""
    if regime == Regime.TEXT:
        ids = np.concatenate([[vocabulary.cls_id], words[: row_length - 2], [vocabulary.sep_id]])
        return ids, np.full(len(ids), TEXT)
    if regime == Regime.VIDEO:
        words = words[:0]
    room = row_length - 3
    words = words[: max(room // 2, room - len(clips))]
    clips = clips[: room - len(words)]
    ids = np.concatenate([[vocabulary.cls_id], words, [vocabulary.separator_id], clips, [vocabulary.sep_id]])
    token_types = np.full(len(ids), VIDEO)
    token_types[: 1 + len(words)] = TEXT
    return ids, token_types


def mask(
    ids: np.ndarray, vocabulary: JointVocabulary, chance: np.random.Generator, *, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees and what it is to say, int64 [length] each (BERT, section 3.1).

    Words are replaced with words, clips with clips. At least one position is chosen.
    """
    special = (vocabulary.cls_id, vocabulary.sep_id, vocabulary.separator_id)
    candidates = np.flatnonzero((ids != special[0]) & (ids != special[1]) & (ids != special[2]))
    chosen = candidates[chance.random(len(candidates)) < share]
    if len(chosen) == 0:
        chosen = candidates[[chance.integers(len(candidates))]]
    hidden, labels = ids.copy(), np.full_like(ids, IGNORED)
    labels[chosen] = ids[chosen]
    draw = chance.random(len(chosen))
    hidden[chosen[draw < 0.8]] = vocabulary.mask_id
    replaced = chosen[(draw >= 0.8) & (draw < 0.9)]
    is_clip = ids[replaced] >= vocabulary.visual_offset
    random_clips = chance.integers(vocabulary.visual_offset, vocabulary.size, len(replaced))
    hidden[replaced] = np.where(
        is_clip, random_clips, chance.choice(vocabulary.replacement_words, len(replaced))
    )
    return hidden, labels
