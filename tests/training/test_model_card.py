"""The card beside a model, read by Hugging Face's own class."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.tiny import bert_config, vocabulary
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.training.checkpoints import save_checkpoint
from vbert.training.optimization import OptimizerConfig, make_optimizer

PROGRESS = {
    "step": 40,
    "vocabulary": "0123456789abcdef",
    "featurizer": "s3d-01234567",
    "documents_version": 7,
    "validation": {"loss": 1.23456},
    "command": "vbert pretrain --tables tables",
}


def card_of(folder: Path, **changes: object) -> ModelCard:
    """Of a checkpoint as training saves it."""
    config = from_bert_config(bert_config(), num_visual_tokens=27)
    model = VideoBertForPreTraining(config)
    optimizer = make_optimizer(model, OptimizerConfig())
    words = vocabulary().tokenizer_json
    save_checkpoint(folder, model, optimizer, tokenizer_json=words, progress=PROGRESS | changes)
    return ModelCard.load(folder / "README.md")


def test_a_card_says_what_a_model_was_made_from_and_how_good_it_is(tmp_path: Path):
    card = card_of(tmp_path)
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag is None
    for line in (
        "# VideoBERT, pretrained",
        "| steps of training | 40 |",
        "| version of the documents | 7 |",
        "| visual vocabulary | 0123456789abcdef |",
        "| features of its clips by | s3d-01234567 |",
        "| loss | 1.235 |",
        "vbert pretrain --tables tables",
        "model = AutoModelForPreTraining.from_pretrained(folder, trust_remote_code=True)",
    ):
        assert line in card.text.splitlines()


@pytest.mark.parametrize(
    ("task", "title", "tag", "auto"),
    [
        ("classification", "classification", "video-classification", "AutoModelForVideoClassification"),
        ("captioning", "captioning", None, "AutoModelForSeq2SeqLM"),
        ("multiple_choice", "multiple choice", None, "AutoModel"),
    ],
)
def test_a_fine_tuned_models_card_names_its_task(
    task: str, title: str, tag: str | None, auto: str, tmp_path: Path
):
    card = card_of(tmp_path, task={"name": task}, documents_version=None)
    assert card.data.pipeline_tag == tag
    assert f"# VideoBERT, fine-tuned for {title}" in card.text
    assert f"import {auto}, AutoProcessor" in card.text
    assert "documents |" not in card.text


def test_a_checkpoint_has_all_that_others_open_it_by(tmp_path: Path):
    card_of(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        *("README.md", "config.json", "model.safetensors", "optimizer.safetensors", "progress.json"),
        *(
            "tokenizer.json",
            "tokenizer_config.json",
            "processor_config.json",
            "video_preprocessor_config.json",
        ),
        *(
            "configuration_videobert.py",
            "modeling_embeddings.py",
            "modeling_heads.py",
            "modeling_pooling.py",
            "modeling_pretraining_heads.py",
            "modeling_contrast.py",
            "modeling_videobert.py",
        ),
        "processing_videobert.py",
    }
    assert (tmp_path / "tokenizer.json").read_text() == vocabulary().tokenizer_json
