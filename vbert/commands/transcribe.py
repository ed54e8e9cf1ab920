"""Write down what is said in videos that have no transcript, by speech recognition.

vbert transcribe --tables tables/ --recognizer whisper:openai/whisper-small
"""

from vbert.distributed.transcribe import TranscribeConfig, transcribe
from vbert.errors import OK, SOME_FAILED
from vbert.progress import duration_text, print_summary

SHOWN_FAILURES = 5


def main(config: TranscribeConfig) -> int:
    """Run the job and say what it did."""
    summary = transcribe(config)
    print_summary(
        f"transcribe: {summary.recognizer}",
        {
            "with speech": summary.num_spoken,
            "without": summary.num_silent,
            "unchanged": summary.num_unchanged,
            "failed": summary.num_failed,
            "sentences": f"{summary.num_sentences:,}",
            "time": duration_text(summary.seconds),
            "for documents": f"build_documents --recognizer {config.recognizer}",
        },
    )
    for text in summary.failures[:SHOWN_FAILURES]:
        print(f"  {text}")
    return SOME_FAILED if summary.num_failed else OK
