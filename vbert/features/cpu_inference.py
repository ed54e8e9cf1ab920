"""Graphs that `cpu_export` made, run by OpenVINO: 2 to 4 times torch's eager rate on a core (BENCHMARKS.md).

An actor that has them needs no torch, which is 3 s of its start and 0.5 GB of its memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Run = Callable[..., np.ndarray]

# In float32, where OpenVINO may prefer bfloat16; and not pinned to cores, since workers that know nothing of
# each other would all take the first ones.
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network of arrays of just these shapes to one array, in OpenVINO's intermediate representation.

    It travels between processes: Ray keeps the uint8 `weights` in shared memory, once a node.
    """

    structure: bytes
    weights: np.ndarray


def compile_graph(graph: Graph, *, num_threads: int) -> Run:
    """The network as a function of its arrays; the same arrays give the same bits."""
    import openvino

    core = openvino.Core()
    # A copy: what compiling leaves of the graph may go on to read the weights.
    model = core.read_model(graph.structure, openvino.Tensor(np.array(graph.weights)))
    options: dict[str, Any] = {**OPTIONS, "INFERENCE_NUM_THREADS": num_threads}
    compiled = core.compile_model(model, "CPU", options)

    def run(*arrays: np.ndarray) -> np.ndarray:
        result: np.ndarray = compiled([np.ascontiguousarray(array) for array in arrays])[0]
        return result

    return run
