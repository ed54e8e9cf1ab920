"""Write one HTML page about a corpus and its model: visual words, documents, curves, metrics, failures.

ray job submit --address $RAY --working-dir . -- python jobs/report.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("report")
