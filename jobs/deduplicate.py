"""Find videos that show the same, so that none is trained on that another is validated with.

ray job submit --address $RAY --working-dir . -- python jobs/deduplicate.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("deduplicate")
