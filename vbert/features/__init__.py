"""Clips to feature vectors: the frozen backbones, the plan of the work and its ledger.

Takes probed videos; gives rows of the tables `features` and `videos`. Promises that a featurizer's id names
all that decides a value, and that a failed segment is a row.
"""
