"""All of a video in time order; sequences made of it, packed; the order in which training meets them.

Takes tokens and sentences; gives documents and micro-batches. Promises the same batches for any number of
workers.
"""
