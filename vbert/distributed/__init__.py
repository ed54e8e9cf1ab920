"""All that knows Ray: one module for each job, and what they share.

Takes a job's options; gives its summary. Promises that no feature passes through the driver, and that a job
may be killed anywhere.
"""

import atexit
import gc

# What a job and its workers import are half a million objects that stay as long as they do. Python's
# collector would look through them again and again while they come, and twice more at the end: 2.7 of the
# 7.1 s of a process that imports torch, transformers and Ray Train, and ends.
if gc.get_threshold()[0] < 10_000:
    gc.set_threshold(10_000, 10, 10)
atexit.register(gc.freeze)
