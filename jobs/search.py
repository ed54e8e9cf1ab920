"""Find clips in a whole corpus: by a text and a model, or by an example and no model.

ray job submit --address $RAY --working-dir . -- python jobs/search.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("search")
