"""The registry's networks, loaded: without their heads, with their weights, batch norms folded."""

from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from vbert.errors import UserError, one_line
from vbert.features.backbones import Backbone, EfficientNetLite0, HuggingFace, Torchvision
from vbert.features.weights import fill, first_few, fold_batch_norms, read_state_dict

# How tensors lie where a network runs as it is: on one core channels_last_3d made S3D 1.1 times faster and
# R(2+1)D 1.1 times slower.
MEMORY_FORMATS = {
    "resnet50": torch.channels_last,
    "inception_v3": torch.channels_last,
    "s3d": torch.channels_last_3d,
}


class Trunk(nn.Module):
    """A network without its head: normalised float32 [N, T, 3, size, size] -> float32 [N, feature_dim].

    `sees` "frames": the network takes pictures, and a clip's feature is the mean of its frames'; "clips":
    it takes [N, 3, T, size, size].
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        sees: Literal["frames", "clips"],
        feature_dim: int,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False).to(memory_format=memory_format)
        self.sees = sees
        self.feature_dim = feature_dim
        self.memory_format = memory_format

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Features of normalised clips."""
        if self.sees == "clips":
            moved = clips.transpose(1, 2).contiguous(memory_format=self.memory_format)
            return cast(torch.Tensor, self.network(moved))
        num_clips, frames_per_clip = clips.shape[:2]
        features = self.network(clips.flatten(0, 1).contiguous(memory_format=self.memory_format))
        return cast(torch.Tensor, features.view(num_clips, frames_per_clip, -1).mean(1))


def load_trunk(backbone: Backbone) -> Trunk:
    """The network with its weights; UserError if they are not there or do not fit."""
    if isinstance(backbone, EfficientNetLite0):
        return _efficientnet_lite0(backbone)
    if isinstance(backbone, Torchvision):
        return _torchvision(backbone)
    assert isinstance(backbone, HuggingFace), backbone
    return _hugging_face(backbone)


def _efficientnet_lite0(backbone: EfficientNetLite0) -> Trunk:
    """1280 numbers: the mean over the picture, before the classifier."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network._fc = nn.Identity()
    fill(network, read_state_dict(backbone.path()), source=backbone.path(), unused=("_fc",))
    fold_batch_norms(network, torch.zeros(1, 3, 224, 224))
    return Trunk(network, sees="frames", feature_dim=1280, memory_format=torch.channels_last)


def _torchvision(backbone: Torchvision) -> Trunk:
    """What the classifier would be given."""
    from torchvision.models import get_model

    state = _download(backbone) if backbone.file is None else read_state_dict(Path(backbone.file))
    # Inception's weights come from TensorFlow: torchvision rescales the input when it loads them.
    inception = {"transform_input": True, "aux_logits": False, "init_weights": False}
    network = get_model(backbone.name, weights=None, **inception if backbone.name == "inception_v3" else {})
    setattr(network, backbone.head, nn.Identity())
    fill(network, state, source=backbone.file or backbone.weights, unused=(backbone.head, "AuxLogits"))
    wants = backbone.input()
    num_frames = (wants.min_frames,) if backbone.sees == "clips" else ()
    fold_batch_norms(network, torch.zeros(1, 3, *num_frames, wants.size, wants.size))
    return Trunk(
        network,
        sees=backbone.sees,
        feature_dim=backbone.feature_dim,
        memory_format=MEMORY_FORMATS.get(backbone.name, torch.contiguous_format),
    )


def _download(backbone: Torchvision) -> dict[str, torch.Tensor]:
    hub = backbone.hub_weights()
    try:
        return cast(dict[str, torch.Tensor], hub.get_state_dict(progress=False, check_hash=True))
    except OSError as error:  # URLError is one
        raise UserError(
            f"weights of {backbone.name} could not be downloaded from {hub.url} ({one_line(error)});"
            " give --featurizer.weights PATH"
        ) from error


def _hugging_face(backbone: HuggingFace) -> Trunk:
    """A blank clip tells the dimension."""
    from transformers import AutoModel

    model, report = backbone.open(AutoModel, dtype=torch.float32, output_loading_info=True)
    missing = set(report["missing_keys"])
    if any("pooler." not in key for key in missing):
        raise UserError(f"the weights of {backbone.place()} lack {first_few(missing)}")
    wants = backbone.input()
    is_video = backbone.num_frames() is not None
    network = HuggingFaceFeature(model, is_video=is_video, has_pooler=not missing)
    trunk = Trunk(network, sees="clips" if is_video else "frames", feature_dim=0)
    with torch.inference_mode():
        blank = torch.zeros(1, wants.frames_per_clip, 3, wants.size, wants.size)
        trunk.feature_dim = trunk(blank).shape[1]
    return trunk


class HuggingFaceFeature(nn.Module):
    """The documented feature of a transformers model: [M, 3, H, W] or [N, 3, T, H, W] -> [M or N, dim].

    In this order: `get_image_features` (CLIP, SigLIP); the pooler's output, if the weights have the pooler
    (ViT, DINOv2); the [CLS] token (TimeSformer); the mean of the tokens (VideoMAE).
    """

    def __init__(self, model: nn.Module, *, is_video: bool, has_pooler: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.is_video = is_video
        self.has_pooler = has_pooler
        self.has_cls = any(name.endswith("cls_token") for name, _ in model.named_parameters())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """One vector a picture or clip."""
        pixels = pixels.transpose(1, 2) if self.is_video else pixels
        if hasattr(self.model, "get_image_features"):
            return cast(torch.Tensor, self.model.get_image_features(pixel_values=pixels).pooler_output)
        output = self.model(pixel_values=pixels)
        if self.has_pooler and output.get("pooler_output") is not None:
            return cast(torch.Tensor, output.pooler_output).flatten(1)
        tokens = cast(torch.Tensor, output.last_hidden_state)
        return tokens[:, 0] if self.has_cls else tokens.mean(1)
