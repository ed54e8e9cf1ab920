"""A network of torch made into a graph for a CPU, and proved: its outputs are those of torch."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vbert.errors import one_line
from vbert.features.cpu_inference import Graph, compile_graph

# The largest difference from the eager outputs, as a share of their largest value. Rounding makes 1e-6.
MAX_RELATIVE_ERROR = 1e-3


class ExportError(Exception):
    """A network that torch cannot export or OpenVINO cannot compile, or whose outputs would be off."""


def export_graph(network: nn.Module, *examples: torch.Tensor) -> Graph:
    """`network`, for inputs of just the examples' shapes and dtypes. Raises ExportError."""
    with torch.inference_mode():
        expected = network(*examples)
    try:
        graph = _exported(network, *examples)
        run = compile_graph(graph, num_threads=torch.get_num_threads())
        outputs = torch.from_numpy(run(*(example.numpy() for example in examples)))
    except Exception as error:  # two compilers, over whatever network a user names
        raise ExportError(one_line(error)) from error
    off = float((outputs - expected).abs().max() / expected.abs().max())
    if not off <= MAX_RELATIVE_ERROR:
        raise ExportError(f"its outputs would be off by {off:.1g}")
    return graph


def _exported(network: nn.Module, *examples: torch.Tensor) -> Graph:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    # Not openvino.convert_model, which does the same and tells its makers that it was called.
    front_end = FrontEndManager().load_by_framework("pytorch")
    with _log_disabled():
        program = TorchFXPythonDecoder.from_exported_program(torch.export.export(network, examples))
    model = front_end.convert(front_end.load(program))
    with tempfile.TemporaryDirectory() as folder:
        structure, weights = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(model, structure, weights)
        return Graph(structure.read_bytes(), np.fromfile(weights, np.uint8))


@contextmanager
def _log_disabled() -> Iterator[None]:
    """The exporter warns of decompositions, by name and stack, that a newer torch has no more."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
