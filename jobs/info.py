"""Say what is in the tables: versions, partitions, sizes, failures by reason, mixtures of provenance.

ray job submit --address $RAY --working-dir . -- python jobs/info.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("info")
