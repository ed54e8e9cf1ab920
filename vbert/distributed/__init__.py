"""All that knows Ray: one module for each job, and what they share.

Takes a job's options; gives its summary. Promises that no feature passes through the driver, and that a job
may be killed anywhere.
"""
