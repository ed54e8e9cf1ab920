"""Inventory, drop and forget, on small tables with a past."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.table_rows import DIM, compact, feature_rows, keys_of
from tests.tiny import cooking
from vbert.commands import drop as drop_command
from vbert.commands import forget as forget_command
from vbert.commands import info as info_command
from vbert.corpus.forgotten import num_forgotten, without_forgotten
from vbert.errors import UserError
from vbert.search.index import write_shard
from vbert.search.intervals import clips_of
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.parquet_files import Provenance, stored_files
from vbert.tables.pins import pinned
from vbert.tables.schemas import (
    DOCUMENTS,
    DUPLICATES,
    FEATURES,
    TABLES,
    TRANSCRIPTS,
    VIDEOS,
    TableSchema,
    video_id_of,
)
from vbert.upkeep.drop import DropConfig, drop
from vbert.upkeep.forget import ForgetConfig, forget
from vbert.upkeep.inventory import InfoConfig, take_inventory
from vbert.vocabulary.tree import Exemplar, Vocabulary, load, save

UNKNOWN: Provenance = {}
GPU, CPU = {"device": "NVIDIA H100", "torch": "2.9"}, {"device": "cpu", "openvino": "2026.1"}


def put(
    root: str, layout: TableSchema, rows: pa.Table, *, drop: str = "", made_with: dict[str, str] | None = None
):
    table = Table(root, layout)
    table.create()
    file = table.write_file(rows, provenance=[made_with] if made_with else [])
    Committer(table, partition=rows[layout.partition][0].as_py()).commit([file], drop=drop)


def clip(video_id: str, start_seconds: float, distance: float) -> Exemplar:
    return Exemplar(video_id=video_id, start_seconds=start_seconds, distance=distance)


@pytest.fixture
def vocabulary() -> Vocabulary:
    torch.manual_seed(0)
    clips = {0: [clip("p", 0.0, 0.5), clip("q", 1.5, 0.6)], 1: [clip("p", 3.0, 0.1)]}
    return Vocabulary(featurizer="f-1", centroids=[torch.randn(1, 2, DIM)], exemplars=clips)


@pytest.fixture
def tables(tmp_path: Path, vocabulary: Vocabulary) -> str:
    """Videos p, q and r, of which q was replaced and r has failed; all in files together."""
    root = str(tmp_path / "tables")
    ledger = [
        {
            "video_id": name,
            "featurizer": "f-1",
            "uri": f"/videos/{name}.mp4",
            "status": "failed" if name == "r" else "ok",
            "stage": "probe" if name == "r" else None,
            "reason": "no video stream" if name == "r" else None,
        }
        for name in "pqr"
    ]
    put(root, VIDEOS, pa.Table.from_pylist(ledger, schema=VIDEOS.schema))
    put(root, FEATURES, feature_rows("pq"), made_with=GPU)
    put(root, FEATURES, feature_rows("q", fingerprint="b"), drop="q", made_with=CPU)
    put(root, FEATURES, feature_rows("p", featurizer="f-2"))
    same = {"vocabulary": vocabulary.id}
    documents = [cooking(number) | same | {"video_id": name} for number, name in enumerate("pq")]
    put(root, DOCUMENTS, pa.Table.from_pylist(documents, schema=DOCUMENTS.schema))
    spoken = [{"video_id": "p", "recognizer": "pocketsphinx", "status": "silent"}]
    put(root, TRANSCRIPTS, pa.Table.from_pylist(spoken, schema=TRANSCRIPTS.schema))
    save(vocabulary, f"{root}/vocabularies")
    copies = [
        {"video_id": name, "featurizer": "f-1", "cluster": cluster, "kept_id": cluster}
        for name, cluster in [("p", "p"), ("q", "p"), ("r", "r")]
    ]
    put(root, DUPLICATES, pa.Table.from_pylist(copies, schema=DUPLICATES.schema))
    for name in "pq":
        rows = feature_rows(name)
        write_shard(f"{root}/indexes/f-1/clips/{name}.arrow", *clips_of(rows))
        write_shard(f"{root}/indexes/{vocabulary.id}/m/{name}.arrow", *clips_of(rows))
    Path(root, "featurizers").mkdir()
    Path(root, "featurizers", "f-1.json").write_text("{}")
    return root


def state(tables: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(tables).rglob("*") if path.is_file()}


def videos_in_files(tables: str) -> set[str]:
    """Of every Parquet file that lies there."""
    found: set[str] = set()
    for path in Path(tables).rglob("*.parquet"):
        found |= set(pq.ParquetFile(path).read(columns=["video_id"])["video_id"].to_pylist())
    return found


@pytest.mark.parametrize("name", ["p", "/videos/p.mp4"])
def test_a_forgotten_video_is_in_no_file_and_stays_out(tables: str, vocabulary: Vocabulary, name: str):
    q = [row for row in keys_of(Table(tables, FEATURES)) if row[0] == "q"]
    found = forget(ForgetConfig(tables=tables, video=(name,)))
    assert found.video_ids == ["p"]
    assert found.num_rows == {"videos": 1, "features": 6, "transcripts": 1, "documents": 1, "duplicates": 1}
    left = Table(tables, DUPLICATES).read(columns=["video_id"], partition="f-1")
    assert left["video_id"].to_pylist() == ["r"], "q's row would name p"
    assert (found.num_exemplars, found.num_shards) == (2, 2)
    assert videos_in_files(tables) == {"q", "r"}
    assert keys_of(Table(tables, FEATURES)) == q, "others stay"
    saved = load(f"{tables}/vocabularies/{vocabulary.id}")
    assert saved.exemplars == {0: [clip("q", 1.5, 0.6)], 1: []}
    corpus = pa.table({"video_id": ["p", "q", "s"]})
    (rest,) = without_forgotten([corpus], tables)
    assert rest["video_id"].to_pylist() == ["q", "s"]
    assert num_forgotten(tables) == 1
    # Of the older files those with p are gone, and no table is broken by that.
    for layout in TABLES:
        table = Table(tables, layout)
        named = {path for partition in table.partitions() for path in table.paths(partition=partition)}
        assert named <= set(stored_files(table.uri))


def test_a_dry_run_says_the_same_and_changes_nothing(tables: str, capsys: pytest.CaptureFixture[str]):
    before = state(tables)
    assert forget_command.main(ForgetConfig(tables=tables, video=("p",), dry_run=True)) == 0
    said = capsys.readouterr().out
    assert "nothing was changed" in said
    assert "1 of videos, 6 of features, 1 of transcripts, 1 of documents" in said
    assert drop_command.main(DropConfig(tables=tables, featurizer="f-2", dry_run=True)) == 0
    assert "1 of features" in capsys.readouterr().out
    assert state(tables) == before


def test_a_video_that_no_table_has_is_named(tables: str):
    with pytest.raises(UserError, match="no table has the video nobody; give its video_id or uri"):
        forget(ForgetConfig(tables=tables, video=("p", "nobody")))
    assert "p" in videos_in_files(tables)
    assert num_forgotten(tables) == 0


def test_what_a_running_job_needs_is_not_forgotten_under_it(tables: str):
    version = Table(tables, DOCUMENTS).version()
    with pinned(tables, "pretrain-1", job="pretrain into out", versions={"documents": version}):
        with pytest.raises(UserError, match="pretrain into out still needs these tables; let it end"):
            forget(ForgetConfig(tables=tables, video=("p",)))
        with pytest.raises(UserError, match="pretrain into out still needs these tables"):
            drop(DropConfig(tables=tables, recognizer="pocketsphinx"))
        assert forget(ForgetConfig(tables=tables, video=("r",))).num_rows["videos"] == 1, (
            "that it does not read"
        )
    with (
        pinned(tables, "featurize-1", job="featurize of f-1"),
        pytest.raises(UserError, match="featurize of f-1 still needs"),
    ):
        forget(ForgetConfig(tables=tables, video=("p",)))


def test_an_id_is_the_same_for_a_path_that_is_not_in_the_ledger(tmp_path: Path):
    """A path's own id is that of its uri: features may be there before the ledger's row."""
    video = str(tmp_path / "a.mp4")
    rows = feature_rows("p", segments=1).drop_columns(["video_id"])
    rows = rows.append_column("video_id", pa.array([video_id_of(video)]))
    put(str(tmp_path / "t"), FEATURES, rows.select(FEATURES.schema.names))
    assert forget(ForgetConfig(tables=str(tmp_path / "t"), video=(video,))).num_rows == {"features": 1}


def test_dropping_a_vocabulary_takes_its_documents_and_its_folder(tables: str, vocabulary: Vocabulary):
    with pytest.raises(
        UserError, match=rf"vocabulary {vocabulary.id} was fitted on featurizer f-1; drop that first"
    ):
        drop(DropConfig(tables=tables, featurizer="f-1"))
    assert drop(DropConfig(tables=tables, vocabulary=vocabulary.id)).num_files == {"documents": 1}
    assert Table(tables, DOCUMENTS).partitions() == []
    assert not Path(tables, "vocabularies", vocabulary.id).exists()
    assert drop(DropConfig(tables=tables, featurizer="f-1")).num_files == {
        "duplicates": 1,
        "features": 2,
        "videos": 1,
    }
    assert Table(tables, FEATURES).partitions() == ["f-2"]
    assert not Path(tables, "featurizers", "f-1.json").exists()
    assert list(Path(tables, "indexes").iterdir()) == []
    assert drop(DropConfig(tables=tables, recognizer="pocketsphinx")).num_files == {"transcripts": 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give one of --featurizer, --vocabulary and --recognizer"),
        ({"featurizer": "a", "vocabulary": "b"}, "give one of"),
        ({"featurizer": "f-9"}, r"has no featurizer f-9; known are f-1, f-2 \(vbert info\)"),
        ({"vocabulary": "../featurizers"}, "has no vocabulary"),
    ],
)
def test_what_cannot_be_dropped_is_said(tables: str, options: dict[str, str], said: str):
    before = state(tables)
    with pytest.raises(UserError, match=said):
        drop(DropConfig(tables=tables, **options))
    assert state(tables) == before


def test_the_inventory_says_what_there_is(tables: str, capsys: pytest.CaptureFixture[str]):
    with pinned(tables, "pretrain-1", job="pretrain into out", versions={"features": 2}):
        assert info_command.main(InfoConfig(tables=tables)) == 0
    said = capsys.readouterr().out
    for line in (
        "features: version 3, schema 2",
        "videos: version 1, schema 2",
        "1 failed, 2 ok",
        "1  probe: no video stream",
        "1  device NVIDIA H100, torch 2.9",
        "1  device cpu, openvino 2026.1",
        "a mixture: the same clip may differ in its last bits from file to file",
        "1  before files said so",
        "in use: pretrain into out (features at 2)",
    ):
        assert line in said
    with pytest.raises(UserError, match="no table there"):
        take_inventory(InfoConfig(tables=f"{tables}/nowhere"))


def test_joined_files_keep_what_all_of_them_were_made_with(tables: str):
    table = Table(tables, FEATURES)
    compact(table)
    (path,) = table.paths(partition="f-1")
    assert table.provenance(path) == [GPU, CPU]
    put(tables, FEATURES, feature_rows("s"), drop="p", made_with=CPU)
    made_with = [one for path in table.paths(partition="f-1") for one in table.provenance(path)]
    assert sorted(map(json.dumps, made_with)) == sorted(map(json.dumps, [GPU, CPU, CPU]))
    assert np.isfinite(table.read(columns=["segment_index"], partition="f-1")[0].to_numpy()).all()
