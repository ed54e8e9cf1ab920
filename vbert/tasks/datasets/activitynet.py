"""ActivityNet 1.3 (activity-net.org), ActivityNet Captions (Krishna et al. 2017) and ActivityNet-QA
(github.com/MILVLG/activitynet-qa): activities, sentences and questions of the same videos."""

from vbert.errors import UserError
from vbert.tasks.datasets.authors_files import (
    SPLIT_NAMES,
    Rows,
    content_of,
    exists,
    field,
    folder_of,
    read_json,
    span,
    split_called,
)

QUESTION_TYPES = {
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


def activitynet(source: str) -> Rows:
    """activity_net.v1-3.min.json: each segment's activity. Test labels are withheld, and its videos left
    out."""
    uri, database = content_of(source, "activity_net.v1-3.min.json", key="database")
    for video_id, video in database.items():
        where = f"{uri}: database[{video_id!r}]"
        for number, entry in enumerate(field(video, "annotations", where)):
            here = f"{where}.annotations[{number}]"
            yield {
                "video_id": video_id,
                "split": split_called(field(video, "subset", where), where),
                **span(field(entry, "segment", here), f"{here}.segment"),
                "labels": [field(entry, "label", here)],
            }


def activitynet_captions(source: str) -> Rows:
    """A folder with train.json, val_1.json and val_2.json: the sentence of each interval.

    Two people annotated each validation video, each with intervals of their own: both are kept as they are.
    """
    found = False
    for name, split in (("train", "train"), ("val_1", "validation"), ("val_2", "validation")):
        uri = f"{folder_of(source)}/{name}.json"
        if not exists(uri):
            continue
        found = True
        for video_id, video in read_json(uri).items():
            where = f"{uri}: [{video_id!r}]"
            spans, texts = field(video, "timestamps", where), field(video, "sentences", where)
            if len(spans) != len(texts):
                raise UserError(f"{where}: has {len(spans)} timestamps and {len(texts)} sentences")
            for number, (times, text) in enumerate(zip(spans, texts, strict=True)):
                times = span(times, f"{where}.timestamps[{number}]")
                yield {"video_id": video_id, "split": split, **times, "captions": [text.strip()]}
    if not found:
        raise UserError(f"{source}: has no train.json, val_1.json or val_2.json of ActivityNet Captions")


def activitynet_qa(source: str) -> Rows:
    """A folder with train_q.json, train_a.json and the like for val and test: questions about whole videos,
    of nine types."""
    found = False
    for name in ("train", "val", "test"):
        questions_uri, answers_uri = (f"{folder_of(source)}/{name}_{part}.json" for part in "qa")
        if not exists(questions_uri):
            continue
        found = True
        answers = {
            field(answer, "question_id", f"{answers_uri}: [{at}]"): answer
            for at, answer in enumerate(read_json(answers_uri))
        }
        for at, question in enumerate(read_json(questions_uri)):
            where = f"{questions_uri}: [{at}]"
            number = field(question, "question_id", where)
            if number not in answers:
                raise UserError(f"{where}: {answers_uri} has no answer to the question {number}")
            answer = answers[number]
            kind = int(field(answer, "type", f"{answers_uri}: question {number}"))
            yield {
                "video_id": field(question, "video_name", where),
                "split": SPLIT_NAMES[name],
                "question": field(question, "question", where),
                "question_type": QUESTION_TYPES.get(kind, str(kind)),
                "answer": str(field(answer, "answer", f"{answers_uri}: question {number}")),
            }
    if not found:
        raise UserError(f"{source}: has no train_q.json, val_q.json or test_q.json of ActivityNet-QA")
