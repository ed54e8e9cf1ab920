"""What is computed of a model in one graph, and what is computed twice."""

from typing import Any

from torch import nn

from vbert.training.optimization import Strategy


def compile_model(model: nn.Module, strategy: Strategy, *, layers: nn.ModuleList) -> None:
    """Have torch.compile make one graph of the forward pass with its losses, and one of the backward pass.

    Of FSDP's, which exchanges weights in between, the graphs are a layer's.
    """
    for module in layers if strategy == "fsdp" else [model]:
        module.compile()


def checkpoint_activations(model: Any) -> None:
    """Have a Hugging Face model compute its layers' activations again in the backward pass."""
    model.activation_checkpointing_enable()
    model.config.use_cache = False  # of no meaning to an encoder; but a warning of it would cut the graph
