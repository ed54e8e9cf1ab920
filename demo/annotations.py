"""What people would say of the rendered videos: the annotations that the demo's tasks learn from.

    python -m demo.annotations --corpus demo-output/corpus

Reads manifest.csv, writes annotations.jsonl, and order.jsonl: what comes first in two steps. The videos that
pretraining holds out are the test split.
"""

import argparse
import csv
import json
import random
from collections.abc import Iterator
from itertools import pairwise
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
    videos = list(videos_of(corpus))
    for name, annotate in (("annotations", annotations_of), ("order", orders_of)):
        rows = [row for video in videos for row in annotate(video)]
        file = corpus / f"{name}.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        print(f"{len(rows)} annotations in {file}")


def videos_of(corpus: Path) -> Iterator[dict[str, Any]]:
    """Rows of the manifest, the steps parsed."""
    with (corpus / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            yield {**row, "steps": json.loads(row["steps"])}


def annotations_of(video: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each step: its verb and object as labels, two captions, how important it is, and three questions."""
    chance = random.Random(video["video_id"])
    about = _video_and_split(video)
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


def orders_of(video: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each two steps that follow each other: the verb of the first. What is in them does not tell."""
    for first, second in pairwise(video["steps"]):
        times = {"start_seconds": first["start"], "end_seconds": second["end"]}
        yield _video_and_split(video) | times | {"labels": [f"{first['verb']} first"]}


def _video_and_split(video: dict[str, Any]) -> dict[str, Any]:
    split = "test" if video["split"] == "heldout" else "train"
    if split == "train" and random.Random(f"split {video['video_id']}").random() < VALIDATION_SHARE:
        split = "validation"
    return {"video_id": video["video_id"], "split": split}


if __name__ == "__main__":
    main()
