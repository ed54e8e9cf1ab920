"""What people would say of the rendered videos: the annotations that the demo's tasks learn from.

    python -m demo.annotations --corpus demo-output/corpus

Reads manifest.csv, writes annotations.jsonl. The videos that pretraining holds out are the test split.
"""

import argparse
import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo.foods import OBJECTS
from demo.scenes import VERBS

VALIDATION_SHARE = 0.1
NUM_OPTIONS = 4
# How much the one who rates the steps likes each: what a summary of a video is to hold.
IMPORTANCE = {verb: (number + 1) / len(VERBS) for number, verb in enumerate(VERBS)}
CAPTIONS = ("{verb} the {object}", "the cook will {verb} the {object} on the board")


def main() -> None:
    """Parse, write, say where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="folder that demo.render_corpus wrote")
    corpus: Path = parser.parse_args().corpus
    rows = [row for video in videos_of(corpus) for row in annotations_of(video)]
    (corpus / "annotations.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    print(f"{len(rows)} annotations in {corpus / 'annotations.jsonl'}")


def videos_of(corpus: Path) -> Iterator[dict[str, Any]]:
    """Rows of the manifest, the steps parsed."""
    with (corpus / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            yield {**row, "steps": json.loads(row["steps"])}


def annotations_of(video: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each step: its verb and object as labels, two captions, how important it is, and three questions."""
    chance = random.Random(video["video_id"])
    split = "test" if video["split"] == "heldout" else "train"
    if split == "train" and chance.random() < VALIDATION_SHARE:
        split = "validation"
    about = {"video_id": video["video_id"], "split": split}
    first = video["steps"][0]["start"]
    yield about | {"start_seconds": 0.0, "end_seconds": first, "importance": 0.05}
    for step in video["steps"]:
        verb, thing = step["verb"], step["object"]
        here = about | {"start_seconds": step["start"], "end_seconds": step["end"]}
        captions = [caption.format(verb=verb, object=thing) for caption in CAPTIONS]
        yield here | {"labels": [verb, thing], "captions": captions, "importance": IMPORTANCE[verb]}
        what = {"question": "which food is on the board ?", "question_type": "object", "answer": thing}
        done = {
            "question": f"what is done to the {thing} ?",
            "question_type": "verb",
            "answer": verb,
        }
        yield here | what
        yield here | done
        others = [other for other in OBJECTS if other != thing]
        options = [*chance.sample(others, NUM_OPTIONS - 1), thing]
        chance.shuffle(options)
        yield here | {**what, "options": options}


if __name__ == "__main__":
    main()
