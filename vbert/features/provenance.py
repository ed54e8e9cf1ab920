"""What features are made with: another library, device or release may change their last bits."""

import platform
from importlib.metadata import version

from vbert.features.featurizer import Featurizer


def provenance_of(featurizer: Featurizer) -> dict[str, str]:
    """The device, and the versions of what decodes and computes: a line in the metadata of each file."""
    packages = ("vbert", "av", *featurizer.packages)
    return {"device": f"{featurizer.device}, {platform.machine()}"} | {
        name: version(name) for name in packages
    }
