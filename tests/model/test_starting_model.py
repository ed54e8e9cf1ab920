from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertModel

from tests.tiny import bert_folder
from vbert.errors import UserError
from vbert.model.encoders import ModelConfig, bert_checkpoint, bert_config, joint_vocabulary
from vbert.model.starting_model import starting_model, visual_rows


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bert_folder(tmp_path_factory.mktemp("bert"))


def test_the_packaged_encoder_is_minilm_with_berts_words():
    config = bert_config("minilm")
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (384, 6, 30_522)
    assert joint_vocabulary("minilm", num_visual_tokens=5).size == 30_522 + 1 + 5


def test_the_packaged_weights_are_in_the_model():
    saved = load_file(Path(bert_checkpoint("minilm")) / "model.safetensors")
    model = starting_model(ModelConfig(), leaf_centroids=torch.randn(9, 4), seed=0)
    theirs = saved["encoder.layer.5.output.dense.weight"]
    assert torch.equal(model.bert.encoder.layer[5].output.dense.weight, theirs)
    assert torch.equal(
        model.bert.embeddings.word_embeddings.weight, saved["embeddings.word_embeddings.weight"]
    )


def test_options_reach_the_model(tiny: str):
    options = ModelConfig(bert=tiny, dropout=0.2, attention_dropout=0.3, alignment_weight=2.5)
    config = starting_model(options, leaf_centroids=torch.randn(4, 4), seed=0).config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.3)
    assert (config.alignment_loss_weight, config.num_visual_tokens) == (2.5, 4)


def test_the_same_seed_gives_the_same_model_whatever_happened_before(tiny: str):
    centroids = torch.randn(6, 4)
    models = []
    for noise in range(2):
        torch.manual_seed(noise)
        models.append(starting_model(ModelConfig(bert=tiny), leaf_centroids=centroids, seed=3).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    other = starting_model(ModelConfig(bert=tiny), leaf_centroids=centroids, seed=4).state_dict()
    assert not torch.equal(
        other["bert.embeddings.visual_embeddings.weight"],
        models[0]["bert.embeddings.visual_embeddings.weight"],
    )


def test_random_init_takes_sizes_and_no_weights(tiny: str):
    model = starting_model(ModelConfig(bert=tiny, random_init=True), leaf_centroids=torch.randn(3, 4), seed=0)
    theirs = BertModel.from_pretrained(tiny)
    assert model.config.hidden_size == theirs.config.hidden_size
    assert not torch.equal(
        model.bert.encoder.layer[0].output.dense.weight, theirs.encoder.layer[0].output.dense.weight
    )


def test_words_that_look_alike_begin_alike():
    torch.manual_seed(0)
    kinds = torch.randn(5, 64).repeat_interleave(4, dim=0)
    rows = visual_rows(kinds + 0.1 * torch.randn(20, 64), width=128, spread=0.05)
    assert rows.std() == pytest.approx(0.05, rel=0.01)
    distances = torch.cdist(rows, rows)
    same = torch.arange(20)[:, None] // 4 == torch.arange(20)[None] // 4
    assert distances[same].max() < 0.5 * distances[~same].min()


def test_leaves_without_a_centroid_get_a_row_of_the_same_size():
    torch.manual_seed(0)
    centroids = torch.randn(200, 16)
    centroids[::2] = float("nan")
    rows = visual_rows(centroids, width=32, spread=0.1)
    assert rows.isfinite().all()
    assert rows[::2].std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    "options",
    [{"dropout": 1.0}, {"attention_dropout": -0.1}, {"alignment_weight": -1.0}, {"contrastive_weight": -1.0}],
)
def test_senseless_options_are_refused(options: dict[str, float]):
    with pytest.raises(UserError, match=next(iter(options)).replace("_", "-")):
        ModelConfig(**options)  # type: ignore[arg-type]


def test_what_is_no_bert_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match=f"--model.bert {tmp_path}"):
        bert_config(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match="a gpt2 checkpoint, and not BERT's"):
        bert_config(str(tmp_path))
