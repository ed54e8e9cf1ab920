"""The visual vocabulary: a sample of clips, hierarchical k-means, the nearest leaf.

Takes feature vectors; gives visual tokens, 0 to branching^depth - 1. Promises the same sample whoever draws
it, and a vocabulary named by its content.
"""
