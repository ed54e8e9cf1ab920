"""Write down what is said in videos that have no transcript, by speech recognition.

ray job submit --address $RAY --working-dir . -- python jobs/transcribe.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("transcribe")
