"""Transcripts in the formats of players, sites and recognisers: hand-written files of their shapes."""

import json
from pathlib import Path

import pytest

from vbert.errors import VideoError
from vbert.text.transcripts import open_transcript, parse_transcript

SRV1 = """<?xml version="1.0" encoding="utf-8" ?><transcript>
<text start="1.0" dur="2.5">Cut the onion.</text>
<text start="4" dur="2">Don&amp;#39;t cry.</text></transcript>"""
SRV2 = """<?xml version="1.0" ?><timedtext>
<text t="1000" d="2500">Cut the onion.</text>
<text t="4000" d="2000" w="1">Don&amp;#39;t cry.</text></timedtext>"""
SRV3 = """<?xml version="1.0" encoding="utf-8" ?><timedtext format="3"><head><pen id="1" b="1"/></head><body>
<w t="0" id="1"/><p t="1000" d="2500" w="1"><s ac="252">Cut</s><s t="500"> the</s><s t="900"> onion.</s></p>
<p t="3490" d="510" w="1" a="1">
</p><p t="4000" d="2000">Don't cry.</p></body></timedtext>"""
TTML = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25"
 ttp:tickRate="10000000" xml:lang="en"><head><styling/></head><body><div begin="1s">
<p begin="00:00:00.000" end="00:00:02:12">Cut
   the<br/><span tts:x="1" xmlns:tts="t">onion.</span></p></div>
<div><p begin="40000000t" dur="2s">Don't cry.</p></div></body></tt>"""
SPANS = """<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="6s">
<span begin="0s" end="2.5s">Cut the onion.</span>
<span begin="3s" end="5s">Don't cry.</span></p></div></body></tt>"""
SBV = """0:00:01.000,0:00:03.500
Cut the
onion.

0:00:04.000,0:00:06.000
Don't cry.
"""
ASS = r"""[Script Info]
Title: a lesson
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not said
Dialogue: 0,0:00:01.00,0:00:03.50,Default,Ann,0,0,0,,{\an8\i1}Cut the\Nonion.{\i0}
Dialogue: 0,0:00:04.00,0:00:06.00,Default,,0,0,0,,Don't cry.
Dialogue: 1,0:00:04.00,0:00:06.00,Default,,0,0,0,,{\p1}m 0 0 l 100 0 100 100{\p0}
"""
WHISPER = {
    "text": " Cut the onion. Don't cry.",
    "segments": [
        {"id": 0, "start": 1.0, "end": 3.5, "text": " Cut the onion."},
        {"id": 1, "start": 4.0, "end": 6.0, "text": " Don't cry."},
    ],
    "language": "en",
}
WHISPERX = {
    "segments": [
        {
            "start": 1.0,
            "end": 3.5,
            "text": "Cut 2 onions.",
            "words": [
                {"word": "Cut", "start": 1.0, "end": 1.4, "score": 0.9},
                {"word": "2"},
                {"word": "onions.", "start": 2.0, "end": 3.5, "score": 0.8},
            ],
        }
    ],
    "word_segments": [],
}
WHISPER_CPP = {
    "systeminfo": "AVX",
    "transcription": [
        {
            "timestamps": {"from": "00:00:01,000"},
            "offsets": {"from": 1000, "to": 3500},
            "text": " Cut the onion.",
        },
        {
            "timestamps": {"from": "00:00:04,000"},
            "offsets": {"from": 4000, "to": 6000},
            "text": " Don't cry.",
        },
    ],
}
YOUTUBE_TRANSCRIPT_API = [
    {"text": "Cut the onion.", "start": 1.0, "duration": 2.5},
    {"text": "Don&#39;t cry.", "start": 4.0, "duration": 2.0},
]
BOTH = [("Cut the onion.", 1.0, 3.5), ("Don't cry.", 4.0, 6.0)]


def said(text: str) -> list[tuple[str, float, float]]:
    return [
        (
            sentence.text,
            pytest.approx(sentence.start_seconds, abs=1e-6),
            pytest.approx(sentence.end_seconds, abs=1e-6),
        )
        for sentence in parse_transcript(text)
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(SRV1, SRV2, SRV3, SPANS, SBV, ASS, "\ufeff" + ASS, SBV.replace("\n", "\r\n")),
        *map(json.dumps, (WHISPER, WHISPER["segments"], WHISPER_CPP, YOUTUBE_TRANSCRIPT_API)),
    ],
    ids=["srv1", "srv2", "srv3", "spans", "sbv", "ass", "bom", "crlf", "whisper", "faster", "cpp", "api"],
)
def test_each_format_gives_its_sentences_and_times(text: str):
    assert said(text.replace("\r\n", "\n")) == BOTH


def test_ttml_counts_frames_ticks_and_from_what_is_around():
    assert said(TTML) == [("Cut the onion.", 1.0, 1.0 + 2 + 12 / 25), ("Don't cry.", 4.0, 6.0)]


def test_what_whisperx_cannot_align_is_said_between_its_neighbours():
    (sentence,) = parse_transcript(json.dumps(WHISPERX))
    assert (sentence.text, sentence.start_seconds, sentence.end_seconds) == ("Cut 2 onions.", 1.0, 3.5)


def test_a_line_ends_where_the_next_one_begins():
    lines = [line | {"duration": 9.0} for line in YOUTUBE_TRANSCRIPT_API]
    assert said(json.dumps(lines)) == [("Cut the onion.", 1.0, 4.0), ("Don't cry.", 4.0, 13.0)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><tt>&a;</tt>', "not XML: EntitiesForbidden"),
        ("<html><body>404</body></html>", "XML of another kind: <html>"),
        ("<tt", "not XML: ParseError"),
        ("<tt><body><p begin='soon'>x</p></body></tt>", "broken tt: ValueError 'soon' is no time"),
        ("<transcript><text>no time</text></transcript>", "broken transcript: KeyError"),
        ('{"segments": [{"start": 0, "end": 1e999, "text": "x"}]}', "broken JSON: ValueError inf is no time"),
        ('{"segments": [{"start": 0, "end": 1, "text": "x", "words": [{"w": 1}]}]}', "broken JSON: KeyError"),
        ('{"title": "metadata"}', "JSON of another shape"),
        ("[1, 2]", "broken JSON: AttributeError"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, reason: str):
    with pytest.raises(VideoError) as error:
        parse_transcript(text)
    assert error.value.reason.startswith(reason)


def test_a_downloader_s_json_is_no_transcript_that_is_lost(tmp_path: Path):
    path = tmp_path / "talk.json"
    path.write_text('{"title": "a talk", "uploader": "x"}')
    found = open_transcript(str(path))
    assert (found.sentences, found.lost, found.notes) == ([], None, ("the JSON beside it is no transcript",))
