"""Decode and featurize every video that is new or has changed: tables `videos` and `features`.

ray job submit --address $RAY --working-dir . -- python jobs/featurize.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("featurize")
