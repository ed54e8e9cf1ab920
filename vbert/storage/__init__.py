"""Files and URLs, and small tables that users write.

Takes paths and URLs of any store that fsspec knows; gives file systems, whole files and columns. Promises
that a file is written whole or not at all, and that what a store refuses for a moment is asked for again.
"""
