"""A run's backbone: its graphs as an earlier run kept them, or made in a process of its own, which gives back
what torch takes of memory.

Weights that do not fit stop a job before anything is written, and graphs are made while Ray starts.
"""

import logging
import socket
from typing import Any

from vbert.features.featurizer import NO_GRAPHS, FeaturizerGraphs
from vbert.features.featurizer_config import FeaturizerConfig
from vbert.features.kept_graphs import FOLDER, cache_folder, keep_graphs, read_graphs
from vbert.video.child_process import Child, ChildLost, receive, send

logger = logging.getLogger(__name__)


class BackboneGraphs:
    """The graphs of a run's backbone: an earlier run's, or made in a process while the driver goes on."""

    def __init__(self, config: FeaturizerConfig, *, tables: str) -> None:
        """Raises UserError for weights that are not there or do not fit."""
        self._config = config
        self._found: FeaturizerGraphs | None = None
        self._missing: list[str] = []
        for place in (cache_folder(), f"{tables.rstrip('/')}/{FOLDER}"):
            self._found = read_graphs(config, place)
            if self._found is not None:
                break
            self._missing.append(place)
        self._process = BackboneProcess(config) if self._found is None else None

    def get(self) -> FeaturizerGraphs | None:
        """What CPUs run, kept for the next run; waits until it is made. None: the network has no graphs."""
        if self._process is not None:
            self._found = self._process.graphs()
        if self._found is not None:
            for place in self._missing:
                keep_graphs(self._found, self._config, place)
        return self._found

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.close()


class BackboneProcess:
    """The process, from the first look at the weights to the graphs. It ends with this object or process."""

    def __init__(self, config: FeaturizerConfig) -> None:
        """Raises UserError for weights that are not there or do not fit."""
        self._config = config
        self._child = Child("backbone", "vbert.features.backbone_process")
        self._child.send(config)
        refused = self._receive()
        if refused is not None:
            self.close()
            raise refused

    def graphs(self) -> FeaturizerGraphs | None:
        """What CPUs run; waits for it, and ends the process. None where the network has no graphs: then the
        log says why."""
        graphs: FeaturizerGraphs | None
        graphs, reason = self._receive()
        self.close()
        if graphs is None:
            logger.warning(NO_GRAPHS, self._config.backbone, reason)
        return graphs

    def close(self) -> None:
        """End the process."""
        self._child.end()

    def _receive(self) -> Any:
        try:
            return self._child.receive()
        except ChildLost as lost:
            raise RuntimeError(f"{lost}; what it said is above") from lost


def serve(connection: socket.socket) -> None:
    """In the process: take the options, send None or why they are refused, then the graphs or why there are
    none."""
    config = receive(connection)

    from vbert.errors import UserError
    from vbert.features.cpu_export import ExportError
    from vbert.features.torch_featurizer import TorchFeaturizer

    try:
        featurizer = TorchFeaturizer(config, device="cpu")
    except (UserError, OSError) as error:
        send(connection, error)
        return
    send(connection, None)
    try:
        send(connection, (featurizer.graphs(), None))
    except ExportError as error:
        send(connection, (None, str(error)))
