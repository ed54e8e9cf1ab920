"""Drop all rows of one featurizer, one visual vocabulary or one recogniser.

ray job submit --address $RAY --working-dir . -- python jobs/drop.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("drop")
