"""The demo: a corpus that is drawn, and the whole job on it."""
