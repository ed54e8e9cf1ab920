"""The processor, against the package's own sequences and vocabulary."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, AutoTokenizer

from tests.tiny import bert_config, vocabulary
from vbert.model.configuration_videobert import VideoBertConfig, from_bert_config
from vbert.model.processing_videobert import VideoBertProcessor
from vbert.tasks.examples import padded_inputs, sequence_of
from vbert.training.checkpoints import make_processor
from vbert.vocabulary.tree import Exemplar, Vocabulary, save

WORDS = vocabulary(num_visual_tokens=27)
CLIP = Exemplar(video_id="a", start_seconds=1.5, distance=0.25)


def config() -> VideoBertConfig:
    return from_bert_config(bert_config(), num_visual_tokens=27)


def leaves() -> Vocabulary:
    """A tree in which some children are missing, as where a node's sample was small."""
    chance = torch.Generator().manual_seed(0)
    centroids = [torch.randn(3**level, 3, 4, generator=chance) for level in range(3)]
    centroids[1][1, 2] = centroids[2][4:6, 1] = torch.nan
    return Vocabulary(featurizer="f-1", centroids=centroids, exemplars={5: [CLIP]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As training leaves it: no featurizer's options, which older tables do not have."""
    folder = tmp_path_factory.mktemp("model")
    progress = {"vocabulary": leaves().id, "row_length": 16}
    make_processor(config(), tokenizer_json=WORDS.tokenizer_json, progress=progress).save_pretrained(folder)
    config().save_pretrained(folder)
    save(leaves(), str(folder / "vocabularies"))
    return folder


@pytest.fixture(scope="module")
def processor(folder: Path) -> VideoBertProcessor:
    return AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("num_clips", [0, 1, 5, 12, 13, 40])
@pytest.mark.parametrize(
    "text", ["", "peel", "now let me show you how to cut an egg with a knife and a spoon"]
)
def test_a_sequence_is_the_one_that_heads_are_trained_on(
    num_clips: int, text: str, processor: VideoBertProcessor
):
    clips = np.arange(num_clips) % 27
    (words,) = WORDS.encode([text])
    ids, types, _ = sequence_of(words, clips, WORDS, row_length=16)
    found = processor(videos=clips if num_clips else None, text=text, return_tensors="np")
    assert found["input_ids"][0].tolist() == ids.tolist()
    assert found["token_type_ids"][0].tolist() == types.tolist()


def test_a_batch_is_padded_to_its_longest(processor: VideoBertProcessor):
    found = processor(videos=[[1, 2], [3]], text=["peel the egg", "cut"], return_tensors="pt")
    parts = [([1, 2], "peel the egg"), ([3], "cut")]
    sequences = [sequence_of(WORDS.encode([text])[0], clips, WORDS, row_length=16) for clips, text in parts]
    expected = padded_inputs(sequences, WORDS)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), values)
    assert found["position_ids"].tolist() == [list(range(8))] * 2
    assert set(found) == set(processor.model_input_names)


def test_one_text_goes_with_each_video(processor: VideoBertProcessor):
    found = processor(videos=[[1], [2]], text="cut the [MASK]")["input_ids"]
    assert [ids[-2] - processor.num_word_pieces - 1 for ids in found] == [1, 2]
    assert [ids[3] for ids in found] == [processor.tokenizer.mask_token_id] * 2
    with pytest.raises(ValueError, match="2 texts or videos do not go with 3"):
        processor(videos=[[1], [2], [3]], text=["a", "b"])
    with pytest.raises(ValueError, match="give videos, text or both"):
        processor()


def test_visual_words_are_the_vocabularys(processor: VideoBertProcessor):
    features = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    assert processor.visual_tokens(features) == leaves().assign(features).tolist()
    assert processor.visual_tokens(torch.from_numpy(features[:3])) == leaves().assign(features[:3]).tolist()


def test_a_fused_models_inputs_have_the_features_of_their_clips(folder: Path, tmp_path: Path):
    processor = AutoProcessor.from_pretrained(folder)
    processor.head_feature_dim = 4
    processor.save_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float16)
    parts = [(features, "peel the egg"), (features[:1], ""), (features[3:6], "cut")]
    sequences = [
        sequence_of(
            WORDS.encode([text])[0],
            leaves().assign(shown.astype(np.float32)),
            WORDS,
            row_length=16,
            features=shown,
        )
        for shown, text in parts
    ]
    found = processor(
        videos=[shown.astype(np.float32) for shown, _ in parts],
        text=[text for _, text in parts],
        return_tensors="pt",
    )
    for name, values in padded_inputs(sequences, WORDS).items():
        np.testing.assert_array_equal(found[name].numpy(), values)
    assert set(found) == set(processor.model_input_names)
    assert not processor(text="cut")["visual_features"].any()
    with pytest.raises(ValueError, match="also takes features"):
        processor(videos=[[1, 2]])


def test_ids_are_read_back_as_words_and_visual_words(processor: VideoBertProcessor):
    ids = processor(videos=[[7, 0]], text="cut the potatoes", return_tensors="pt")["input_ids"]
    assert processor.batch_decode(ids) == ["cut the potatoes [>] v7 v0"]
    assert processor.decode(ids[0], skip_special_tokens=False) == "[CLS] cut the potatoes [>] v7 v0 [SEP]"
    assert processor.exemplars(5) == [{"video_id": "a", "start_seconds": 1.5, "distance": 0.25}]
    assert processor.exemplars(6) == []


def test_it_is_saved_with_its_vocabulary(processor: VideoBertProcessor, tmp_path: Path):
    for _ in range(2):  # over itself, too
        processor.save_pretrained(tmp_path)
        processor = AutoProcessor.from_pretrained(tmp_path)
    assert processor.exemplars(5)
    assert processor.max_length == 16
    words = AutoTokenizer.from_pretrained(tmp_path)("cut the potatoes", add_special_tokens=False)["input_ids"]
    assert words == WORDS.encode(["cut the potatoes"])[0].tolist()


def test_an_id_that_a_file_gives_is_no_path(folder: Path):
    found = VideoBertProcessor.from_pretrained(folder, visual_vocabulary="../secret")
    with pytest.raises(ValueError, match=r"'\.\./secret': no id"):
        found.exemplars(5)


def test_what_it_was_not_given_is_said():
    alone = make_processor(config(), tokenizer_json=WORDS.tokenizer_json, progress={})
    with pytest.raises(ValueError, match="has no visual vocabulary: give visual tokens"):
        alone.visual_tokens(np.zeros((1, 4), np.float32))
    progress = {"vocabulary": "0123456789abcdef"}
    alone = make_processor(config(), tokenizer_json=WORDS.tokenizer_json, progress=progress)
    with pytest.raises(FileNotFoundError, match="was not opened from a folder"):
        alone.visual_tokens("a.mp4")
