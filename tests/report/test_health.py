"""Corpus health from rows of tables, by values written down."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from vbert.report.health import (
    EDGES,
    CopiesSurvey,
    SignalsSurvey,
    SpeechSurvey,
    example_places,
    health_facts,
)
from vbert.tables.schemas import DOCUMENTS, DUPLICATES, FEATURES, SIGNALS


def segment(video_id: str, first: float, **signals: list[float | None]) -> dict[str, Any]:
    return {"video_id": video_id, "clip_start_seconds": [first, first + 1.5], **signals}


PLAIN: dict[str, Any] = {"sharpness": [3.0, 9999.0], "cut": [1.0, 2.0]}
FEATURE_ROWS = pa.Table.from_pylist(
    [
        segment("a", 0.0, motion=[0.0, 1.9], brightness=[20.0, 255.0], **PLAIN),
        segment("a", 3.0, motion=[2.0, 80.0], brightness=[3.0, 99.9], **PLAIN),
        segment("old", 0.0),
        segment("b", 0.0, motion=[None, None], brightness=[9.0, 100.0], **PLAIN | {"cut": [None, None]}),
    ],
    schema=FEATURES.schema,
)


def test_clips_are_counted_by_their_signals_and_the_extremes_kept():
    found = SignalsSurvey.of(FEATURE_ROWS)
    parts = [SignalsSurvey.of(FEATURE_ROWS.slice(at, 1)) for at in range(4)]
    summed = parts[3] + parts[2] + parts[1] + parts[0]
    for survey in (found, summed):
        motion = dict(zip(EDGES["motion"].tolist(), survey.counts["motion"].tolist(), strict=True))
        assert {edge: count for edge, count in motion.items() if count} == {0: 2, 2: 1, 48: 1}
        brightness = np.repeat(EDGES["brightness"], survey.counts["brightness"])
        assert brightness.tolist() == [0, 0, 20, 90, 100, 240]
        assert survey.num_without == 2
        # The darkest of each video.
        assert survey.extremes["darkest"] == [(3.0, ("a", 3.0)), (9.0, ("b", 0.0))]
        assert survey.extremes["least motion"] == [(0.0, ("a", 0.0))]
        assert [pair[0] for pair in survey.extremes["largest cut"]] == [-2.0]


def test_languages_and_what_was_left_out():
    rows = [
        {"language": "eng", "num_black": 2, "num_stills": 0, "num_cuts": 1},
        {"language": "deu", "excluded_for": "other-languages"},
        {"language": "eng", "num_black": 3},
        {},
    ]
    table = pa.Table.from_pylist(rows, schema=DOCUMENTS.schema)
    found = SpeechSurvey.of(table[:3]) + SpeechSurvey.of(table[3:])
    assert found.languages == {"eng": 2, "deu": 1, "none, or not known": 1}
    assert found.left_out == {"other-languages": 1, "clips: black": 5, "clips: cuts": 1}


def test_the_page_is_told_what_was_found():
    copies = pa.Table.from_pylist(
        [
            {"video_id": "a", "kept_id": "a", "offset_seconds": 0.0},
            {"video_id": "b", "kept_id": "a", "offset_seconds": 7.5},
            {"video_id": "c", "kept_id": "a", "offset_seconds": -3.0},
        ],
        schema=DUPLICATES.schema,
    )
    survey, signals = (
        CopiesSurvey.of(copies[:2]) + CopiesSurvey.of(copies[2:]),
        SignalsSurvey.of(FEATURE_ROWS),
    )
    places = example_places(signals, survey)
    # Where the copy and the kept one show the same moment.
    assert places[-4:] == [("b", 0.0), ("a", 7.5), ("c", 3.0), ("a", 0.0)]
    reasons = Counter({f"decode: {number}": number for number in range(1, 23)})
    facts = health_facts(
        signals, SpeechSurvey(), survey, reasons, images={("a", 3.0): 5}, uris={"a": "/a.mp4"}
    )
    assert [signal["name"] for signal in facts["signals"]] == list(SIGNALS)
    assert [signal["threshold"] for signal in facts["signals"]] == [0.5, 10.0, None, 40.0]
    darkest, still, cut = facts["examples"]
    assert darkest["clips"][0] == {"image": 5, "uri": "/a.mp4", "seconds": 3.0, "value": 3.0}
    assert darkest["clips"][1] == {"image": None, "uri": "b", "seconds": 0.0, "value": 9.0}
    assert (still["clips"][0]["value"], cut["clips"][0]["value"]) == (0.0, 2.0)
    tables = {table["name"]: table["rows"] for table in facts["tables"]}
    assert tables["Copies of other videos"] == [("copies", 2), ("videos compared", 3)]
    assert tables["Failures by reason"][0] == ("decode: 22", 22)
    assert tables["Failures by reason"][-1] == ("others", 3)
    assert set(tables) == {"Copies of other videos", "Failures by reason"}


def test_of_nothing_nothing_is_said():
    facts = health_facts(SignalsSurvey(), SpeechSurvey(), CopiesSurvey(), Counter(), images={}, uris={})
    assert {name: bool(found) for name, found in facts.items()} == dict.fromkeys(facts, False)
