"""Fit a visual vocabulary on a sample of the features table: `<tables>/vocabularies/<id>`.

ray job submit --address $RAY --working-dir . -- python jobs/fit_vocabulary.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("fit_vocabulary")
