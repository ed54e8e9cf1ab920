"""Find videos for texts and texts for videos with a pretrained model, against baselines.

ray job submit --address $RAY --working-dir . -- python jobs/evaluate_retrieval.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("evaluate_retrieval")
