"""A backbone's graphs, kept from one run to the next: to make them takes most of a small job's start.

They lie in the user's cache folder, and beside the tables, where a machine that comes and goes finds what
another has made; as OpenVINO's own files and not as pickles. Their folder is named by all that decides them.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from vbert.errors import UserError
from vbert.features.backbones import find_backbone
from vbert.features.cpu_inference import Graph
from vbert.features.featurizer import FeaturizerGraphs
from vbert.features.featurizer_config import FeaturizerConfig, clip_spec
from vbert.storage.files import filesystem_of, write_file, write_json
from vbert.tables.schemas import short_hash

# Raise it when the same backbone makes other graphs.
GRAPHS_VERSION = 1
FOLDER = "graphs"
FACTS = "graphs.json"  # written last: where it is, the others are
PARTS = ("planar_pixels", "packed_pixels", "trunk")
PACKAGES = ("torch", "torchvision", "transformers", "openvino")  # what makes graphs, and what runs them

logger = logging.getLogger(__name__)


def cache_folder() -> str:
    """Where this user's programs keep what they can make again (XDG base directories)."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return str(Path(root, "vbert", FOLDER))


def read_graphs(config: FeaturizerConfig, place: str) -> FeaturizerGraphs | None:
    """What `keep_graphs` left there; None where there is nothing, or something damaged."""
    filesystem, folder = filesystem_of(f"{place}/{_name(config)}")
    try:
        facts = json.loads(filesystem.cat_file(f"{folder}/{FACTS}"))
        graphs = {}
        for part in PARTS:
            structure, weights = (filesystem.cat_file(f"{folder}/{part}.{end}") for end in ("xml", "bin"))
            if facts["sha256"][part] != _hash(structure, weights):
                return None
            graphs[part] = Graph(structure, np.frombuffer(weights, np.uint8))
        spec, feature_dim = clip_spec(config), int(facts["feature_dim"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, not JSON, not ours
        return None
    return FeaturizerGraphs(backbone=config.backbone, spec=spec, feature_dim=feature_dim, **graphs)


def keep_graphs(graphs: FeaturizerGraphs, config: FeaturizerConfig, place: str) -> None:
    """Write them; a place that cannot be written is left alone, since all goes well without."""
    uri = f"{place}/{_name(config)}"
    try:
        for name, content in _files(graphs):
            write_file(f"{uri}/{name}", content)
        hashes = {part: _hash(graph.structure, graph.weights.tobytes()) for part, graph in _parts(graphs)}
        write_json(f"{uri}/{FACTS}", {"feature_dim": graphs.feature_dim, "sha256": hashes})
    except (OSError, UserError) as error:
        logger.info("%s: graphs are not kept there: %s", place, error)


def _name(config: FeaturizerConfig) -> str:
    """Of all that decides graphs: what a featurizer sees, by which weights, and who makes and runs them."""
    backbone = find_backbone(config.backbone, config.weights)
    wants = backbone.input()
    decides = {
        "version": GRAPHS_VERSION,
        "backbone": config.backbone,
        "weights": backbone.weights_identity(),
        "clips": asdict(clip_spec(config)),
        "mean": wants.mean,
        "std": wants.std,
        "packages": {package: version(package) for package in PACKAGES},
    }
    return short_hash(json.dumps(decides, sort_keys=True))


def _parts(graphs: FeaturizerGraphs) -> Iterator[tuple[str, Graph]]:
    for part in PARTS:
        yield part, getattr(graphs, part)


def _files(graphs: FeaturizerGraphs) -> Iterator[tuple[str, bytes]]:
    for part, graph in _parts(graphs):
        yield f"{part}.xml", graph.structure
        yield f"{part}.bin", graph.weights.tobytes()


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
