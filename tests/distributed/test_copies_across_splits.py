"""Planted copies across the splits of pretraining and of annotations, by what deduplicate has committed."""

from pathlib import Path

import pyarrow as pa
import pytest

from tests.cooking_tables import cooking_tables
from tests.tiny import bert_folder
from vbert.distributed.examples import Videos, annotations_of
from vbert.distributed.pretrain import _plan
from vbert.distributed.pretrain_config import (
    PretrainConfig,
    as_begun,
    deciding_options,
    with_latest_versions,
)
from vbert.distributed.train_run import PRETRAIN_OPTIONS
from vbert.documents.data_streams import in_share
from vbert.documents.sequences import SequenceConfig
from vbert.model.encoders import ModelConfig
from vbert.storage.files import write_json
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DUPLICATES
from vbert.vocabulary.tree import load

NAMES = [f"cooking-{number}" for number in range(24)]
SHARE = 0.3
INSIDE = [name for name in NAMES if in_share("validation", name, SHARE)]
OUTSIDE = [name for name in NAMES if name not in INSIDE]
# A copy that its own hash would validate on, of a video that is trained on; and the other way round.
KEPT = {INSIDE[0]: OUTSIDE[0], OUTSIDE[1]: INSIDE[1], OUTSIDE[2]: OUTSIDE[3]}


def write_duplicates(tables: str, kept: dict[str, str]) -> None:
    table = Table(tables, DUPLICATES)
    table.create()
    rows = [{"video_id": name, "featurizer": "fake", "kept_id": kept.get(name, name)} for name in NAMES]
    file = table.write_file(pa.Table.from_pylist(rows, schema=DUPLICATES.schema))
    Committer(table, partition="fake").commit([file], drop=NAMES)


@pytest.mark.seconds(6)
def test_pretraining_has_copies_on_one_side_and_goes_on_with_the_version_it_began_with(tmp_path: Path):
    tables = str(tmp_path / "tables")
    folder = cooking_tables(tables, num_videos=len(NAMES))
    (tmp_path / "held.csv").write_text(f"video_id\n{OUTSIDE[2]}\n")
    config = PretrainConfig(
        tables=tables,
        vocabulary=folder,
        output=str(tmp_path / "run"),
        held_out=str(tmp_path / "held.csv"),
        validation_share=SHARE,
        data_streams=2,
        num_workers=1,
        rows_per_step=4,
        model=ModelConfig(bert=bert_folder(tmp_path / "bert")),
        sequences=SequenceConfig(row_length=64),
    )

    vocabulary = load(folder)

    def sides() -> tuple[set[str], set[str]]:
        begun = with_latest_versions(as_begun(config, vocabulary=vocabulary.id))
        job, num_training = _plan(begun, vocabulary)
        training = set(filter(job.reader.is_training, NAMES))
        assert len(training) == num_training
        return training, set(job.validation_ids)

    assert sides() == (set(OUTSIDE) - {OUTSIDE[2]}, {*INSIDE, OUTSIDE[2]}), "deduplicate has not run"
    write_duplicates(tables, KEPT)
    training = {*OUTSIDE, INSIDE[0]} - set(OUTSIDE[1:4])
    assert sides() == (training, set(NAMES) - training)

    begun = with_latest_versions(as_begun(config, vocabulary=vocabulary.id))
    options = deciding_options(begun, vocabulary=vocabulary.id)
    write_json(f"{config.output}/{PRETRAIN_OPTIONS}", options)
    write_duplicates(tables, {})
    assert sides() == (training, set(NAMES) - training)


def test_annotations_of_copies_are_in_one_split(tmp_path: Path):
    tables = str(tmp_path / "tables")
    vocabulary = Path(cooking_tables(tables, num_videos=len(NAMES))).name
    lines = [f"{name},{'test' if name in INSIDE else 'train'},cut" for name in NAMES]
    (tmp_path / "labels.csv").write_text("video_id,split,labels\n" + "\n".join(lines))

    def training() -> tuple[set[str], int]:
        found, accounting = annotations_of(
            Videos.latest(tables, vocabulary=vocabulary),
            source=str(tmp_path / "labels.csv"),
            dataset="records",
            columns=["labels"],
            splits=["train"],
        )
        return set(found["video_id"].to_pylist()), accounting.num_straddling

    assert training() == (set(OUTSIDE), 0)
    write_duplicates(tables, KEPT)
    # Each of the two clusters across the splits is tested on.
    assert training() == (set(OUTSIDE) - {OUTSIDE[0], OUTSIDE[1]}, 2)
