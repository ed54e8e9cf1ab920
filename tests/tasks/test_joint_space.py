"""Vectors of a pretrained model that was taught them, opened as jobs open it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from vbert.errors import UserError
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.joint_space import (
    check_retrieval,
    embedded,
    embedded_text,
    is_pretrained_for_it,
    open_joint_space,
)

WORDS = vocabulary()


def saved(folder: Path, *, weight: float) -> VideoBertForPreTraining:
    """As pretrain leaves it; without a weight, as it did before there was one."""
    torch.manual_seed(0)
    config = from_bert_config(
        bert_config(initializer_range=0.3),
        num_visual_tokens=NUM_VISUAL_TOKENS,
        contrastive_loss_weight=weight,
    )
    model = VideoBertForPreTraining(config).eval()
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(WORDS.tokenizer_json)
    (folder / "progress.json").write_text(json.dumps({"step": 1, "vocabulary": "0123456789abcdef"}))
    if weight == 0:
        written = json.loads((folder / "config.json").read_text())
        del written["contrastive_loss_weight"]
        (folder / "config.json").write_text(json.dumps(written))
    return model


@torch.no_grad()
def test_a_pretrained_model_embeds_texts_and_videos_apart(tmp_path: Path):
    model = saved(tmp_path, weight=1.0)
    texts, videos = ["cut the egg", "fry it"], [[1, 2, 3], [4]]
    rows = [
        {"captions": [text], "visual_tokens": video, "said": ""}
        for text, video in zip(texts, videos, strict=True)
    ]
    assert check_retrieval(str(tmp_path)) == "0123456789abcdef"
    opened = open_joint_space(str(tmp_path))
    found = embedded(opened, rows)

    def alone(ids: list[int], types: list[int], projection: torch.nn.Module) -> np.ndarray:
        states = model.bert(torch.tensor([ids]), token_type_ids=torch.tensor([types])).last_hidden_state
        vector: np.ndarray = F.normalize(projection(states[0].mean(0)), dim=0).numpy()
        return vector

    said = []
    for at, (text, video) in enumerate(zip(texts, videos, strict=True)):
        words = [WORDS.cls_id, *WORDS.encode([text])[0].tolist(), WORDS.sep_id]
        clips = [WORDS.visual_offset + token for token in video]
        clips = [WORDS.cls_id, WORDS.separator_id, *clips, WORDS.sep_id]
        said.append(words)
        text_vector = alone(words, [0] * len(words), model.cls.contrast.text_projection)
        video_vector = alone(clips, [0] + [1] * (len(clips) - 1), model.cls.contrast.video_projection)
        np.testing.assert_allclose(found[0][at], text_vector, atol=1e-5)
        np.testing.assert_allclose(found[1][at], video_vector, atol=1e-5)
    # As any Hugging Face user would give them: padded rows.
    padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in said], batch_first=True)
    rows_alone = model.embed(padded, torch.tensor([False] * 2), attention_mask=(padded != 0).long())
    np.testing.assert_allclose(rows_alone, found[0], atol=1e-5)
    np.testing.assert_allclose(embedded_text(opened, "fry it"), found[0][1], atol=1e-5)
    assert np.abs(found[0] @ found[1].T).max() < 0.99


@torch.no_grad()
def test_a_model_of_before_opens_and_has_no_such_vectors(tmp_path: Path):
    model = saved(tmp_path, weight=0.0)
    again = VideoBertForPreTraining.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[WORDS.cls_id, 2000, WORDS.separator_id, WORDS.visual_offset + 3, WORDS.sep_id]])
    torch.testing.assert_close(again(ids).alignment_logits, model(ids).alignment_logits)
    assert not any("contrast" in name for name in again.state_dict())
    assert not is_pretrained_for_it(str(tmp_path))
    with pytest.raises(UserError, match="a pretrained model and not a fine-tuned one"):
        check_retrieval(str(tmp_path))
    with pytest.raises(ValueError, match="vectors need a configuration with contrastive_loss_weight"):
        again.embed(ids, torch.tensor([False]))
