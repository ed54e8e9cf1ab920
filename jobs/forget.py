"""Remove every trace of some videos from the tables, older versions included, and keep them out.

ray job submit --address $RAY --working-dir . -- python jobs/forget.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("forget")
