import numpy as np
import torch

from tests.tiny import NUM_VISUAL_TOKENS, bert_config, vocabulary
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.alignment import alignment_scores

WORDS = vocabulary()


@torch.no_grad()
def test_packed_pairs_have_the_scores_of_each_alone():
    torch.manual_seed(0)
    config = from_bert_config(bert_config(initializer_range=0.3), num_visual_tokens=NUM_VISUAL_TOKENS)
    model = VideoBertForPreTraining(config).eval()
    texts = WORDS.encode(["cut the egg", "fry", "peel the large onion slowly"])
    videos = [[1, 2, 3], [4], [5, 6, 7, 8]]
    pairs = [(text, video) for text in texts for video in videos]
    found = alignment_scores(model, WORDS, pairs)
    for score, (text, video) in zip(found, pairs, strict=True):
        visual = [WORDS.visual_offset + token for token in video]
        ids = [WORDS.cls_id, *text.tolist(), WORDS.separator_id, *visual, WORDS.sep_id]
        types = [0] * (1 + len(text)) + [1] * (2 + len(video))
        logits = model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).alignment_logits[0]
        np.testing.assert_allclose(score, float(logits[1] - logits[0]), atol=1e-4)
    assert np.std(found) > 1e-3
    assert alignment_scores(model, WORDS, []).shape == (0,)
