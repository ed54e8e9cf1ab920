"""The README.md beside a saved model: what it was made from, how, and how good it is.

Hugging Face's hub shows it, and reads the lines between the dashes.
"""

from collections.abc import Mapping
from typing import Any

CARD = "README.md"
HOW = {
    None: ("AutoModelForPreTraining", None),
    "classification": ("AutoModelForVideoClassification", "video-classification"),
    "question_answering": ("AutoModelForVideoClassification", None),
    "captioning": ("AutoModelForSeq2SeqLM", None),
}
TEXT = """---
library_name: transformers
{pipeline}tags:
- video
- videobert
---

# VideoBERT, {title}

| | |
|---|---|
{facts}

Loss and metrics on the validation split:

| | |
|---|---|
{metrics}

Made by:

```sh
{command}
```

To use it:

```python
from transformers import {auto}, AutoProcessor

model = {auto}.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
outputs = model(**processor(videos=visual_tokens, return_tensors="pt"))
```

`trust_remote_code` runs the Python files of this folder. Visual tokens, features and text need torch and
transformers alone; paths of videos need vbert.
"""


def model_card(progress: Mapping[str, Any]) -> str:
    """Of what `save_checkpoint` writes into progress.json; a fact that is not known is left out."""
    task = progress.get("task", {}).get("name")
    auto, pipeline = HOW.get(task, ("AutoModel", None))
    facts = {
        "steps of training": progress.get("step"),
        "version of the documents": progress.get("documents_version"),
        "visual vocabulary": progress.get("vocabulary"),
        "features of its clips by": progress.get("featurizer"),
    }
    return TEXT.format(
        pipeline=f"pipeline_tag: {pipeline}\n" if pipeline else "",
        title=f"fine-tuned for {task.replace('_', ' ')}" if task else "pretrained",
        facts=_rows({name: value for name, value in facts.items() if value is not None}),
        metrics=_rows({name: f"{value:.4g}" for name, value in progress.get("validation", {}).items()}),
        command=progress.get("command", ""),
        auto=auto,
    )


def _rows(values: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in values.items())
