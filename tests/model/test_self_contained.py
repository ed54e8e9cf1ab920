"""A checkpoint's folder opened by somebody who has torch and transformers, and no vbert."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import bert_config, vocabulary
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.model.encoders import quiet_transformers
from vbert.model.modeling_captioning import VideoBertForCaptioning
from vbert.model.modeling_heads import VideoBertForClassification, VideoBertForRetrieval
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tasks.examples import sequence_of
from vbert.training.checkpoints import make_processor
from vbert.vocabulary.tree import Exemplar, Vocabulary, load, save

WORDS = vocabulary(num_visual_tokens=9)
FEATURES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
SOURCES = Path(__file__).parents[2] / "vbert" / "model"
SENTENCE = "now cut the [MASK]"
# Without vbert, which cannot be imported, and with a cache of its own for the code in the folders.
ALONE = """
import importlib.abc, json, os, sys

class NoVbert(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "vbert":
            raise ModuleNotFoundError("No module named 'vbert'", name="vbert")

sys.meta_path.insert(0, NoVbert())
import torch
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, AutoModelForSeq2SeqLM
from transformers import AutoModelForVideoClassification, AutoProcessor
from transformers.utils import logging
logging.disable_progress_bar()
torch.set_grad_enabled(False)
"""


def config() -> VideoBertConfig:
    labels = {0: "cut", 1: "peel"}
    return from_bert_config(
        bert_config(initializer_range=0.3),
        num_visual_tokens=9,
        id2label=labels,
        contrastive_loss_weight=1.0,
        label2id={"cut": 0, "peel": 1},
    )


def run_alone(script: str, root: Path, cache: Path) -> Any:
    """What a script prints as JSON, in a process that has no vbert."""
    environment = {**os.environ, "HF_MODULES_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"{ALONE}{script}", str(root), json.dumps(FEATURES.tolist()), SENTENCE],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])  # behind questions whether to run code


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pretrained model with its processor and vocabulary, and heads on it."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("models")
    centroids = [torch.randn(1, 3, 4), torch.randn(3, 3, 4)]
    leaves = Vocabulary(
        featurizer="f-1",
        centroids=centroids,
        exemplars={4: [Exemplar(video_id="a", start_seconds=1.5, distance=0.25)]},
    )
    pretrained = root / "pretrained"
    VideoBertForPreTraining(config()).save_pretrained(pretrained)
    make_processor(
        config(), tokenizer_json=WORDS.tokenizer_json, progress={"vocabulary": leaves.id}
    ).save_pretrained(pretrained)
    save(leaves, str(pretrained / "vocabularies"))
    with quiet_transformers():
        VideoBertForClassification.from_pretrained(pretrained).save_pretrained(root / "labels")
        VideoBertForRetrieval.from_pretrained(pretrained).save_pretrained(root / "retrieval")
        VideoBertForCaptioning.on_top_of(
            str(pretrained),
            num_layers=1,
            start_id=WORDS.cls_id,
            end_id=WORDS.sep_id,
            pad_id=0,
            hidden_dropout_prob=0.0,
        ).save_pretrained(root / "captions")
    return {folder.name: folder for folder in root.iterdir()}


SCRIPT = """
root, features, sentence = sys.argv[1], torch.tensor(json.loads(sys.argv[2])), sys.argv[3]
refused = []
for auto in (AutoConfig, AutoModelForPreTraining, AutoProcessor):
    for trust in ({}, {"trust_remote_code": False}):
        try:
            auto.from_pretrained(f"{root}/pretrained", **trust)
        except ValueError as error:
            refused.append("trust_remote_code=True" in str(error))
has_run = os.path.exists(os.environ["HF_MODULES_CACHE"] + "/transformers_modules")

processor = AutoProcessor.from_pretrained(f"{root}/pretrained", trust_remote_code=True)
inputs = processor(videos=features, text=sentence, return_tensors="pt")

def opened(auto, name):
    return auto.from_pretrained(f"{root}/{name}", trust_remote_code=True).eval()

found = {
    "refused": refused,
    "code has run": has_run,
    "ids": inputs["input_ids"].tolist(),
    "words": processor.batch_decode(inputs["input_ids"]),
    "exemplars": processor.exemplars(4),
    "pretraining": opened(AutoModelForPreTraining, "pretrained")(**inputs).prediction_logits[0, 4].tolist(),
    "encoder": opened(AutoModel, "pretrained")(**inputs).last_hidden_state[0, 0].tolist(),
    "new head": list(opened(AutoModelForVideoClassification, "pretrained")(**inputs).logits.shape),
    "captions": opened(AutoModelForSeq2SeqLM, "captions").generate(**inputs).tolist(),
    "retrieval": type(opened(AutoModel, "retrieval")).__name__,
}
labels = opened(AutoModelForVideoClassification, "labels")
labels.save_pretrained(f"{root}/again")
processor.save_pretrained(f"{root}/again")
found["labels"] = labels(**inputs).logits[0].tolist()
found["saved again"] = opened(AutoModelForVideoClassification, "again")(**inputs).logits[0].tolist()
again = AutoProcessor.from_pretrained(f"{root}/again", trust_remote_code=True)
found["ids again"] = again(videos=features, text=sentence)["input_ids"]
try:
    processor(videos="a.mp4")
except ImportError as error:
    found["without vbert"] = str(error)
print(chr(10) + json.dumps(found))
"""


@pytest.mark.slow
@torch.no_grad()
def test_a_checkpoint_opens_with_torch_and_transformers_alone_if_the_caller_trusts_it(
    folders: dict[str, Path], tmp_path: Path
):
    found = run_alone(SCRIPT, folders["pretrained"].parent, tmp_path)
    assert found["refused"] == [True] * 6
    assert not found["code has run"]
    leaves = load(str(next((folders["pretrained"] / "vocabularies").iterdir())))
    clips = leaves.assign(FEATURES)
    ids, types, _ = sequence_of(WORDS.encode(["now cut the"])[0], clips, WORDS, row_length=64)
    ids, types = np.insert(ids, 4, WORDS.mask_id), np.insert(types, 4, 0)
    assert found["ids"] == found["ids again"] == [ids.tolist()]
    assert found["words"] == [f"now cut the [>] {' '.join(f'v{clip}' for clip in clips)}"]
    assert found["exemplars"] == [{"video_id": "a", "start_seconds": 1.5, "distance": 0.25}]
    inputs = {"input_ids": torch.tensor(ids)[None], "token_type_ids": torch.tensor(types)[None]}
    model = VideoBertForPreTraining.from_pretrained(folders["pretrained"]).eval()
    expected = {
        "pretraining": model(**inputs).prediction_logits[0, 4],
        "encoder": model.bert(**inputs).last_hidden_state[0, 0],
        "labels": VideoBertForClassification.from_pretrained(folders["labels"]).eval()(**inputs).logits[0],
    }
    for name, values in (expected | {"saved again": expected["labels"]}).items():
        torch.testing.assert_close(torch.tensor(found[name]), values, atol=1e-5, rtol=1e-4)
    writer = VideoBertForCaptioning.from_pretrained(folders["captions"]).eval()
    assert found["captions"] == writer.generate(**inputs).tolist()
    assert found["new head"] == [1, 2]
    assert found["retrieval"] == "VideoBertForRetrieval"
    assert "vbert decodes and featurizes videos and is not installed" in found["without vbert"]


@pytest.mark.parametrize("name", ["pretrained", "labels", "retrieval", "captions"])
def test_a_saved_model_has_its_code_beside_it(name: str, folders: dict[str, Path]):
    """What push_to_hub uploads is what save_pretrained writes."""
    saved = {file.name for file in folders[name].iterdir()}
    for reference in json.loads((folders[name] / "config.json").read_text())["auto_map"].values():
        assert f"{reference.split('.')[0]}.py" in saved
    for file in folders[name].glob("*.py"):
        assert file.read_text() == (SOURCES / file.name).read_text()
