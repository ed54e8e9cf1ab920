"""Videos that show how something is done, and their steps: YouCook2 (youcook2.eecs.umich.edu), HowTo100M's
README (Miech et al. 2019), COIN (github.com/coin-dataset/annotations), CrossTask
(github.com/DmZhukov/CrossTask) and EPIC-KITCHENS-100 (github.com/epic-kitchens)."""

import re
from collections.abc import Mapping
from typing import Any

from vbert.errors import UserError
from vbert.tasks.annotations import split_of
from vbert.tasks.datasets.authors_files import (
    Rows,
    clock_seconds,
    content_of,
    exists,
    field,
    folder_of,
    held_out,
    listed,
    matched_lines,
    present,
    read_columns,
    read_lines,
    span,
    split_called,
)


def youcook2(source: str) -> Rows:
    """youcookii_annotations_trainval.json, or a folder with it and label_foodtype.csv: each segment's
    sentence, and the recipe as its label. The test videos' sentences were never published."""
    uri, database = content_of(source, "youcookii_annotations_trainval.json", key="database")
    recipes = _recipes(f"{folder_of(source)}/label_foodtype.csv")
    for video_id, video in database.items():
        where = f"{uri}: database[{video_id!r}]"
        recipe = str(field(video, "recipe_type", where))
        for number, entry in enumerate(field(video, "annotations", where)):
            here = f"{where}.annotations[{number}]"
            yield {
                "video_id": video_id,
                "split": split_called(field(video, "subset", where), where),
                **span(field(entry, "segment", here), f"{here}.segment"),
                "labels": [recipes.get(recipe, recipe)],
                "captions": [str(field(entry, "sentence", here)).strip()],
            }


def _recipes(uri: str) -> dict[str, str]:
    """Numbers of recipes and their names; none if the file is not there. It has no header."""
    if not exists(uri):
        return {}
    pairs = (line.split(",", 1) for _, line in read_lines(uri) if "," in line)
    return {number.strip(): name.strip() for number, name in pairs}


def howto100m(source: str) -> Rows:
    """HowTo100M_v1.csv: the WikiHow categories of each video, the wider and the narrower, as two labels.

    There are no official splits: videos are dealt out by a hash. Captions go to build_documents.
    """
    uri = source if source.endswith(".csv") else f"{source.rstrip('/')}/HowTo100M_v1.csv"
    for _, row in read_columns(uri, "video_id", optional=("category_1", "category_2")):
        labels = [row[name] for name in ("category_1", "category_2") if row[name]]
        yield {"video_id": row["video_id"], "split": split_of(row["video_id"]), "labels": labels}


def coin(source: str) -> Rows:
    """COIN.json: each interval's step. Of the training videos a tenth is held out for validation."""
    uri, database = content_of(source, "COIN.json", key="database")
    for video_id, video in database.items():
        where = f"{uri}: database[{video_id!r}]"
        split = held_out(split_called(field(video, "subset", where), where), video_id)
        for number, entry in enumerate(field(video, "annotation", where)):
            here = f"{where}.annotation[{number}]"
            yield {
                "video_id": video_id,
                "split": split,
                **span(field(entry, "segment", here), f"{here}.segment"),
                "labels": [field(entry, "label", here)],
            }


def crosstask(source: str) -> Rows:
    """The folder crosstask_release with tasks_primary.txt, videos_val.csv and annotations/: each interval's
    step. The authors have no test videos; all that are not for validation are for training."""
    folder = folder_of(source)
    steps = _steps(f"{folder}/tasks_primary.txt")
    validation = {
        (match["task"], match["video"])
        for _, match in matched_lines(
            f"{folder}/videos_val.csv", r"(?P<task>\d+),(?P<video>[^,]+),.*", kind="task, video and URL"
        )
    }
    for uri in listed(f"{folder}/annotations"):
        name = re.fullmatch(r".*/(?P<task>\d+)_(?P<video>[^/]+)\.csv", uri)
        if name is None or name["task"] not in steps:
            continue
        for where, match in matched_lines(uri, r"(\d+),([\d.]+),([\d.]+)", kind="step, start and end"):
            number, mine = int(match[1]), steps[name["task"]]
            if not 1 <= number <= len(mine):
                raise UserError(f"{where}: the task {name['task']} has {len(mine)} steps and no {number}")
            is_validation = (name["task"], name["video"]) in validation
            yield {
                "video_id": name["video"],
                "split": "validation" if is_validation else "train",
                **span(match.groups()[1:], where),
                "labels": [mine[number - 1]],
            }


def _steps(uri: str) -> dict[str, list[str]]:
    """The steps of each task: blocks of its number, title, URL, number of steps, and the steps."""
    lines = read_lines(uri)
    found = {}
    for at in range(0, len(lines), 5):
        where = lines[at][0]
        block = [line for _, line in lines[at : at + 5]]
        steps = block[-1].split(",")
        if len(block) < 5 or not block[0].isdecimal() or block[3] != str(len(steps)):
            raise UserError(f"{where}: is no task of CrossTask: number, title, URL, number of steps, steps")
        found[block[0]] = [step.strip() for step in steps]
    return found


def epic_kitchens_100(source: str) -> Rows:
    """A folder with EPIC_100_train.csv and EPIC_100_validation.csv: each action's narration, and as its label
    verb and noun (`open door`), which are those of their classes where EPIC_100_verb_classes.csv and
    EPIC_100_noun_classes.csv are there too. Test labels are withheld."""
    folder = folder_of(source)
    files = present(folder, "EPIC_100_train.csv", "EPIC_100_validation.csv")
    if not files:
        raise UserError(
            f"{source}: has no EPIC_100_train.csv or EPIC_100_validation.csv of EPIC-KITCHENS-100"
        )
    keys = {part: _class_keys(folder, part) for part in ("verb", "noun")}
    names = ("video_id", "start_timestamp", "stop_timestamp", "narration")
    classes = ("verb", "verb_class", "noun", "noun_class")
    for uri in files:
        for where, row in read_columns(uri, *names, *classes):
            action = [_class_name(row, part, keys[part]) for part in ("verb", "noun")]
            times = [clock_seconds(row[name], where) for name in ("start_timestamp", "stop_timestamp")]
            yield {
                "video_id": row["video_id"],
                "split": "train" if uri.endswith("_train.csv") else "validation",
                **span(times, where),
                "labels": [" ".join(action)],
                "captions": [row["narration"]],
            }


def _class_keys(folder: str, part: str) -> dict[str, str]:
    """Numbers of classes and their names; none if the file is not there."""
    files = present(folder, f"EPIC_100_{part}_classes.csv", f"EPIC_100_{part}_classes_v2.csv")
    return {row["id"]: row["key"] for uri in files for _, row in read_columns(uri, "id", "key")}


def _class_name(row: Mapping[str, Any], part: str, keys: Mapping[str, str]) -> str:
    return str(keys.get(row[f"{part}_class"], row[part]))
