"""A frozen network compiled for a CPU by OpenVINO: 2 to 4 times its eager rate on a core (BENCHMARKS.md)."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vbert.weights import one_line

Inference = Callable[[torch.Tensor], torch.Tensor]

# The largest difference from the eager outputs, as a share of their largest value. Rounding makes 1e-6.
MAX_RELATIVE_ERROR = 1e-3

# In float32, where OpenVINO may prefer bfloat16; and not pinned to cores, since workers that know nothing of
# each other would all take the first ones.
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}

logger = logging.getLogger(__name__)


def compile_network(network: nn.Module, example: torch.Tensor) -> Inference:
    """`network`, of one float32 tensor to one, for inputs of just the example's shape.

    Runs on as many threads as torch has now; the same inputs give the same bits. A network that torch cannot
    export or OpenVINO cannot compile, or whose outputs on the example would be off, comes back as it is, and
    the log says why.
    """
    with torch.inference_mode():
        expected = network(example)
    try:
        run = _compiled(network, example)
        error = float((run(example) - expected).abs().max() / expected.abs().max())
    except Exception as problem:  # noqa: BLE001 - two compilers, over whatever network a user names
        why = one_line(problem)
    else:
        if error <= MAX_RELATIVE_ERROR:
            return run
        why = f"its outputs would be off by {error:.1g}"
    logger.warning("the backbone runs without OpenVINO, two to four times slower: %s", why)
    return network


def _compiled(network: nn.Module, example: torch.Tensor) -> Inference:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    # Not openvino.convert_model, which does the same and tells its makers that it was called.
    front_end = FrontEndManager().load_by_framework("pytorch")
    with _log_disabled():
        program = TorchFXPythonDecoder.from_exported_program(torch.export.export(network, (example,)))
    options: dict[str, Any] = {**OPTIONS, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(front_end.convert(front_end.load(program)), "CPU", options)

    def run(inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(compiled(inputs.contiguous().numpy())[0])

    return run


@contextmanager
def _log_disabled() -> Iterator[None]:
    """The exporter warns of decompositions, by name and stack, that a newer torch has no more."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
