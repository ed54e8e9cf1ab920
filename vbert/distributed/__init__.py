"""All that knows Ray: one module for each job, and what they share.

Takes a job's options; gives its summary. Promises that no feature passes through the driver, and that a job
may be killed anywhere.
"""

import atexit
import gc
import sys

# What a job and its workers import are half a million objects that stay as long as they do. Python's
# collector would look through them again and again while they come, and twice more at the end: 2.2 of the
# 6.3 s of a worker that imports torch, transformers and Ray Train, and ends.
if gc.get_threshold()[0] < 10_000:
    gc.set_threshold(10_000, 10, 10)
_ray = sys.modules.get("ray")
# Not in a driver: DuckDB, which it imports, tells at the end of all that is still there.
if _ray is not None and _ray._private.worker.global_worker.mode == _ray.WORKER_MODE:
    atexit.register(gc.freeze)
