"""Data sets that people have: their authors' own files -> annotations, with the official splits.

Sources of the formats: YouCook2 (youcook2.eecs.umich.edu), ActivityNet 1.3 (activity-net.org), ActivityNet
Captions (Krishna et al. 2017), ActivityNet-QA (github.com/MILVLG/activitynet-qa), HowTo100M's README
(Miech et al. 2019) and MSR-VTT's readme (Xu et al. 2016).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from vbert.errors import UserError
from vbert.storage.files import filesystem_of, open_file
from vbert.storage.records import read_records, require
from vbert.tasks.annotations import ANNOTATIONS, read_records_of_ones_own, split_of

Rows = Iterable[dict[str, Any]]

MAX_SECONDS = 10_000 * 3600.0
# What the data sets call their splits.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
ACTIVITYNET_QA_TYPES = {
    0: "motion",
    1: "spatial relationship",
    2: "temporal relationship",
    3: "yes/no",
    4: "color",
    5: "object",
    6: "location",
    7: "number",
    8: "other",
}


def youcook2(source: str) -> Rows:
    """youcookii_annotations_trainval.json, or a folder with it and label_foodtype.csv: each segment's
    sentence, and the recipe as its label. The test videos' sentences were never published."""
    uri, database = _content(source, "youcookii_annotations_trainval.json", key="database")
    recipes = _recipes(source)
    for video_id, video in database.items():
        where = f"{uri}: database[{video_id!r}]"
        recipe = str(_field(video, "recipe_type", where))
        for number, entry in enumerate(_field(video, "annotations", where)):
            here = f"{where}.annotations[{number}]"
            yield {
                "video_id": video_id,
                "split": _split(_field(video, "subset", where), where),
                **_span(_field(entry, "segment", here), f"{here}.segment"),
                "labels": [recipes.get(recipe, recipe)],
                "captions": [str(_field(entry, "sentence", here)).strip()],
            }


def _recipes(source: str) -> dict[str, str]:
    """Numbers of recipes and their names; none if the file is not there. It has no header."""
    uri = f"{_folder(source)}/label_foodtype.csv"
    if not _exists(uri):
        return {}
    with open_file(uri) as file:
        lines = file.read().decode().splitlines()
    pairs = (line.split(",", 1) for line in lines if "," in line)
    return {number.strip(): name.strip() for number, name in pairs}


def activitynet(source: str) -> Rows:
    """activity_net.v1-3.min.json: each segment's activity. Test labels are withheld, and its videos left
    out."""
    uri, database = _content(source, "activity_net.v1-3.min.json", key="database")
    for video_id, video in database.items():
        where = f"{uri}: database[{video_id!r}]"
        for number, entry in enumerate(_field(video, "annotations", where)):
            here = f"{where}.annotations[{number}]"
            yield {
                "video_id": video_id,
                "split": _split(_field(video, "subset", where), where),
                **_span(_field(entry, "segment", here), f"{here}.segment"),
                "labels": [_field(entry, "label", here)],
            }


def activitynet_captions(source: str) -> Rows:
    """A folder with train.json, val_1.json and val_2.json: the sentence of each interval.

    Two people annotated each validation video, each with intervals of their own: both are kept as they are.
    """
    found = False
    for name, split in (("train", "train"), ("val_1", "validation"), ("val_2", "validation")):
        uri = f"{source.rstrip('/')}/{name}.json"
        if not _exists(uri):
            continue
        found = True
        for video_id, video in _read_json(uri).items():
            where = f"{uri}: [{video_id!r}]"
            spans, texts = _field(video, "timestamps", where), _field(video, "sentences", where)
            if len(spans) != len(texts):
                raise UserError(f"{where}: has {len(spans)} timestamps and {len(texts)} sentences")
            for number, (span, text) in enumerate(zip(spans, texts, strict=True)):
                span = _span(span, f"{where}.timestamps[{number}]")
                yield {"video_id": video_id, "split": split, **span, "captions": [text.strip()]}
    if not found:
        raise UserError(f"{source}: has no train.json, val_1.json or val_2.json of ActivityNet Captions")


def activitynet_qa(source: str) -> Rows:
    """A folder with train_q.json, train_a.json and the like for val and test: questions about whole videos,
    of nine types."""
    found = False
    for name in ("train", "val", "test"):
        questions_uri, answers_uri = (f"{source.rstrip('/')}/{name}_{part}.json" for part in "qa")
        if not _exists(questions_uri):
            continue
        found = True
        answers = {
            _field(answer, "question_id", f"{answers_uri}: [{at}]"): answer
            for at, answer in enumerate(_read_json(answers_uri))
        }
        for at, question in enumerate(_read_json(questions_uri)):
            where = f"{questions_uri}: [{at}]"
            number = _field(question, "question_id", where)
            if number not in answers:
                raise UserError(f"{where}: {answers_uri} has no answer to the question {number}")
            answer = answers[number]
            kind = int(_field(answer, "type", f"{answers_uri}: question {number}"))
            yield {
                "video_id": _field(question, "video_name", where),
                "split": SPLIT_NAMES[name],
                "question": _field(question, "question", where),
                "question_type": ACTIVITYNET_QA_TYPES.get(kind, str(kind)),
                "answer": str(_field(answer, "answer", f"{answers_uri}: question {number}")),
            }
    if not found:
        raise UserError(f"{source}: has no train_q.json, val_q.json or test_q.json of ActivityNet-QA")


def howto100m(source: str) -> Rows:
    """HowTo100M_v1.csv: the WikiHow categories of each video, the wider and the narrower, as two labels.

    There are no official splits: videos are dealt out by a hash. Captions go to build_documents.
    """
    uri = source if source.endswith(".csv") else f"{source.rstrip('/')}/HowTo100M_v1.csv"
    columns = dict.fromkeys(("video_id", "category_1", "category_2"), pa.string())
    for row in require(read_records(uri, columns, kind="list of videos"), uri, "video_id").to_pylist():
        labels = [row[name] for name in ("category_1", "category_2") if row[name]]
        yield {"video_id": row["video_id"], "split": split_of(row["video_id"]), "labels": labels}


def msrvtt(source: str) -> Rows:
    """A folder with train_val_videodatainfo.json, test_videodatainfo.json or both in one file
    (videodatainfo_2017.json and the like): all captions and the category of each clip.

    Its videos are clips already (their start and end times are those in the video that they are from). With
    MSRVTT_JSFUSION_test.csv there, the retrieval split 1k-A holds: its thousand videos with one caption each
    are the test, and all others training and validation as they were, test videos training. MSRVTT-QA's
    train_qa.json, val_qa.json and test_qa.json add questions.
    """
    folder = _folder(source)
    files = [uri for uri in _listed(folder) if uri.endswith(".json") and "videodatainfo" in uri]
    questions = [uri for uri in _listed(folder) if uri.endswith("_qa.json")]
    if not files and not questions:
        raise UserError(f"{source}: has no *videodatainfo*.json of MSR-VTT and no *_qa.json of MSRVTT-QA")
    retrieval = _retrieval_test(f"{folder}/MSRVTT_JSFUSION_test.csv")
    known: set[str] = set()
    for uri in files:  # some have the clips of others once more
        clips = [clip for clip in _msrvtt_clips(uri, retrieval) if clip["video_id"] not in known]
        known.update(clip["video_id"] for clip in clips)
        yield from clips
    for uri in questions:
        split = SPLIT_NAMES[uri.rsplit("/", 1)[-1].split("_")[0]]
        for at, entry in enumerate(_read_json(uri)):
            where = f"{uri}: [{at}]"
            yield {
                "video_id": f"video{_field(entry, 'video_id', where)}",
                "split": split,
                "question": _field(entry, "question", where),
                "question_type": str(_field(entry, "question", where)).split(" ", 1)[0].lower(),
                "answer": str(_field(entry, "answer", where)),
            }


def _msrvtt_clips(uri: str, retrieval: Mapping[str, str]) -> Rows:
    content = _read_json(uri)
    captions: dict[str, list[str]] = defaultdict(list)
    for at, sentence in enumerate(_field(content, "sentences", uri)):
        where = f"{uri}: sentences[{at}]"
        captions[_field(sentence, "video_id", where)].append(_field(sentence, "caption", where))
    for at, video in enumerate(_field(content, "videos", uri)):
        where = f"{uri}: videos[{at}]"
        video_id = _field(video, "video_id", where)
        split = _split(_field(video, "split", where), where)
        if retrieval:
            split = "test" if video_id in retrieval else "train" if split == "test" else split
        mine = [retrieval[video_id]] if video_id in retrieval else captions[video_id]
        label = str(_field(video, "category", where))
        yield {"video_id": video_id, "split": split, "labels": [label], "captions": mine}


def _retrieval_test(uri: str) -> dict[str, str]:
    """Videos and their sentences of the split 1k-A; empty if the file is not there."""
    if not _exists(uri):
        return {}
    columns = dict.fromkeys(("video_id", "sentence"), pa.string())
    rows = require(read_records(uri, columns, kind="retrieval split"), uri, *columns)
    return {row["video_id"]: row["sentence"] for row in rows.to_pylist()}


OFFICIAL: dict[str, Callable[[str], Rows]] = {
    reader.__name__: reader
    for reader in (youcook2, activitynet, activitynet_captions, activitynet_qa, howto100m, msrvtt)
}


def read_annotations(source: str, *, dataset: str = "records") -> pa.Table:
    """Annotations of a data set's own files, or (`records`) of a file of one's own."""
    if dataset == "records":
        return read_records_of_ones_own(source)
    if dataset not in OFFICIAL:
        raise UserError(f"--dataset {dataset}: must be records, {', '.join(OFFICIAL)}")
    try:
        rows = pa.Table.from_pylist(list(OFFICIAL[dataset](source)), schema=ANNOTATIONS)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = f"{type(error).__name__} {' '.join(str(error).split())}"
        raise UserError(f"{source}: not as the authors of {dataset} write it ({reason})") from error
    if rows.num_rows == 0:
        raise UserError(f"{source}: has no annotations of {dataset}")
    return rows


def _content(source: str, name: str, *, key: str) -> tuple[str, Mapping[str, Any]]:
    """The file, which `source` is or which lies in it, and the object under its key."""
    uri = source if source.endswith(".json") else f"{source.rstrip('/')}/{name}"
    content = _field(_read_json(uri), key, uri)
    if not isinstance(content, dict):
        raise UserError(f"{uri}: `{key}` is no object by video id; give the file {name}")
    return uri, content


def _read_json(uri: str) -> Any:
    try:
        with open_file(uri) as file:
            return json.load(file)
    except OSError as error:
        raise UserError(
            f"{uri}: cannot be read ({error.strerror or error}); correct --annotations"
        ) from error
    except ValueError as error:
        raise UserError(f"{uri}: not JSON ({error})") from error


def _field(entry: Any, name: str, where: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise UserError(f"{where}: has no `{name}`; is this the data set that --dataset names?")
    return entry[name]


def _span(segment: Any, where: str) -> dict[str, float]:
    """Start and end; a segment that is the wrong way round, as some are, is put in order."""
    try:
        start, end = sorted(max(0.0, seconds) for seconds in map(float, segment))
        if not all(abs(float(seconds)) < MAX_SECONDS for seconds in segment):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {segment!r} is no pair of seconds") from error
    return {"start_seconds": start, "end_seconds": max(end, start + 1e-3)}


def _split(name: Any, where: str) -> str:
    if name not in SPLIT_NAMES:
        raise UserError(f"{where}: {name!r} is no split; known are {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[name]


def _folder(source: str) -> str:
    return source.rsplit("/", 1)[0] if source.endswith((".json", ".csv")) else source.rstrip("/")


def _exists(uri: str) -> bool:
    filesystem, path = filesystem_of(uri)
    return bool(filesystem.exists(path))


def _listed(folder: str) -> Iterator[str]:
    filesystem, path = filesystem_of(folder)
    if filesystem.isdir(path):
        yield from (
            f"{folder}/{name.rsplit('/', 1)[-1]}" for name in sorted(filesystem.ls(path, detail=False))
        )
