"""Ask a fine-tuned model about videos, and tell how right it is where the answers are known.

ray job submit --address $RAY --working-dir . -- python jobs/predict.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("predict")
