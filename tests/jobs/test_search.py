"""Search as a user runs it: what it prints is what numpy finds among all vectors."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch

from tests.conftest import Run
from tests.cooking_tables import cooking_tables
from tests.tiny import NUM_VISUAL_TOKENS, bert_config, cooking, vocabulary
from tests.videos import Video, write_video
from vbert.distributed import search_index
from vbert.distributed.search import SearchConfig, search
from vbert.documents.data_streams import Run as Rows
from vbert.errors import UserError
from vbert.model.configuration_videobert import from_bert_config
from vbert.model.modeling_heads import VideoBertForRetrieval
from vbert.model.modeling_videobert import VideoBertForPreTraining
from vbert.search.index import shard_runs
from vbert.tables.commits import Committer
from vbert.tables.delta import Table
from vbert.tables.schemas import DOCUMENTS, FEATURES, VIDEOS
from vbert.tasks.registry import TunedModel

pytestmark = pytest.mark.slow
NUM_VIDEOS = 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 8 cooking videos, of which one lies there, and two untrained models."""
    root = tmp_path_factory.mktemp("search")
    words = Path(cooking_tables(str(root / "tables"), num_videos=NUM_VIDEOS)).name
    write_video(root / "cooking-1.mp4", Video(num_frames=180, fps=Fraction(10)))
    ledger = [
        {"video_id": f"cooking-{number}", "featurizer": "fake", "uri": str(root / f"cooking-{number}.mp4")}
        for number in range(NUM_VIDEOS)
    ]
    videos = Table(str(root / "tables"), VIDEOS)
    videos.create()
    file = videos.write_file(pa.Table.from_pylist(ledger, schema=VIDEOS.schema))
    Committer(videos, partition="fake").commit([file])
    torch.manual_seed(0)
    config = from_bert_config(bert_config(), num_visual_tokens=NUM_VISUAL_TOKENS)
    task = {"name": "retrieval", "options": {}, "facts": {}}
    facts = {"step": 1, "vocabulary": words, "row_length": 64}
    for name, model, said in (
        ("near", VideoBertForRetrieval(config), facts | {"task": task}),
        ("pretrained", VideoBertForPreTraining(config), facts),
    ):
        model.save_pretrained(root / name)
        (root / name / "tokenizer.json").write_text(vocabulary().tokenizer_json)
        (root / name / "progress.json").write_text(json.dumps(said))
    return root


def found(corpus: Path, **options: Any) -> list[tuple[str, float, float]]:
    summary = search(SearchConfig(tables=str(corpus / "tables"), **options))
    return [(result.hit.video_id, result.hit.start_seconds, result.hit.score) for result in summary.results]


@pytest.mark.seconds(60)  # models are opened here and on workers
def test_a_text_finds_windows_by_an_index_that_only_grows(
    corpus: Path,
    joined: None,
    run_job: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    def shards_of_two(files: dict[str, int], *, num_rows: int) -> list[Rows]:
        assert num_rows > 2
        return shard_runs(files, num_rows=2)

    monkeypatch.setattr(search_index, "shard_runs", shards_of_two)
    options = ["--tables", corpus / "tables", "--model", corpus / "near", "--window-seconds", 6]
    assert run_job("search", "cut the egg", *options) == 0
    said = capsys.readouterr().out
    assert "by        cosine of a retrieval model" in said

    windows = [
        {"captions": ["cut the egg"], "visual_tokens": document["visual_tokens"][4 * at : 4 * at + 4]}
        for document in map(cooking, range(NUM_VIDEOS))
        for at in range(3)
    ]
    answers = TunedModel(str(corpus / "near"), device="cpu").answers(windows, batch_size=24)
    vectors = np.array([answer["_video_vector"] for answer in answers])
    scores = vectors @ np.array(answers[0]["_text_vector"])
    order = np.argsort(-scores)[:3]
    again = {"text": "cut the egg", "model": str(corpus / "near"), "window_seconds": 6.0, "num_per_video": 3}
    monkeypatch.setattr(ray, "wait", None)  # what is indexed is answered without Ray
    hits = found(corpus, num_results=3, **again)
    assert [(name, start) for name, start, _ in hits] == [
        (f"cooking-{at // 3}", 6.0 * (at % 3)) for at in order
    ]
    np.testing.assert_allclose([score for _, _, score in hits], scores[order], atol=2e-3)
    monkeypatch.undo()

    shards = set((corpus / "tables" / "indexes").rglob("*.arrow"))
    assert len(shards) == 5  # of files of 5 and 3 documents
    partition = Table(str(corpus / "tables"), DOCUMENTS).partitions()[0]
    table = Table(str(corpus / "tables"), DOCUMENTS)
    new = cooking(99) | {"vocabulary": partition}
    file = table.write_file(pa.Table.from_pylist([new], schema=DOCUMENTS.schema))
    Committer(table, partition=partition).commit([file])
    monkeypatch.setattr(search_index, "shard_runs", shards_of_two)
    assert len(found(corpus, num_results=99, **again)) == 3 * (NUM_VIDEOS + 1)
    assert len(set((corpus / "tables" / "indexes").rglob("*.arrow")) - shards) == 1

    aligned = found(corpus, text="egg", model=str(corpus / "pretrained"), window_seconds=6.0, num_results=2)
    assert len({name for name, _, _ in aligned}) == 2
    assert aligned[0][2] >= aligned[1][2]


def test_an_example_finds_what_looks_alike_and_not_itself(corpus: Path, joined: None, tmp_path: Path):
    rows = Table(str(corpus / "tables"), FEATURES).read(columns=["video_id", "features"], partition="fake")
    names = [row["video_id"] for row in rows.to_pylist() for _ in row["features"]]
    vectors = np.array([vector for row in rows.to_pylist() for vector in row["features"]])
    asked = vectors[names.index("cooking-2") + 2]  # shown from 3.0 to 4.5 s
    scores = vectors @ asked / np.linalg.norm(vectors, axis=1) / np.linalg.norm(asked)
    best = {name: score for score, name in sorted(zip(scores, names, strict=True))}
    wanted = sorted((name for name in best if name != "cooking-2"), key=lambda name: -best[name])
    page = tmp_path / "found.html"
    hits = found(corpus, like="cooking-2.mp4@3.2", html=str(page))
    assert [name for name, _, _ in hits] == wanted
    np.testing.assert_allclose([score for *_, score in hits], [best[name] for name in wanted], atol=2e-3)
    assert page.read_text().count("<img ") == 1, "of the one video that lies there"
    with pytest.raises(UserError, match=r"--like cooking-1@99: no clip at that time; .* ends at 18\.0"):
        found(corpus, like="cooking-1@99")
