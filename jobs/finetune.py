"""Fine-tune a pretrained model for a task.

ray job submit --address $RAY --working-dir . -- python jobs/finetune.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("finetune")
