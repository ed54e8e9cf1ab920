"""What a model is asked: annotations and data sets, the heads' tasks, metrics against baselines.

Takes annotations and documents; gives examples, answers and metrics with their margins over the baselines.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Task", "TaskOptions"],
        "pipeline": ["VideoPipeline"],
        "registry": ["TASKS"],
    },
)
