"""The step over a global batch, whatever is trained: objective, optimiser, parallelism, checkpoints, metrics.

Takes a model and micro-batches; gives losses and checkpoints. Promises losses that do not hang on the
number of workers.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoints": ["load_pretrained"],
        "objective": ["train_step"],
        "optimization": ["OptimizerConfig"],
    },
)
