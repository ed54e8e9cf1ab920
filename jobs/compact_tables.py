"""Join small files into shards of 128-512 MB and delete what no recent version names.

ray job submit --address $RAY --working-dir . -- python jobs/compact_tables.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("compact_tables")
