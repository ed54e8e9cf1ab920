"""The raw collection: which videos there are, and what has changed.

Takes a folder, glob, manifest or bucket; gives videos with their fingerprints and transcripts, and what of
them the ledger does not have yet. Promises the same ids and order whoever lists.
"""
