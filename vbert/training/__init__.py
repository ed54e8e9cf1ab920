"""The step over a global batch, whatever is trained: objective, optimiser, parallelism, checkpoints, metrics.

Takes a model and micro-batches; gives losses and checkpoints. Promises losses that do not hang on the
number of workers.
"""
