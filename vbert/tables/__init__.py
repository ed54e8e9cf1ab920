"""Delta Lake tables: what is in them, how they are read, and how they are committed to.

Takes Arrow tables; gives files, versions and rows. Promises that a commit is there once and whole, or not
at all. No other folder knows Delta.
"""
