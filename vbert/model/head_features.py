"""What heads see of clips beside tokens: their continuous features, and how those are standardised."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

HeadInput = Literal["fused", "tokens", "features"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over vectors: how many there are, and float64 [F] of them and of their squares."""

    count: int
    sums: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> "Moments":
        """Of [n, F]."""
        exact = vectors.astype(np.float64)
        return cls(count=len(exact), sums=exact.sum(0), squares=np.square(exact).sum(0))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            count=self.count + other.count,
            sums=self.sums + other.sums,
            squares=self.squares + other.squares,
        )


@dataclass(frozen=True, kw_only=True)
class HeadFeatures:
    """What a new model's heads are to see, and of features the mean and the scale, float32 [F] each."""

    kind: HeadInput = "tokens"
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def standardised(cls, kind: HeadInput, moments: Moments) -> "HeadFeatures":
        """As scikit-learn's StandardScaler: what does not vary has the scale 1."""
        count = max(1, moments.count)
        mean = moments.sums / count
        deviation = np.sqrt(np.maximum(moments.squares / count - np.square(mean), 0))
        # Where all values are the same, what is left is rounding.
        scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6), deviation, 1.0)
        return cls(kind=kind, mean=mean.astype(np.float32), scale=scale.astype(np.float32))

    @classmethod
    def from_json(cls, kind: HeadInput, saved: Mapping[str, Any]) -> "HeadFeatures":
        """Of `to_json`."""
        return cls(kind=kind, **{name: np.array(values, np.float32) for name, values in saved.items()})

    def to_json(self) -> dict[str, list[float]]:
        """Mean and scale."""
        assert self.mean is not None, "tokens have none"
        assert self.scale is not None, "tokens have none"
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    def model_changes(self) -> dict[str, Any]:
        """Of the encoder's configuration."""
        return {
            "head_features": self.kind,
            "head_feature_dim": None if self.mean is None else len(self.mean),
        }

    def standardise(self, model: Any) -> None:
        """Give the mean and the scale to a model of this configuration."""
        if self.kind != "tokens":
            clips = model.bert.clip_features
            clips.mean.copy_(torch.from_numpy(self.mean))
            clips.scale.copy_(torch.from_numpy(self.scale))


TOKENS_ALONE = HeadFeatures()


def sum_of(moments: Iterable[Moments]) -> Moments | None:
    """Of all of them; None, if there are none."""
    total: Moments | None = None
    for one in moments:
        total = one if total is None else total + one
    return total


def head_input_of(config: Mapping[str, Any]) -> HeadInput:
    """Of a model's config.json; models of before have none, and see tokens."""
    encoder: Mapping[str, Any] = config.get("encoder", config)
    found: HeadInput = encoder.get("head_features", "tokens")
    return found
