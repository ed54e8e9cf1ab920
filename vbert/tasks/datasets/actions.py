"""Clips and videos with the names of actions: Kinetics (Kay et al. 2017), UCF101 (Soomro et al. 2012), HMDB51
(Kuehne et al. 2011), Something-Something v2 (Goyal et al. 2017) and Charades (Sigurdsson et al. 2016)."""

import re

from vbert.errors import UserError
from vbert.tasks.datasets.authors_files import (
    Rows,
    field,
    folder_of,
    held_out,
    listed,
    matched_lines,
    present,
    read_columns,
    read_json,
    span,
    split_called,
)

HMDB51_SPLITS = {"1": "train", "2": "test"}  # 0: neither


def kinetics(source: str) -> Rows:
    """train.csv, or a folder with it, validate.csv (val.csv) and test.csv of Kinetics-400, -600 or -700: the
    action of each clip.

    Clips are named `---QUuC4vJs_000084_000094`: YouTube's id and the seconds of begin and end, as the script
    that the authors name for downloading has them. Clips without a label, as in some tests, are left out.
    """
    names = ("train.csv", "validate.csv", "val.csv", "test.csv")
    files = [source] if source.endswith(".csv") else present(folder_of(source), *names)
    if not files:
        raise UserError(f"{source}: has no train.csv, validate.csv, val.csv or test.csv of Kinetics")
    for uri in files:
        for where, row in read_columns(
            uri, "youtube_id", "time_start", "time_end", "split", optional=("label",)
        ):
            if row["label"]:
                times = span((row["time_start"], row["time_end"]), where)
                start, end = (round(seconds) for seconds in times.values())
                yield {
                    "video_id": f"{row['youtube_id']}_{start:06d}_{end:06d}",
                    "split": split_called(row["split"], where),
                    "labels": [row["label"]],
                }


def ucf101(source: str) -> Rows:
    """The folder ucfTrainTestlist with trainlist01.txt and testlist01.txt: the action of each clip.

    The first of the three splits, unless `source` is a file of another, such as testlist02.txt. Of the groups
    of training clips, each cut from one recording, a tenth is held out for validation.
    """
    number = _split_number(source, r".*list0([123])\.txt")
    pattern = r"(?P<action>\w+)/(?P<clip>v_\w+_(?P<group>g\d+)_c\d+)\.avi( \d+)?"
    for split in ("train", "test"):
        uri = f"{folder_of(source)}/{split}list0{number}.txt"
        for _, match in matched_lines(uri, pattern, kind="clip of UCF101"):
            yield {
                "video_id": match["clip"],
                "split": held_out(split, f"{match['action']} {match['group']}"),
                "labels": [match["action"]],
            }


def hmdb51(source: str) -> Rows:
    """The folder testTrainMulti_7030_splits with brush_hair_test_split1.txt and the like: the action of each
    clip.

    The first of the three splits, unless `source` is a file of another. Of the groups of training clips, each
    cut from one film, a tenth is held out for validation.
    """
    number = _split_number(source, r".*_test_split([123])\.txt")
    ending = f"_test_split{number}.txt"
    files = [uri for uri in listed(folder_of(source)) if uri.endswith(ending)]
    if not files:
        raise UserError(f"{source}: has no *{ending} of HMDB51")
    for uri in files:
        action = uri.rsplit("/", 1)[-1].removesuffix(ending)
        for _, match in matched_lines(uri, r"(?P<clip>.+)\.avi\s+(?P<part>[012])", kind="clip of HMDB51"):
            if match["part"] in HMDB51_SPLITS:
                film = match["clip"].partition(f"_{action}_")[0]
                split = held_out(HMDB51_SPLITS[match["part"]], film)
                yield {"video_id": match["clip"], "split": split, "labels": [action]}


def _split_number(source: str, pattern: str) -> str:
    match = re.fullmatch(pattern, source)
    return match[1] if match else "1"


def something_something_v2(source: str) -> Rows:
    """A folder with something-something-v2-train.json and -validation.json, or without that prefix: each
    clip's template without its brackets as its label, and with the objects' names as its caption. With
    test-answers.csv there, the labels of the test."""
    folder = folder_of(source)
    files = {
        split: present(folder, f"something-something-v2-{split}.json", f"{split}.json")[:1]
        for split in ("train", "validation")
    }
    if not any(files.values()):
        raise UserError(f"{source}: has no something-something-v2-train.json, train.json or validation.json")
    for split, uris in files.items():
        for uri in uris:
            yield from _something_clips(uri, split)
    for uri in present(folder, "test-answers.csv"):
        for _, match in matched_lines(uri, r"(\d+);(.+)", kind="clip and label"):
            yield {"video_id": match[1], "split": "test", "labels": [match[2]]}


def _something_clips(uri: str, split: str) -> Rows:
    for at, clip in enumerate(read_json(uri)):
        where = f"{uri}: [{at}]"
        yield {
            "video_id": field(clip, "id", where),
            "split": split,
            "labels": [field(clip, "template", where).replace("[", "").replace("]", "")],
            "captions": [field(clip, "label", where)],
        }


def charades(source: str) -> Rows:
    """A folder with Charades_v1_train.csv, Charades_v1_test.csv and Charades_v1_classes.txt: each action's
    interval and class, and the descriptions of each whole video as its captions. Of the training videos a
    tenth is held out for validation."""
    folder = folder_of(source)
    files = present(folder, "Charades_v1_train.csv", "Charades_v1_test.csv")
    if not files:
        raise UserError(f"{source}: has no Charades_v1_train.csv or Charades_v1_test.csv")
    lines = matched_lines(f"{folder}/Charades_v1_classes.txt", r"(c\d+) (.+)", kind="class of Charades")
    classes = {match[1]: match[2] for _, match in lines}
    for uri in files:
        split = "train" if uri.endswith("_train.csv") else "test"
        for where, row in read_columns(uri, "id", optional=("descriptions", "actions")):
            mine = {"video_id": row["id"], "split": held_out(split, row["id"])}
            captions = [text.strip() for text in (row["descriptions"] or "").split(";") if text.strip()]
            if captions:
                yield {**mine, "captions": captions}
            for action in filter(None, (row["actions"] or "").split(";")):
                number, _, times = action.partition(" ")
                if number not in classes:
                    raise UserError(f"{where}: {number!r} is no class of Charades_v1_classes.txt")
                yield {**mine, **span(times.split(), where), "labels": [classes[number]]}
