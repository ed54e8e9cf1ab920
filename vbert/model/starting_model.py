"""The model of step 0: BERT's weights, and first embeddings of the visual words."""

from typing import Any

import torch

from vbert.model.encoders import ModelConfig, bert_checkpoint, quiet_transformers, videobert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining


def starting_model(
    config: ModelConfig, *, leaf_centroids: torch.Tensor, seed: int, continuous: bool = False
) -> VideoBertForPreTraining:
    """The model of step 0, the same for the same seed.

    `leaf_centroids` float32 [num_visual_tokens, F] are the visual vocabulary's; a leaf that nothing was
    assigned to is NaN. A `continuous` model has no visual tokens and takes vectors of F values.
    """
    videobert = videobert_config(
        config,
        num_visual_tokens=1 if continuous else len(leaf_centroids),
        visual_feature_dim=leaf_centroids.shape[1] if continuous else None,
    )
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        model: VideoBertForPreTraining
        if config.random_init:
            model = VideoBertForPreTraining(videobert)
        else:
            model = VideoBertForPreTraining.from_pretrained(bert_checkpoint(config.bert), config=videobert)
        if continuous:
            return model
        embeddings: Any = model.bert.embeddings
        words = embeddings.word_embeddings.weight.detach()
        rows = visual_rows(leaf_centroids, width=words.shape[1], spread=float(words.std()))
        with torch.no_grad():
            embeddings.visual_embeddings.weight[1:] = rows
    return model


def visual_rows(leaf_centroids: torch.Tensor, *, width: int, spread: float) -> torch.Tensor:
    """First embeddings of the visual words: float32 [num_visual_tokens, width] of a standard deviation.

    A random projection of the centroids, which keeps distances (Johnson and Lindenstrauss 1984): words that
    look alike begin alike, so that what is learned of one helps the others. Rows as long as the text's, since
    BERT's own initialisation, a third of that, drowns in the position embeddings.
    """
    is_known = leaf_centroids.isfinite().all(dim=1)
    known = leaf_centroids[is_known].float()
    rows = torch.randn(len(leaf_centroids), width) * spread
    if is_known.sum() > 1:
        projected = (known - known.mean(0)) @ torch.randn(known.shape[1], width)
        rows[is_known] = projected * (spread / projected.std())
    return rows
