"""Pretrain VideoBERT on documents: Ray Train on the GPUs of the cluster, or on its CPUs.

ray job submit --address $RAY --working-dir . -- python jobs/pretrain.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("pretrain")
