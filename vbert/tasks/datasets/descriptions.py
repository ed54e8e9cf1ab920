"""Clips and what people say they show: MSR-VTT's readme (Xu et al. 2016), MSVD (Chen and Dolan 2011) with
MSVD-QA and MSRVTT-QA (github.com/xudejing/video-question-answering), VATEX (Wang et al. 2019) and DiDeMo
(github.com/LisaAnne/LocalizingMoments)."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from vbert.errors import UserError
from vbert.tasks.datasets.authors_files import (
    SPLIT_NAMES,
    Rows,
    exists,
    field,
    folder_of,
    listed,
    matched_lines,
    present,
    read_columns,
    read_json,
    read_lines,
    span,
    split_called,
)

DIDEMO_SECONDS = 5.0  # of a segment, by whose number times are told
# MSVD's clips in the order of youtube_mapping.txt: 1,200 for training, 100 and 670 (Venugopalan et al. 2015).
MSVD_LAST = {"train": 1200, "validation": 1300}


def msrvtt(source: str) -> Rows:
    """A folder with train_val_videodatainfo.json, test_videodatainfo.json or both in one file
    (videodatainfo_2017.json and the like): all captions and the category of each clip.

    Its videos are clips already (their start and end times are those in the video that they are from). With
    MSRVTT_JSFUSION_test.csv there, the retrieval split 1k-A holds: its thousand videos with one caption each
    are the test, and all others training and validation as they were, test videos training. MSRVTT-QA's
    train_qa.json, val_qa.json and test_qa.json add questions.
    """
    folder = folder_of(source)
    files = [uri for uri in listed(folder) if uri.endswith(".json") and "videodatainfo" in uri]
    questions = [uri for uri in listed(folder) if uri.endswith("_qa.json")]
    if not files and not questions:
        raise UserError(f"{source}: has no *videodatainfo*.json of MSR-VTT and no *_qa.json of MSRVTT-QA")
    retrieval = _retrieval_test(f"{folder}/MSRVTT_JSFUSION_test.csv")
    known: set[str] = set()
    for uri in files:  # some have the clips of others once more
        clips = [clip for clip in _msrvtt_clips(uri, retrieval) if clip["video_id"] not in known]
        known.update(clip["video_id"] for clip in clips)
        yield from clips
    for uri in questions:
        for number, question in _questions(uri):
            yield {"video_id": f"video{number}", **question}


def _msrvtt_clips(uri: str, retrieval: Mapping[str, str]) -> Rows:
    content = read_json(uri)
    captions: dict[str, list[str]] = defaultdict(list)
    for at, sentence in enumerate(field(content, "sentences", uri)):
        where = f"{uri}: sentences[{at}]"
        captions[field(sentence, "video_id", where)].append(field(sentence, "caption", where))
    for at, video in enumerate(field(content, "videos", uri)):
        where = f"{uri}: videos[{at}]"
        video_id = field(video, "video_id", where)
        split = split_called(field(video, "split", where), where)
        if retrieval:
            split = "test" if video_id in retrieval else "train" if split == "test" else split
        mine = [retrieval[video_id]] if video_id in retrieval else captions[video_id]
        label = str(field(video, "category", where))
        yield {"video_id": video_id, "split": split, "labels": [label], "captions": mine}


def _retrieval_test(uri: str) -> dict[str, str]:
    """Videos and their sentences of the split 1k-A; empty if the file is not there."""
    if not exists(uri):
        return {}
    return {row["video_id"]: row["sentence"] for _, row in read_columns(uri, "video_id", "sentence")}


def _questions(uri: str) -> list[tuple[Any, dict[str, str]]]:
    """The questions of a file of MSRVTT-QA or MSVD-QA, each with the number of its video; their types are
    their first words."""
    split = SPLIT_NAMES[uri.rsplit("/", 1)[-1].split("_")[0]]
    found = []
    for at, entry in enumerate(read_json(uri)):
        where = f"{uri}: [{at}]"
        question = field(entry, "question", where)
        row = {
            "split": split,
            "question": question,
            "question_type": str(question).split(" ", 1)[0].lower(),
            "answer": str(field(entry, "answer", where)),
        }
        found.append((field(entry, "video_id", where), row))
    return found


def msvd(source: str) -> Rows:
    """A folder with youtube_mapping.txt and AllVideoDescriptions.txt, or instead of that the table MSR Video
    Description Corpus.csv: all English captions of each clip. MSVD-QA's train_qa.json, val_qa.json and
    test_qa.json add questions.

    Clips are named as in YouTubeClips, `mv89psg6zh4_33_46`. The captions' split is by the clips' numbers in
    the mapping, 1,200, 100 and 670; the questions have one of their own. The table's other clips were gone
    when YouTubeClips was made, and are left out.
    """
    folder = folder_of(source)
    texts = [source] if source.endswith(".csv") else present(folder, "AllVideoDescriptions.txt")
    texts = texts or [uri for uri in listed(folder) if uri.lower().endswith("corpus.csv")]
    questions = present(folder, "train_qa.json", "val_qa.json", "test_qa.json")
    if not texts and not questions:
        raise UserError(
            f"{source}: has no AllVideoDescriptions.txt or *Corpus.csv of MSVD and no *_qa.json of MSVD-QA"
        )
    mapping = f"{folder}/youtube_mapping.txt"
    numbers = {
        match["clip"]: int(match["number"])
        for _, match in matched_lines(mapping, r"(?P<clip>\S+) vid(?P<number>\d+)", kind="clip and number")
    }
    for uri in texts[:1]:
        captions: dict[str, list[str]] = defaultdict(list)
        for clip, text in _msvd_table(uri) if uri.endswith(".csv") else _msvd_lines(uri):
            captions[clip].append(text)
        for clip, mine in captions.items():
            if clip in numbers:
                is_in = (split for split, last in MSVD_LAST.items() if numbers[clip] <= last)
                yield {"video_id": clip, "split": next(is_in, "test"), "captions": mine}
    clips = {number: clip for clip, number in numbers.items()}
    for uri in questions:
        for number, question in _questions(uri):
            if number not in clips:
                raise UserError(f"{uri}: {mapping} has no clip vid{number}, which a question is about")
            yield {"video_id": clips[number], **question}


def _msvd_lines(uri: str) -> list[tuple[str, str]]:
    """Clips and sentences of AllVideoDescriptions.txt, which begins with remarks."""
    pairs = (line.split(None, 1) for _, line in read_lines(uri) if not line.startswith("#"))
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _msvd_table(uri: str) -> list[tuple[str, str]]:
    rows = read_columns(uri, "VideoID", "Start", "End", "Language", optional=("Description",))
    return [
        (f"{row['VideoID']}_{row['Start']}_{row['End']}", row["Description"])
        for _, row in rows
        if row["Language"] == "English" and row["Description"]
    ]


def vatex(source: str) -> Rows:
    """vatex_training_v1.0.json, or a folder with it, vatex_validation_v1.0.json and
    vatex_public_test_english_v1.1.json: the English captions of each clip.

    Clips are named as there, `Ptf_2VRj-V0_000122_000132`. The private test's captions are withheld.
    """
    files = [source] if source.endswith(".json") else listed(folder_of(source))
    parts = {
        "vatex_training": "train",
        "vatex_validation": "validation",
        "vatex_public_test": "test",
    }
    found = [
        (uri, split)
        for uri in files
        for part, split in parts.items()
        if uri.rsplit("/", 1)[-1].startswith(part) and uri.endswith(".json")
    ]
    if not found:
        raise UserError(
            f"{source}: has no vatex_training*.json, vatex_validation*.json or vatex_public_test*.json"
        )
    for uri, split in found:
        for at, clip in enumerate(read_json(uri)):
            where = f"{uri}: [{at}]"
            captions = [text.strip() for text in field(clip, "enCap", where)]
            yield {"video_id": field(clip, "videoID", where), "split": split, "captions": captions}


def didemo(source: str) -> Rows:
    """A folder with train_data.json, val_data.json and test_data.json: the description of each moment.

    Of the intervals that people gave a moment, in segments of 5 s, that of most of them is taken; where as
    many gave each, the first.
    """
    files = present(folder_of(source), "train_data.json", "val_data.json", "test_data.json")
    if not files:
        raise UserError(f"{source}: has no train_data.json, val_data.json or test_data.json of DiDeMo")
    for uri in files:
        split = SPLIT_NAMES[uri.rsplit("/", 1)[-1].split("_")[0]]
        for at, moment in enumerate(read_json(uri)):
            where = f"{uri}: [{at}]"
            times = Counter(tuple(pair) for pair in field(moment, "times", where)).most_common(1)
            if not times:
                raise UserError(f"{where}: has no `times`")
            first, last = times[0][0]
            yield {
                "video_id": field(moment, "video", where),
                "split": split,
                **span((first * DIDEMO_SECONDS, (last + 1) * DIDEMO_SECONDS), where),
                "captions": [field(moment, "description", where).strip()],
            }
