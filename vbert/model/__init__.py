"""VideoBERT as Hugging Face classes: configuration, models, heads; where they start, what a checkpoint holds.

Takes ids, positions and types; gives logits and losses. Promises that `save_pretrained` makes a folder
which `from_pretrained` opens.
"""
