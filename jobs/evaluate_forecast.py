"""Tell which clip comes next in videos that a pretrained model has not seen, against two baselines.

ray job submit --address $RAY --working-dir . -- python jobs/evaluate_forecast.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("evaluate_forecast")
