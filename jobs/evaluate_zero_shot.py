"""Tell what labelled clips show with a model that has seen no label, against baselines that see no video.

ray job submit --address $RAY --working-dir . -- python jobs/evaluate_zero_shot.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("evaluate_zero_shot")
