"""What a model is asked: annotations and data sets, the heads' tasks, metrics against baselines.

Takes annotations and documents; gives examples, answers and metrics with their margins over the baselines.
"""
