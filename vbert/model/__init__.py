"""VideoBERT as Hugging Face classes: configuration, models, heads; where they start, what a checkpoint holds.

Takes ids, positions and types; gives logits and losses. Promises that `save_pretrained` makes a folder
which `from_pretrained` opens.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "configuration_videobert": ["VideoBertConfig"],
        "modeling_videobert": ["VideoBertForPreTraining"],
        "processing_videobert": ["VideoBertProcessor"],
        "modeling_captioning": ["VideoBertForCaptioning"],
        "modeling_heads": [
            "VideoBertForClassification",
            "VideoBertForMultipleChoice",
            "VideoBertForRetrieval",
        ],
    },
)
