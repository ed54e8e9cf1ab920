"""Examples: annotations joined with what their interval of video shows and says; and batches of them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from vbert.documents.assembly import tokens_of_sentences
from vbert.documents.packing import pack, places
from vbert.documents.sequences import Regime, join
from vbert.tasks.annotations import ANNOTATIONS
from vbert.text.joint_vocabulary import JointVocabulary

Row = Mapping[str, Any]

EXAMPLES = pa.schema(
    [
        ("number", pa.int64()),  # of the annotation
        *ANNOTATIONS,
        ("visual_tokens", pa.list_(pa.int32())),
        ("visual_token_start_seconds", pa.list_(pa.float64())),
        ("clip_seconds", pa.float64()),
        ("said", pa.string()),  # the sentences that begin in the interval
    ]
)
# What of a document an example is made from.
DOCUMENT_COLUMNS = (
    "video_id",
    "fingerprint",
    "visual_tokens",
    "visual_token_start_seconds",
    "clip_seconds",
    "sentences",
    "sentence_start_seconds",
)


def example_of(annotation: Row, document: Row) -> dict[str, Any]:
    """A row of EXAMPLES. An annotation without times is about the whole video.

    Of a document with `features` [num_clips, F] it has those of its clips.
    """
    clips = slice(None)
    begin, end = annotation["start_seconds"], annotation["end_seconds"]
    said = list(zip(document["sentence_start_seconds"], document["sentences"], strict=True))
    if begin is not None and end is not None:
        clips = slice(*clips_in_interval(document, begin, end))
        said = [(at, text) for at, text in said if begin <= at < end]
    return {
        **annotation,
        "visual_tokens": document["visual_tokens"][clips],
        "visual_token_start_seconds": document["visual_token_start_seconds"][clips],
        "clip_seconds": document["clip_seconds"],
        "said": " ".join(text for _, text in said),
        **({"features": document["features"][clips]} if "features" in document else {}),
    }


def windows_of(annotation: Row, document: Row, *, window_seconds: float) -> list[dict[str, Any]]:
    """The annotation of a whole video once for each of its windows, the last of them shorter."""
    starts = document["visual_token_start_seconds"]
    if not starts:
        return []
    end = starts[-1] + document["clip_seconds"]
    count = max(1, round(end / window_seconds))
    bounds = [at * window_seconds for at in range(count)] + [end]
    return [{**annotation, "start_seconds": a, "end_seconds": b} for a, b in pairwise(bounds) if a < b]


def clips_in_interval(document: Row, start_seconds: float, end_seconds: float) -> tuple[int, int]:
    """The first visual token between two times and one past the last, as a sentence would take them."""
    as_sentence = {
        **document,
        "sentence_start_seconds": [start_seconds],
        "sentence_end_seconds": [end_seconds],
    }
    ((first, last),) = tokens_of_sentences(as_sentence).tolist()
    return first, last


class InputSequence(NamedTuple):
    """One model input: ids and token types int64 [length], and perhaps its clips' features [num_clips, F]."""

    ids: np.ndarray
    token_types: np.ndarray
    features: np.ndarray | None = None


def sequence_of(
    text: np.ndarray,
    tokens: Sequence[int] | np.ndarray,
    vocabulary: JointVocabulary,
    *,
    row_length: int,
    features: np.ndarray | None = None,
) -> InputSequence:
    """`[CLS] text [>] tokens [SEP]`, or without the part that is empty.

    `text` are word pieces, `tokens` visual tokens from 0, `features` [num_clips, F] the same clips'. Clips
    that find no room are left out evenly: the end of a long video counts as much as its beginning.
    """
    clips = np.asarray(tokens, np.int64) + vocabulary.visual_offset
    if len(clips) == 0:
        joined = join(text, clips, vocabulary, regime=Regime.TEXT, row_length=row_length)
        return InputSequence(*joined, features)
    room = row_length - 3
    at_most = room - min(len(text), room // 2)
    kept = evenly_spaced(len(clips), at_most=at_most)
    regime = Regime.JOINT if len(text) else Regime.VIDEO
    joined = join(text, clips[kept], vocabulary, regime=regime, row_length=row_length)
    return InputSequence(*joined, None if features is None else features[kept])


def evenly_spaced(count: int, *, at_most: int) -> np.ndarray:
    """Places int64 of `count`: all, or `at_most` of them from the first to the last."""
    return np.linspace(0, count - 1, min(count, at_most)).round().astype(np.int64)


def packed_inputs(
    sequences: Sequence[InputSequence], vocabulary: JointVocabulary, *, row_length: int
) -> dict[str, np.ndarray]:
    """Sequences in rows without padding between them: int64 [num_rows, row_length] of

    input_ids, token_type_ids, position_ids (from 0 in each sequence) and sequence_ids (each position's number
    in `sequences`; -1 at padding). Rows are as long as the fullest is full. Where sequences have features:
    visual_features float32 [num_rows, row_length, F], zeros where no clip is.
    """
    lengths = [len(sequence.ids) for sequence in sequences]
    rows = pack(lengths, row_length=row_length)
    width = max(sum(lengths[index] for index in row) for row in rows)
    shape = (len(rows), width)
    inputs = {
        "input_ids": np.full(shape, vocabulary.pad_id, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
        "position_ids": np.zeros(shape, np.int64),
        "sequence_ids": np.full(shape, -1, np.int64),
    }
    order = []
    for index, row, _, positions in places(rows, lengths):
        sequence, here = sequences[index], (row, positions)
        inputs["input_ids"][here], inputs["token_type_ids"][here] = sequence.ids, sequence.token_types
        inputs["position_ids"][here] = np.arange(lengths[index])
        inputs["sequence_ids"][here] = index
        order.append(sequence)
    return inputs | _visual_features(order, inputs["input_ids"], vocabulary)


def padded_inputs(sequences: Sequence[InputSequence], vocabulary: JointVocabulary) -> dict[str, np.ndarray]:
    """Sequences in a row each: int64 [num_sequences, longest] of input_ids, token_type_ids and
    attention_mask, and visual_features as `packed_inputs` gives them."""
    ids = padded((sequence.ids for sequence in sequences), fill=vocabulary.pad_id)
    return {
        "input_ids": ids,
        "token_type_ids": padded((sequence.token_types for sequence in sequences), fill=0),
        "attention_mask": padded((np.ones(len(sequence.ids), np.int64) for sequence in sequences), fill=0),
        **_visual_features(sequences, ids, vocabulary),
    }


def _visual_features(
    in_order: Sequence[InputSequence], input_ids: np.ndarray, vocabulary: JointVocabulary
) -> dict[str, np.ndarray]:
    """The features of sequences in reading order, where their clips are; nothing, if they have none."""
    known = [sequence.features for sequence in in_order if sequence.features is not None]
    if not known:
        return {}
    features = np.zeros((*input_ids.shape, known[0].shape[1]), np.float32)
    features[input_ids >= vocabulary.visual_offset] = np.concatenate(known)
    return {"visual_features": features}


def padded(values: Iterable[Sequence[int] | np.ndarray], *, fill: int) -> np.ndarray:
    """Rows of many lengths as one array int64 [num_rows, longest]."""
    rows = [np.asarray(row, np.int64) for row in values]
    found = np.full((len(rows), max(map(len, rows), default=0)), fill, np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found
