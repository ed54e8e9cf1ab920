"""Transcripts as people, converters and players leave them: what each says, and when.

Written after public reports about other projects' parsers; a file is odd in one way, which its name says.
"""

from pathlib import Path

import pytest

from vbert.errors import VideoError
from vbert.text.encodings import decode_text
from vbert.text.transcripts import Sentence, open_transcript, parse_transcript, read_transcript

PEEL, CUT = "Peel it.", "Cut it."


def srt(*cues: tuple[str, str]) -> str:
    return "\n\n".join(f"{number}\n{time}\n{text}" for number, (time, text) in enumerate(cues, start=1))


def vtt(*cues: tuple[str, str]) -> str:
    return "WEBVTT\n\n" + "\n\n".join(f"{time}\n{text}" for time, text in cues)


def rows(text: str) -> list[tuple[str, float, float]]:
    return [
        (sentence.text, round(sentence.start_seconds, 3), round(sentence.end_seconds, 3))
        for sentence in parse_transcript(text)
    ]


FIRST, SECOND = "00:00:00,000 --> 00:00:01,000", "00:00:01,000 --> 00:00:02,000"
AN_ARROW = [("Peel it.", 0.0, 1.0)]
TWO = [("Peel it.", 0.0, 1.0), ("Cut it.", 1.0, 2.0)]
SRT = {
    "no spaces round the arrow": (srt(("00:00:00,000-->00:00:01,000", PEEL)), AN_ARROW),
    "no fractions": (
        srt(("00:00:20 --> 00:00:24", PEEL), ("00:00:24 --> 00:00:27", CUT)),
        [("Peel it.", 20.0, 24.0), ("Cut it.", 24.0, 27.0)],
    ),
    "a colon before the fraction": (srt(("00:00:00:000 --> 00:00:01:250", PEEL)), [("Peel it.", 0.0, 1.25)]),
    "a short arrow": (srt((FIRST, PEEL), ("00:00:01,000 -> 00:00:02,000", CUT)), TWO),
    "an arrow in pieces": (srt((FIRST, PEEL), ("00:00:01,000 -- > 00:00:02,000", CUT)), TWO),
    "an arrow of HTML": (
        srt(*((time.replace(">", "&gt;"), text) for time, text in ((FIRST, PEEL), (SECOND, CUT)))),
        TWO,
    ),
    "spaces of a translation service": (
        srt(("00: 00: 00, 000 - -> 00: 00: 01, 000", PEEL), ("00: 00: 01,000 -> 00: 00: 02,000", CUT)),
        TWO,
    ),
    "a dash for an arrow": (srt((FIRST, PEEL), ("00:00:01,000 \u2013> 00:00:02,000", CUT)), TWO),
    "seven digits of a fraction": (
        srt(("00:00:00.0000000 --> 00:00:01.2500000", PEEL)),
        [("Peel it.", 0, 1.25)],
    ),
    "no empty line between cues": (f"1\n{FIRST}\n{PEEL}\n2\n{SECOND}\n{CUT}\n", TWO),
    "an empty line within a cue": (
        f"1\n00:00:00,000 --> 00:00:02,000\n{PEEL}\n\n{CUT}\n\n2\n00:00:02,000 --> 00:00:03,000\nFry it.\n",
        [("Peel it.", 0.0, 1.125), ("Cut it.", 1.125, 2.0), ("Fry it.", 2.0, 3.0)],
    ),
    "an empty line before the text": (f"1\n{FIRST}\n\n{PEEL}\n\n2\n{SECOND}\n\n{CUT}\n", TWO),
    "hard spaces of SSA": (srt((FIRST, r"\h\hPeel\hit.")), AN_ARROW),
    "hard breaks of SSA": (srt((FIRST, r"Peel\Nit.")), AN_ARROW),
    "asides over two lines": (
        srt(
            (FIRST, "[upbeat music\nplaying]"),
            (SECOND, "(crowd\ncheering)"),
            ("00:00:02,000 --> 00:00:03,000", CUT),
        ),
        [("Cut it.", 2.0, 3.0)],
    ),
    "a number for a text": (srt((FIRST, "3"), (SECOND, CUT)), [("3 Cut it.", 0.0, 2.0)]),
    "times in a text": (
        srt((FIRST, PEEL + "\nfrom 1:20 -> 2:30")),
        [("Peel it.", 0, 0.346), ("from 1:20 -> 2:30", 0.346, 1)],
    ),
    "coordinates": (srt((FIRST + "  X1:100 X2:200 Y1:1 Y2:2", PEEL)), AN_ARROW),
}


@pytest.mark.parametrize(("text", "expected"), SRT.values(), ids=list(SRT))
def test_loosely_written_srt(text: str, expected: list[tuple[str, float, float]]):
    assert rows(text) == [pytest.approx(row, abs=0.002) for row in expected] or rows(text) == expected


def test_lines_that_were_converted_twice():
    text = srt(("00:00:00,000 --> 00:00:02,000", PEEL), ("00:00:02,000 --> 00:00:03,000", "Fry it."))
    assert [sentence.text for sentence in _read(text.replace("\n", "\r\r\n").encode())] == [PEEL, "Fry it."]


def _read(content: bytes) -> list[Sentence]:
    return parse_transcript(decode_text(content))


def test_rolling_captions_that_ffmpeg_has_converted():
    text = srt(
        ("00:00:00,160 --> 00:00:02,389", "\r\nnow slice the bread"),
        ("00:00:02,389 --> 00:00:02,399", "now slice the bread\r\n "),
        ("00:00:02,399 --> 00:00:05,150", "now slice the bread\r\nand then toast it"),
        ("00:00:05,150 --> 00:00:05,160", "and then toast it\r\n "),
        ("00:00:05,160 --> 00:00:08,000", "and then toast it\r\nuntil it is brown"),
    )
    (sentence,) = _read(text.encode())
    assert sentence.text == "Now slice the bread and then toast it until it is brown."
    assert (sentence.start_seconds, sentence.end_seconds) == (0.16, 8.0)


def test_cues_that_stand_there_twice_are_said_once_and_take_their_time():
    peel = ("00:00:01.800 --> 00:00:06.900 position:97%", "<c.colorA0AAB4></c><c.colorFEFEFE>Peel it.</c>")
    cut = ("00:00:06.900 --> 00:00:11.500 position:98%", "<c.colorFEFEFE>Cut it.</c>")
    assert rows(vtt(peel, peel, cut, cut)) == [(PEEL, 1.8, 6.9), (CUT, 6.9, 11.5)]


def test_cues_that_share_their_times_share_them():
    assert rows(vtt(("00:00.000 --> 00:02.000", PEEL), ("00:00.000 --> 00:02.000", "Stir it."))) == [
        (PEEL, 0.0, pytest.approx(1.0, abs=0.1)),
        ("Stir it.", pytest.approx(1.0, abs=0.1), 2.0),
    ]


def test_what_is_said_three_times_is_there_three_times():
    text = srt(*((f"00:00:0{at},000 --> 00:00:0{at + 1},000", "Stir.") for at in range(3)))
    assert rows(text) == [("Stir.", 0.0, 1.0), ("Stir.", 1.0, 2.0), ("Stir.", 2.0, 3.0)]


def test_whispers_highlights_are_one_cue():
    words = ["Peel", "the", "onion", "now."]
    lines = [" ".join(f"<u>{word}</u>" if word == one else word for word in words) for one in words]
    text = vtt(*((f"00:0{at}.000 --> 00:0{at + 1}.000", line) for at, line in enumerate(lines)))
    assert rows(text) == [("Peel the onion now.", 0.0, 4.0)]


def test_times_of_words_may_count_from_their_cue():
    text = vtt(
        ("00:01:00.000 --> 00:01:03.000", "Cut<00:00:01.000><c> it</c><00:00:02.000><c> now.</c>"),
        ("00:01:03.000 --> 00:01:05.000", "Fry it."),
    )
    assert rows(text) == [("Cut it now.", 60.0, 63.0), ("Fry it.", 63.0, 65.0)]


def test_times_of_words_that_go_backwards_leave_the_words_in_order():
    text = vtt(("00:00.000 --> 00:04.000", "Cut<00:00:03.000> it<00:00:01.000> now."))
    assert rows(text) == [("Cut it now.", 0.0, 4.0)]


def test_within_a_cue_is_no_pause():
    text = vtt(
        *((f"00:{at:02}.000 --> 00:{at + 4:02}.000", line) for at, line in ((0, "cut it"), (4, "and fry")))
    )
    assert rows(text) == [("Cut it and fry.", 0.0, 8.0)]


def test_a_gap_between_cues_is_a_pause():
    text = vtt(("00:00.000 --> 00:02.000", "cut it"), ("00:03.000 --> 00:04.000", "and fry"))
    assert rows(text) == [("Cut it.", 0.0, 2.0), ("And fry.", 3.0, 4.0)]


def test_an_abbreviation_is_no_punctuation():
    line = "so today we {} at the heart and how the blood flows"
    cues = [
        (f"00:{at:02}.000 --> 00:{at + 4:02}.000", line.format("dr." if at % 15 else "look"))
        for at in (0, 5, 10)
    ]
    assert [text for text, _, _ in rows(vtt(*cues))] == [
        line.format("look")[:1].upper() + line.format(word)[1:] + "." for word in ("look", "dr.", "dr.")
    ]


def test_full_stops_in_text_without_capitals():
    line = "now we cut the onion number {}. then we fry it."
    cues = [(f"00:{3 * at:02}.000 --> 00:{3 * at + 2:02}.500", line.format(at)) for at in range(6)]
    expected = [text for at in range(6) for text in (f"now we cut the onion number {at}.", "then we fry it.")]
    assert [text for text, _, _ in rows(vtt(*cues))] == expected


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("प्याज को काटें। फिर तेल में भूनें।", ["प्याज को काटें।", "फिर तेल में भूनें।"]),
        ("کیا حال ہے؟ شکریہ۔ چلو۔", ["کیا حال ہے؟", "شکریہ۔", "چلو۔"]),
        ("切洋葱。然后炸！好吗？", ["切洋葱。", "然后炸！", "好吗？"]),
        ("「切って。」そして炒める。", ["「切って。」そして炒める。"]),
        ("He said \u201cstop.\u201d Then he left.", ["He said \u201cstop.\u201d", "Then he left."]),
        ("Add 2 tbsp. of oil. Stir it, e.g. slowly.", ["Add 2 tbsp. of oil.", "Stir it, e.g. slowly."]),
        ("J. R. R. Tolkien wrote. So did Dr. Seuss.", ["J. R. R. Tolkien wrote.", "So did Dr. Seuss."]),
        ("Cut\u200b it.\u200e Fry\u2060 it.", ["Cut it.", "Fry it."]),
    ],
)
def test_full_stops_of_other_scripts(text: str, sentences: list[str]):
    found = parse_transcript(decode_text(vtt(("00:00.000 --> 00:04.000", text)).encode()))
    assert [sentence.text for sentence in found] == sentences


@pytest.mark.parametrize(
    ("content", "text", "note"),
    [
        (
            "Café crème. Voilà ".encode() + b"\xff.",
            "Café crème. Voilà \ufffd.",
            "letters lost, whose bytes are no UTF-8: 1",
        ),
        (
            "Доброе утро, сегодня мы режем лук и жарим рыбу на сковороде.".encode("cp1251"),
            None,
            "read as cp1251",
        ),
        (
            "今日は玉ねぎを切って魚を炒めます。よろしくお願いします。".encode("shift_jis"),
            None,
            "read as cp932",
        ),
        (
            "Wir schälen die Zwiebel, und dann grillen wir die Würste schön.".encode("cp1252"),
            None,
            "read as cp",
        ),
    ],
)
def test_encodings_are_told(tmp_path: Path, content: bytes, text: str | None, note: str):
    (tmp_path / "talk.srt").write_bytes(b"1\n00:00:00,000 --> 00:00:04,000\n" + content + b"\n")
    found = open_transcript(str(tmp_path / "talk.srt"))
    assert found.notes[0].startswith(note)
    if text is not None:
        assert " ".join(sentence.text for sentence in found.sentences) == text


def test_what_has_arrows_and_no_cue_is_no_empty_transcript():
    for text in ("WEBVTT\n\n00:aa --> 00:bb\nCut it.\n", "1\n--> 00:00:01,000\nCut it.\n", "0:1 --> x\n"):
        with pytest.raises(VideoError, match="none of its cues has times that can be used"):
            parse_transcript(text)


def test_cues_that_are_lost_are_counted(tmp_path: Path):
    file = tmp_path / "talk.srt"
    file.write_text(srt((FIRST, PEEL), ("00:00:xx,000 --> 00:00:02,000", "Lost."), (SECOND, CUT)))
    found = open_transcript(str(file))
    assert [sentence.text for sentence in found.sentences] == [PEEL, CUT]
    assert found.lost == "1 of 3 cues have no times that can be used"
    assert [sentence.text for sentence in read_transcript(str(file))] == [PEEL, CUT]
