"""A small corpus with its tables, vocabularies and models, and much that is none of these."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from tests.table_rows import DIM, feature_rows
from tests.tasks.test_tasks import annotations
from tests.tiny import NUM_VISUAL_TOKENS, bert_config, bert_folder, cooking, vocabulary
from vbert.model.checkpoint_files import CONFIG, PROGRESS, TOKENIZER
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_heads import VideoBertForClassification, VideoBertForRetrieval
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS, TableSchema
from vbert.vocabulary.tree import FACTS, TENSORS, Vocabulary, save

FEATURIZER = "fake-0123abcd"
NUM_VIDEOS = 20
TRUNCATED_BYTES = 5000


def make_world(root: Path) -> dict[str, str]:
    """Write all of it; the places that a command line may name."""
    torch.manual_seed(0)
    own, other = (
        Vocabulary(featurizer=name, centroids=[torch.randn(3**level, 3, DIM) for level in range(3)])
        for name in (FEATURIZER, "other-89abcdef")
    )
    assert own.num_leaves == NUM_VISUAL_TOKENS
    tables = root / "tables"
    places = {
        "root": str(root),
        "tables": str(tables),
        "own": save(own, str(tables / "vocabularies")),
        "other": save(other, str(tables / "vocabularies")),
    }
    _write_tables(str(tables), own.id)
    _write_no_tables(root)
    _write_models(root, own.id, other.id)
    _write_no_vocabularies(root, Path(places["own"]))
    _write_files(root)
    return places


def _write_tables(tables: str, vocabulary_id: str) -> None:
    documents = [cooking(number) | {"vocabulary": vocabulary_id} for number in range(NUM_VIDEOS)]
    ledger = [
        {
            "video_id": row["video_id"],
            "featurizer": FEATURIZER,
            "uri": row["uri"],
            "fingerprint": row["fingerprint"],
            "status": "ok",
            "num_clips": len(row["visual_tokens"]),
        }
        for row in documents
    ]
    ledger += [
        row | {"video_id": name, "uri": f"/videos/{name}.mp4"}
        for row, name in zip(ledger[:2], "ab", strict=True)
    ]
    _write_table(tables, DOCUMENTS, pa.Table.from_pylist(documents[1:], schema=DOCUMENTS.schema))
    _write_table(tables, VIDEOS, pa.Table.from_pylist(ledger, schema=VIDEOS.schema))
    _write_table(tables, FEATURES, feature_rows("ab", featurizer=FEATURIZER))


def _write_table(tables: str, layout: TableSchema, rows: pa.Table) -> None:
    table = Table(tables, layout)
    table.create()
    Committer(table, partition=rows[layout.partition][0].as_py()).commit([table.write_file(rows)])


def _write_no_tables(root: Path) -> None:
    """Folders of files, of a table with other columns, of tables whose log or latest file is broken."""
    for layout in (VIDEOS, FEATURES, DOCUMENTS):
        folder = root / "files-instead" / layout.name
        folder.mkdir(parents=True)
        (folder / "holiday.mp4").write_bytes(b"not ours")
        log = root / "broken-log" / layout.name / "_delta_log"
        log.mkdir(parents=True)
        (log / f"{0:020}.json").write_text('{"commitInfo": {"time')
        odd = replace(
            layout,
            schema=pa.schema([("video_id", pa.string()), (layout.partition, pa.string())]),
            key=("video_id",),
            added={},
            narrow=(),
        )
        rows = pa.table({"video_id": ["a"], layout.partition: [FEATURIZER]})
        _write_table(str(root / "other-columns"), odd, rows)


def _write_models(root: Path, own: str, other: str) -> None:
    sizes = bert_config()
    config = from_bert_config(sizes, num_visual_tokens=NUM_VISUAL_TOKENS)
    continuous = from_bert_config(sizes, num_visual_tokens=1, visual_feature_dim=DIM)
    pretrained = VideoBertForPreTraining(config)
    retrieval = {"name": "retrieval", "options": {}, "facts": {}}
    labels = {"name": "classification", "options": {}, "facts": {"labels": ["apple", "fish"], "counts": {}}}
    for name, model, facts in (
        ("pretrained", pretrained, {"vocabulary": own}),
        ("of-other-words", pretrained, {"vocabulary": other}),
        ("continuous", VideoBertForPreTraining(continuous), {"vocabulary": own}),
        ("tuned", VideoBertForClassification(config), {"vocabulary": own, "row_length": 64, "task": labels}),
        ("near", VideoBertForRetrieval(config), {"vocabulary": own, "row_length": 64, "task": retrieval}),
        (
            "near-other-words",
            VideoBertForRetrieval(config),
            {"vocabulary": other, "row_length": 64, "task": retrieval},
        ),
        ("of-unknown-features", pretrained, {"vocabulary": own, "featurizer": None}),
        ("of-other-features", pretrained, {"vocabulary": own, "featurizer": "other-89abcdef"}),
        ("no-words", pretrained, {}),
        ("escaping", pretrained, {"vocabulary": "../../own"}),
    ):
        _write_model(root / name, model, {"step": 1, "featurizer": FEATURIZER, **facts})
    for name, file, content in (
        ("cut-config", CONFIG, b'{"model_type": "videobert", '),
        ("cut-progress", PROGRESS, b'{"step": 1, "vocab'),
        ("list-progress", PROGRESS, b"[1, 2]"),
        ("cut-tokenizer", TOKENIZER, b'{"version": "1.0", "trunc'),
    ):
        shutil.copytree(root / "pretrained", root / name)
        (root / name / file).write_bytes(content)
    bert_folder(root / "bert")
    for name in ("pretrained", "tuned", "near", "bert"):
        shutil.copytree(root / name, root / f"cut-{name}")
        _truncate(root / f"cut-{name}" / "model.safetensors")
    shutil.copytree(root / "pretrained", root / "pickled")
    (root / "pickled" / "model.safetensors").unlink()
    torch.save(pretrained.state_dict(), root / "pickled" / "pytorch_model.bin")
    (root / "run").mkdir()
    shutil.copytree(root / "pretrained", root / "run" / "model")


def _write_model(folder: Path, model: Any, progress: dict[str, Any]) -> None:
    model.save_pretrained(folder)
    (folder / TOKENIZER).write_text(vocabulary().tokenizer_json)
    (folder / PROGRESS).write_text(json.dumps(progress))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:TRUNCATED_BYTES])


def _write_no_vocabularies(root: Path, own: Path) -> None:
    facts = json.loads((own / FACTS).read_text())
    for name, changes in (
        ("no-levels", {"depth": 0}),
        ("list-exemplars", {"exemplars": [1]}),
        ("escaping-featurizer", {"featurizer": "../../etc/passwd"}),
        ("other-id", {"id": "0" * 16}),
    ):
        shutil.copytree(own, root / "vocabularies" / name)
        (root / "vocabularies" / name / FACTS).write_text(json.dumps(facts | changes))
    for name, content in (
        ("cut-facts", '{"id": "0123'),
        ("list-facts", "[1]"),
        ("deep-facts", "[" * 100_000),
    ):
        shutil.copytree(own, root / "vocabularies" / name)
        (root / "vocabularies" / name / FACTS).write_text(content)
    shutil.copytree(own, root / "vocabularies" / "cut-tensors")
    tensors = root / "vocabularies" / "cut-tensors" / TENSORS
    tensors.write_bytes(tensors.read_bytes()[:200])


def _write_files(root: Path) -> None:
    for name in ("empty", "videos", "user/examples", "begun", "begun-tuning", "torn", "torn-tuning"):
        (root / name).mkdir(parents=True)
    (root / "videos" / "v.mp4").write_bytes(b"")
    (root / "user" / "examples" / "thesis.txt").write_text("the only copy")
    (root / "begun" / "options.json").write_text('{"seed": 1, "documents_version": 1}')
    (root / "begun-tuning" / "finetune.json").write_text(
        '{"options": {"seed": 1}, "accounting": {"num_annotations": 1, "num_without_video": 0, '
        '"num_videos": 1, "num_missing_videos": 0}}'
    )
    (root / "torn" / "options.json").write_text('{"seed": ')
    (root / "torn-tuning" / "finetune.json").write_text('{"options": ')
    lines = [
        json.dumps(row | {"split": split})
        for number in range(1, 12)
        for split in _splits(number)
        for row in annotations(number)
    ]
    (root / "annotations.jsonl").write_text("\n".join(lines))
    texts = {
        "clips.csv": "video_id,start_seconds,end_seconds,verb,object\ncooking-1,0,6,cut,egg\n",
        "ids.csv": "video_id\ncooking-1\n",
        "gone.csv": "video_id,labels,captions\ngone,a,b\n",
        "nothing.csv": "",
        "heading.csv": "video_id\n",
        "names.csv": "name\nv.mp4\n",
        "uneven.csv": "video,video_id\na.mp4,1\nb.mp4\n",
        "twice.csv": "video,video_id\nv.mp4,a\nv.mp4,b\n",
        "nul.csv": "video\nv\0.mp4\n",
        "hole.csv": "video,video_id\nv.mp4,1\n,2\n",
        "numbers.jsonl": '{"video": 5}\n',
        "cut.jsonl": '{"video": "v.mp4"}\n{"video": "w.m',
        "cut.parquet": "PAR1 and so on",
        "backwards.csv": "video_id,start_seconds,end_seconds,labels\ncooking-1,6,2,a\n",
        "half.csv": "video_id,start_seconds,labels\ncooking-1,6,a\n",
        "words.csv": "video_id,start_seconds,end_seconds,labels\ncooking-1,one,two,a\n",
        "split.csv": "video_id,split,labels\ncooking-1,dev,a\n",
        "cut.json": '{"database": {"a": ',
        "text.txt": "hello",
        "no-metrics.json": '{"a": 1}',
        "scores.pth": "no tensors",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    (root / "utf16.csv").write_bytes("video\nv.mp4\n".encode("utf-16"))
    (root / "metrics").mkdir()
    (root / "metrics" / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    shutil.copytree(root / "pretrained", root / "metrics" / "model")
    (root / "run-of-other-words").mkdir()
    shutil.copytree(root / "of-other-words", root / "run-of-other-words" / "model")


def _splits(number: int) -> tuple[str]:
    return (("train", "validation", "test")[number % 3],)
