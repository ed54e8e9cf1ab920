"""Which transcript beside a video is taken."""

import pytest

from vbert.corpus.sidecars import best_sidecars, language_of, stated_language
from vbert.corpus.sources import VIDEO_EXTENSIONS
from vbert.errors import UserError


def best(*names: str, language: str = "en") -> str | None:
    found = best_sidecars(
        [f"/v/{name}" for name in names], language=language, video_extensions=VIDEO_EXTENSIONS
    )
    return found.get("/v/talk", "").removeprefix("/v/") or None


@pytest.mark.parametrize(
    "name",
    [
        *("talk.vtt", "talk.en.vtt", "talk.eng.srt", "talk.English.srt", "talk.en-US.vtt", "talk.en_GB.srt"),
        *("talk.mp4.srt", "talk.en.sdh.srt", "talk.eng.cc.vtt", "talk.en-orig.vtt", "talk.mkv.de.srt"),
        *(
            "talk.de.vtt",
            "talk.ger.srt",
            "talk.German.srt",
            "talk.hi.srt",
            "talk.en.hi.srt",
            "talk.en.forced.srt",
        ),
    ],
)
def test_whatever_stands_between_name_and_extension(name: str):
    assert best(name) == name


@pytest.mark.parametrize(
    "name", ["talks.vtt", "talk2.en.vtt", "talk.part1.vtt", "talk.xx.vtt", "talk.a.b.vtt"]
)
def test_another_videos_is_not_taken(name: str):
    assert best(name) is None


@pytest.mark.parametrize(
    "names",
    [
        ("talk.en.vtt", "talk.eng.vtt", "talk.vtt", "talk.de.vtt"),
        ("talk.eng.srt", "talk.vtt", "talk.de.vtt"),
        ("talk.en.vtt", "talk.en.sdh.vtt", "talk.vtt", "talk.en.forced.vtt"),
        ("talk.de.vtt", "talk.en.forced.vtt"),
        ("talk.vtt", "talk.srt", "talk.json3", "talk.fr.vtt"),
        ("talk.mp4.srt", "talk.fr.srt"),
    ],
)
def test_the_first_of_these_is_taken_in_whatever_order_they_lie(names: tuple[str, ...]):
    assert best(*names) == best(*reversed(names)) == names[0]


@pytest.mark.parametrize(
    ("language", "expected"),
    [("de", "talk.de.vtt"), ("German", "talk.de.vtt"), ("deu", "talk.de.vtt"), ("fr", "talk.vtt")],
)
def test_the_language_that_was_asked_for_comes_first(language: str, expected: str):
    assert best("talk.en.vtt", "talk.de.vtt", "talk.vtt", language=language) == expected


def test_a_video_that_is_named_like_its_language_keeps_its_own():
    found = best_sidecars(["/v/talk.en.vtt", "/v/talk.vtt"], language="en", video_extensions=VIDEO_EXTENSIONS)
    assert found["/v/talk.en"] == "/v/talk.en.vtt"


def test_languages_by_any_name():
    codes = [language_of(name) for name in ("fr", "fre", "fra", "French", "french", "fr-CA", "q9", "part1")]
    assert codes == ["fra"] * 6 + [None] * 2
    with pytest.raises(UserError, match="--language klingonese: is no language of ISO 639"):
        best("talk.vtt", language="klingonese")


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        ("talk.de.vtt", "deu"),
        ("talk.sdh.English.srt", "eng"),
        ("talk.pt-BR.cc.vtt", "por"),
        ("talk.vtt", None),
        ("talk.auto.vtt", None),
        ("other.de.vtt", None),
        ("it.de.vtt", None),
    ],
)
def test_the_language_that_a_name_states(transcript: str, expected: str | None):
    assert stated_language(f"s3://bucket/texts/{transcript}", "s3://bucket/it/talk.mp4") == expected
