"""Transcripts as people and machines write them -> sentences with times."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbert.errors import VideoError
from vbert.text.sentences import Word, split_sentences
from vbert.text.transcripts import Sentence, decode_text, parse_transcript, read_transcript, spread

# The shape of YouTube's automatic captions: a cue repeats the line before, a cue of 10 ms freezes it.
ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.389 align:start position:0%
~
now<00:00:00.480><c> slice</c><00:00:00.880><c> the</c><00:00:01.240><c> bread</c>

00:00:02.389 --> 00:00:02.399 align:start position:0%
now slice the bread
~

00:00:02.399 --> 00:00:05.150 align:start position:0%
now slice the bread
[Music]<00:00:03.560><c> and</c><00:00:03.800><c> toast</c><00:00:04.100><c> it</c>

00:00:05.150 --> 00:00:05.160 align:start position:0%
and toast it
~

""".replace("~", " ")  # lines of one space: they do not end a cue


def rows(text: str) -> list[tuple[str, float, float]]:
    return [
        (sentence.text, round(sentence.start_seconds, 3), round(sentence.end_seconds, 3))
        for sentence in parse_transcript(text)
    ]


def test_rolling_captions_are_said_once_with_the_times_of_their_words():
    # "bread" ends with its cue at 2.389, "and" begins at 3.56: a pause ends the sentence.
    assert rows(ROLLING) == [("Now slice the bread.", 0.16, 2.389), ("And toast it.", 3.56, 5.15)]


def test_rolling_lines_without_word_times_are_said_once_too():
    text = """1
00:00:00,000 --> 00:00:02,000
now slice the bread

2
00:00:02,000 --> 00:00:04,000
now slice the bread
and toast it

3
00:00:04,000 --> 00:00:06,000
and toast it
until it is brown
"""
    (sentence,) = rows(text)
    assert sentence[0] == "Now slice the bread and toast it until it is brown."
    assert sentence[1] == 0.0


def test_manual_webvtt_with_everything_that_it_may_hold():
    text = """\ufeffWEBVTT - a title
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

STYLE
::cue { color: lime }

NOTE a comment
over two lines

REGION
id:fred

intro
00:01.000 --> 00:03.000 line:0 position:20% size:60% align:start
- <v.loud Ann>Salt &amp; <i>pepper</i>, Dr. Lee?
- Use 3.5 grams.

1:00:00.500 --> 1:00:01.500
<c.colorE5E5E5>That is all!</c> &lt;3
"""
    # 24 letters, with the space behind them, and 14 share two seconds.
    assert [text for text, _, _ in rows(text)] == [
        "Salt & pepper, Dr. Lee?",
        "Use 3.5 grams.",
        "That is all!",
        "<3",
    ]
    assert rows(text)[0][1:] == (1.0, pytest.approx(1 + 2 * 24 / 38, abs=0.01))
    assert rows(text)[1][2] == 3.0
    assert rows(text)[2][1] == 3600.5


def test_srt_with_commas_tags_and_no_numbers():
    text = "00:00:01,5 --> 00:00:02,000\r\n{\\an8}<b>Peel</b> it.\r\n\r\n"
    text += "00:00:03.000 --> 00:00:04.000\r\nCut it.\r\n"
    assert rows(decode_text(text.encode())) == [("Peel it.", 1.5, 2.0), ("Cut it.", 3.0, 4.0)]


def test_json3_takes_words_from_segments_and_drops_the_windows_noise():
    events = [
        {"tStartMs": 0, "dDurationMs": 9000, "id": 1, "wpWinPosId": 1, "wsWinStyleId": 1},
        {
            "tStartMs": 80,
            "dDurationMs": 4000,
            "wWinId": 1,
            "segs": [
                {"utf8": "wash", "acAsrConf": 0},
                {"utf8": " the", "tOffsetMs": 400},
                {"utf8": " fish", "tOffsetMs": 700},
            ],
        },
        {"tStartMs": 1500, "dDurationMs": 2580, "wWinId": 1, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {"tStartMs": 5000, "dDurationMs": 1000, "wWinId": 1, "segs": [{"utf8": "[Applause]"}]},
        {"tStartMs": 6000, "dDurationMs": 1000, "segs": [{"utf8": "done"}]},
    ]
    # A segment's words share the time to the next one, or to the end of the event.
    assert rows(json.dumps({"wireMagic": "pb3", "events": events})) == [
        ("Wash the fish.", 0.08, 4.08),
        ("Done.", 6.0, 7.0),
    ]


def test_times_that_make_no_sense_are_repaired_the_same_way_every_time():
    text = """WEBVTT

00:05.000 --> 00:06.000
Third.

00:01.000 --> 00:03.000
First.

00:02.000 --> 00:04.000
Second.

00:09.000 --> 00:08.000
Backwards.

-00:01.000 --> 00:00.500
Zeroth.

00:07.000 --> 00:07.000
Flash.
"""
    assert [sentence[0] for sentence in rows(text)] == ["Zeroth.", "First.", "Second.", "Third.", "Flash."]
    assert rows(text)[0][1] == 0.0
    assert rows(text)[1] == ("First.", 1.0, 2.0), "it ends where the next begins"
    assert rows(text)[4][1:] == (7.0, 7.0)


def test_cues_that_overlap_keep_their_words_together():
    cues = [
        ("0.000", "4.000", "add a cup of"),
        ("2.000", "6.000", "flour and two"),
        ("4.000", "6.000", "eggs to it"),
    ]
    text = "WEBVTT\n\n" + "\n".join(f"00:0{start} --> 00:0{end}\n{line}\n" for start, end, line in cues)
    assert rows(text) == [("Add a cup of flour and two eggs to it.", 0.0, 6.0)]


@pytest.mark.parametrize("line", ["(applause)", "[Music]", "♪ ♪", ">>", "  (LAUGHS) "])
def test_what_is_not_speech_is_no_sentence(line: str):
    assert rows(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{line}\n") == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nCafé.\n".encode(), "Café."),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nCafé.\n".encode("utf-8-sig"), "Café."),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nCafé.\n".encode("utf-16"), "Café."),
        ("1\n00:00:00,000 --> 00:00:01,000\nCafé.\n".encode("cp1252"), "Café."),
        ("WEBVTT\r\r00:00.000 --> 00:01.000\rCafé.\r".encode(), "Café."),
    ],
)
def test_encodings_and_line_ends(tmp_path: Path, content: bytes, text: str):
    (tmp_path / "talk.vtt").write_bytes(content)
    assert [sentence.text for sentence in read_transcript(str(tmp_path / "talk.vtt"))] == [text]


def test_content_counts_not_the_name(tmp_path: Path):
    (tmp_path / "talk.json3").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    assert [sentence.text for sentence in read_transcript(f"file://{tmp_path}/talk.json3")] == ["Hello."]


def test_an_empty_file_has_no_sentence(tmp_path: Path):
    (tmp_path / "talk.vtt").write_text("")
    assert read_transcript(str(tmp_path / "talk.vtt")) == []
    assert parse_transcript("WEBVTT\n\n") == []


@pytest.mark.parametrize(
    "text",
    [
        *("hello there", '{"captions": []}', '{"events": [{"segs": 3}]}', "{" * 100_000, '{"events": null}'),
        *(
            '{"events": [{"segs": [{"utf8": "so"}], "tStartMs": ' + ms + "}]}"
            for ms in ("NaN", "1e999", "1e12")
        ),
    ],
)
def test_what_is_no_transcript_is_a_videos_error(text: str):
    with pytest.raises(VideoError) as error:
        parse_transcript(text)
    assert error.value.stage == "transcript"


@pytest.mark.parametrize("piece", ["a ", "<c>", "&amp;"])
def test_more_words_than_anyone_says_are_a_videos_error_before_they_take_gigabytes(piece: str):
    reason = "more than 2,000,000 words, tags and entities"
    with pytest.raises(VideoError, match=reason):
        parse_transcript("WEBVTT\n\n00:00.000 --> 00:10.000\n" + piece * 2_000_000)
    with pytest.raises(VideoError, match=reason):
        parse_transcript(json.dumps({"events": [{"tStartMs": 0, "segs": [{"utf8": piece * 2_000_001}]}]}))


def test_a_missing_or_huge_file_or_a_pipe_is_a_videos_error(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.vtt")
    with pytest.raises(VideoError, match="a pipe, a socket or a device, not a file"):
        read_transcript(str(tmp_path / "pipe.vtt"))
    with pytest.raises(VideoError, match="No such file"):
        read_transcript(str(tmp_path / "none.vtt"))
    with (tmp_path / "huge.vtt").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(VideoError, match="larger than 64 MB"):
        read_transcript(str(tmp_path / "huge.vtt"))


@pytest.mark.parametrize("filler", ["<c", "[", "(", "{\\", "00:", " ", "<00:00:00.000>", "&", "a\n", "-->"])
def test_hostile_text_takes_time_in_proportion_to_its_length(filler: str):
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n" + filler * (400_000 // len(filler))
    start = time.process_time()
    parse_transcript(text)
    assert time.process_time() - start < 20, "a square would take minutes"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Ask Mr. Brown. He knows.", ["Ask Mr. Brown.", "He knows."]),
        ("Add salt, e.g. sea salt. Stir.", ["Add salt, e.g. sea salt.", "Stir."]),
        ("J. R. Smith cooks. Well... yes!", ["J. R. Smith cooks.", "Well... yes!"]),
        ('"Cut it?" he asked. No.', ['"Cut it?"', "he asked.", "No."]),
        ("Use 3.5 cups. then stir. Done.", ["Use 3.5 cups. then stir.", "Done."]),
    ],
)
def test_full_stops_end_sentences_and_abbreviations_do_not(text: str, sentences: list[str]):
    words = spread(text.split(), 0.0, 10.0)
    assert [found for found, _, _ in split_sentences(words)] == sentences


def test_without_punctuation_pauses_and_length_end_sentences():
    words = [Word(f"w{number}", number * 0.4, number * 0.4 + 0.3) for number in range(45)]
    words += [Word("later", 30.0, 30.5)]
    found = list(split_sentences(words))
    assert [len(text.split()) for text, _, _ in found] == [20, 20, 5, 1]
    assert found[0][0].startswith("W0 w1")
    assert found[0][0].endswith("w19.")
    assert (found[0][1].start_seconds, found[0][2].end_seconds) == (0.0, pytest.approx(7.9))


def in_order(sentences: list[Sentence]) -> bool:
    starts = [sentence.start_seconds for sentence in sentences]
    return starts == sorted(starts) and all(
        0 <= sentence.start_seconds <= sentence.end_seconds for sentence in sentences
    )


def sentences_or_none(text: str) -> list[Sentence]:
    with suppress(VideoError):  # anything else is a bug
        return parse_transcript(text)
    return []


cue_times = st.floats(-10, 5000).map(
    lambda s: f"{'-' if s < 0 else ''}{int(abs(s)) // 60:02}:{abs(s) % 60:06.3f}"
)
cues = st.lists(st.tuples(cue_times, cue_times, st.text(max_size=40)), max_size=9)


@given(cues)
def test_any_cues_give_sentences_in_time_order(entries: list[tuple[str, str, str]]):
    text = "WEBVTT\n\n" + "\n\n".join(f"{start} --> {end}\n{body}" for start, end, body in entries)
    assert in_order(sentences_or_none(text))


@given(st.text(max_size=300) | st.text('0123456789:.,-> <c>\n{}[]"', max_size=300))
def test_any_text_gives_sentences_or_a_videos_error(text: str):
    assert in_order(sentences_or_none(text))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["segs", "utf8", "tStartMs", "tOffsetMs"]), inner)
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4))
def test_any_json_gives_sentences_or_a_videos_error(events: list[object]):
    assert in_order(sentences_or_none(json.dumps({"events": events})))
