"""Turn features and transcripts into documents, the training shards: table `documents`.

ray job submit --address $RAY --working-dir . -- python jobs/build_documents.py --help
"""

from vbert.console import run_command

if __name__ == "__main__":
    run_command("build_documents")
