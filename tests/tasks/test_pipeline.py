"""A model asked about a video file, against what the jobs' own functions make of it."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from transformers import AutoModelForPreTraining, AutoProcessor, pipeline

from tests.hostile_modules import write_hostile_modules
from tests.tiny import bert_config, vocabulary
from tests.videos import Video, write_video
from vbert.corpus.sources import list_corpus
from vbert.errors import UserError, VideoError
from vbert.features.featurizer_config import FeaturizerConfig, featurizer_id, save_config
from vbert.features.ledger import DONE
from vbert.features.planning import plan_videos
from vbert.features.segment_rows import featurize_segments
from vbert.features.torch_featurizer import open_featurizer
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.head_features import TOKENS_ALONE, HeadFeatures, HeadInput, Moments
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tables.schemas import unpack_vectors
from vbert.tasks.base import TaskOptions, to_tensors
from vbert.tasks.pipeline import VideoPipeline
from vbert.tasks.registry import TASKS
from vbert.training.checkpoints import make_processor
from vbert.video.decode_child import DecodeLimits
from vbert.video.thumbnails import thumbnails
from vbert.vocabulary.tree import Vocabulary, save

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

WORDS = vocabulary().tokenizer_json
CONFIG = FeaturizerConfig(frames_per_clip=1, segment_seconds=3.0)
ROWS = [
    {
        "labels": [label],
        "captions": [f"it is {label}"],
        "question": "what ?",
        "question_type": None,
        "answer": label,
        "options": ["cut", "peel"],
        "importance": number / 3,
        "start_seconds": 0.0,
        "end_seconds": 1.0,
    }
    for number, label in enumerate(("cut", "peel", "fry"))
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Nine seconds: six clips in three segments."""
    return str(write_video(tmp_path_factory.mktemp("v") / "a.mp4", Video(num_frames=90, fps=Fraction(10))))


@pytest.fixture(scope="module")
def features(video: str) -> np.ndarray:
    """As the featurize job makes them."""
    planned = plan_videos(
        list_corpus(str(Path(video).parent)),
        DONE.empty_table(),
        featurizer=featurizer_id(CONFIG),
        clip_seconds=CONFIG.clip_seconds,
        segment_seconds=CONFIG.segment_seconds,
    )
    _, rows = featurize_segments(planned, open_featurizer(CONFIG, device="cpu"), config=CONFIG)
    return unpack_vectors(rows["features"])


@pytest.fixture(scope="module")
def pretrained(features: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as pretrain leaves it; each clip of the video has a leaf of its own."""
    folder = tmp_path_factory.mktemp("model")
    leaves = Vocabulary(featurizer=featurizer_id(CONFIG), centroids=[torch.tensor(features)[None]])
    assert leaves.num_leaves == 6
    torch.manual_seed(0)
    config = from_bert_config(bert_config(), num_visual_tokens=6, initializer_range=0.3)
    VideoBertForPreTraining(config).save_pretrained(folder)
    progress = {"step": 1, "vocabulary": leaves.id}
    make_processor(config, tokenizer_json=WORDS, progress=progress).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(WORDS)
    (folder / "progress.json").write_text(json.dumps(progress))
    save(leaves, str(folder / "vocabularies"))
    save_config(CONFIG, str(folder))
    return folder


def tuned(
    pretrained: Path, folder: Path, name: str, *, features: HeadFeatures = TOKENS_ALONE
) -> VideoPipeline:
    """A model of a task, untrained, as finetune leaves it."""
    task = TASKS[name].of(ROWS, TaskOptions())
    facts = json.loads((pretrained / "progress.json").read_text())
    model = task.new_model(str(pretrained), seed=0, dropout=0.0, features=features)
    model.save_pretrained(folder)
    processor = AutoProcessor.from_pretrained(pretrained)
    processor.head_feature_dim = model.bert.config.head_feature_dim
    processor.save_pretrained(folder)
    (folder / "progress.json").write_text(json.dumps(facts | {"task": task.to_json(), "row_length": 64}))
    return VideoPipeline(str(folder))


def test_a_video_has_the_tokens_that_the_jobs_give_it(pretrained: Path, video: str):
    found = VideoPipeline(str(pretrained)).tokens(video)
    assert found.visual_tokens.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.start_seconds.tolist() == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5]


def test_a_pretrained_model_fills_in_verbs_and_objects(pretrained: Path, video: str):
    pipeline = VideoPipeline(str(pretrained))
    found = pipeline.zero_shot(video, verbs=["cut", "peel"], objects=["egg", "fish", "daikon"])
    assert sorted(word for word, _ in found["verb"]) == ["cut", "peel"]
    assert len(found["object"]) == 3
    scores = [score for _, score in found["object"]]
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(UserError, match="a pretrained model answers nothing"):
        pipeline(video)


def test_a_processor_takes_files_frames_features_and_visual_tokens(
    pretrained: Path, video: str, features: np.ndarray, tmp_path: Path
):
    processor = AutoProcessor.from_pretrained(pretrained)
    with av.open(video) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    separator = processor.num_word_pieces
    cls_id, sep_id = processor.tokenizer.cls_token_id, processor.tokenizer.sep_token_id
    for shown, options in (
        (video, {}),
        (Path(video), {}),
        (frames, {"fps": 10}),
        (features, {}),
        (range(6), {}),
    ):
        found = processor(videos=[shown], return_tensors="pt", **options)
        expected = [cls_id, separator, *range(separator + 1, separator + 7), sep_id]
        assert found["input_ids"].tolist() == [expected]
        assert found["token_type_ids"].tolist() == [[0] + [1] * 8]
        assert found["position_ids"].tolist() == [list(range(9))]
    assert processor(videos=video, num_frames=2)["input_ids"] == [
        [cls_id, separator, separator + 1, separator + 6, sep_id]
    ]
    assert processor.exemplars(2) == []
    processor.save_pretrained(tmp_path)  # with its decoders open
    assert (tmp_path / "vocabularies" / processor.visual_vocabulary / "vocabulary.safetensors").is_file()
    assert list((tmp_path / "featurizers").iterdir())
    for wrong in (frames.astype(np.int64), features[:, 1:], [6], np.full((1, features.shape[1]), np.nan)):
        with pytest.raises(ValueError, match=r"give a path|must be"):
            processor(videos=[wrong])
    with pytest.raises(ValueError, match="frames need fps"):
        processor(videos=frames)


def test_zero_shot_in_five_lines_is_what_the_evaluation_does(pretrained: Path, video: str):
    processor = AutoProcessor.from_pretrained(pretrained)
    model = AutoModelForPreTraining.from_pretrained(pretrained).eval()
    inputs = processor(
        videos=video, text="now let me show you how to [MASK] the [MASK] .", return_tensors="pt"
    )
    verb, _ = model(**inputs).prediction_logits[inputs["input_ids"] == processor.tokenizer.mask_token_id]
    verbs = ["cut", "peel", "fry"]
    ids = processor.tokenizer.convert_tokens_to_ids(verbs)
    expected = VideoPipeline(str(pretrained)).zero_shot(video, verbs=verbs, objects=["egg"])["verb"]
    chances = verb[: processor.num_word_pieces].log_softmax(-1)[ids].tolist()
    assert dict(expected) == pytest.approx(dict(zip(verbs, chances, strict=True)), abs=1e-4)


@pytest.mark.parametrize("kind", ["tokens", "fused"])
def test_hugging_faces_video_pipeline_says_what_ours_says(
    kind: HeadInput, pretrained: Path, video: str, features: np.ndarray, tmp_path: Path
):
    seen = TOKENS_ALONE if kind == "tokens" else HeadFeatures.standardised(kind, Moments.of(features))
    (ours,) = tuned(pretrained, tmp_path, "classification", features=seen)(video)
    theirs = pipeline("video-classification", model=str(tmp_path), trust_remote_code=True, device="cpu")
    found = theirs(video)
    assert [answer["label"] for answer in found] == ours["labels"]
    assert [answer["score"] for answer in found] == pytest.approx(ours["probabilities"], abs=1e-4)


@torch.no_grad()
def test_a_fused_model_sees_the_features_that_the_jobs_give_a_video(
    pretrained: Path, video: str, features: np.ndarray, tmp_path: Path
):
    seen = HeadFeatures.standardised("fused", Moments.of(features))
    pipeline = tuned(pretrained, tmp_path, "classification", features=seen)
    assert pipeline.tuned is not None
    (found,) = pipeline(video, start_seconds=3.0, end_seconds=6.0)
    task, inputs = pipeline.tuned.task, pipeline.tuned.inputs
    row = {"visual_tokens": [2, 3], "features": features[2:4], "said": ""}
    batch = to_tensors(task.batch([row], inputs), torch.device("cpu"))
    (expected,) = task.answers(pipeline.tuned.model, batch, [row], inputs)
    assert found["labels"] == expected["labels"]
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
    row["features"] = -features[2:4]
    batch = to_tensors(task.batch([row], inputs), torch.device("cpu"))
    (other,) = task.answers(pipeline.tuned.model, batch, [row], inputs)
    assert other["_scores"] != pytest.approx(expected["_scores"], abs=1e-2)


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("classification", {}, {"labels", "probabilities"}),
        ("question_answering", {"question": "what is it ?"}, {"answer", "probability"}),
        ("multiple_choice", {"question": "what ?", "options": ["cut", "fry"]}, {"answer"}),
        ("captioning", {}, {"caption"}),
    ],
)
def test_a_fine_tuned_model_answers(
    name: str, asked: dict[str, Any], expected: set[str], pretrained: Path, video: str, tmp_path: Path
):
    pipeline = tuned(pretrained, tmp_path, name)
    (whole,) = pipeline(video, **asked)
    assert set(whole) == {"start_seconds", "end_seconds", *expected}
    parts = pipeline(video, window_seconds=3.0, **asked)
    assert [(part["start_seconds"], part["end_seconds"]) for part in parts] == [(0, 3), (3, 6), (6, 9)]
    (interval,) = pipeline(video, start_seconds=3.0, end_seconds=6.0, **asked)
    for words in set(interval) - {"probability", "probabilities"}:  # batches of other sizes round otherwise
        assert interval[words] == parts[1][words]


def test_a_summary_is_some_of_the_videos_intervals_and_what_is_said_there(
    pretrained: Path, video: str, tmp_path: Path
):
    pipeline = tuned(pretrained, tmp_path, "summarization")
    words = tmp_path / "a.vtt"
    words.write_text("WEBVTT\n\n00:00.500 --> 00:02.000\nFirst.\n\n00:04.000 --> 00:05.000\nThen.\n")
    (summary,) = pipeline(video, window_seconds=3.0, transcript=str(words))
    assert len(summary["segments"]) == 1
    said = {0.0: "First.", 3.0: "Then.", 6.0: ""}
    assert summary["text"] == said[summary["segments"][0][0]]
    (picture,) = pipeline.key_frames(video, summary, width=96)
    middle = sum(summary["segments"][0]) / 2
    assert picture == thumbnails(video, [middle], width=96)[0]


def test_what_cannot_be_asked_is_said(pretrained: Path, video: str, tmp_path: Path):
    pipeline = tuned(pretrained, tmp_path, "question_answering")
    with pytest.raises(UserError, match="answers questions: give one"):
        pipeline(video)
    with pytest.raises(UserError, match="fills in no sentence"):
        pipeline.zero_shot(video, verbs=["cut"], objects=["egg"])
    with pytest.raises(VideoError):
        pipeline(str(tmp_path / "gone.mp4"), question="what ?")


def test_a_video_that_ends_or_holds_up_who_opens_it_is_an_error(
    pretrained: Path, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(write_hostile_modules(tmp_path / "modules")))
    reasons = {"crash": "died of signal 11", "hang": "took longer than 2 s", "greedy": "more than 1.5 GB"}
    limits = DecodeLimits(max_decode_seconds=2.0, max_decode_gigabytes=1.5)
    pipeline = VideoPipeline(str(pretrained), limits=limits)
    for name, reason in reasons.items():
        (tmp_path / f"{name}.mp4").symlink_to(video)
        uri = f"hostile://{tmp_path}/{name}.mp4"
        with pytest.raises(VideoError, match=reason):
            pipeline.tokens(uri)
    with pytest.raises(VideoError, match=reasons["crash"]):
        pipeline.key_frames(f"hostile://{tmp_path}/crash.mp4", {"segments": [[0.0, 1.0]]})
    assert len(pipeline.tokens(video).visual_tokens) == 6


def test_another_featurizer_than_the_vocabularys_is_refused(pretrained: Path):
    with pytest.raises(UserError, match="was trained on features of efficientnet_lite0-"):
        VideoPipeline(str(pretrained), featurizer=FeaturizerConfig())
