"""Which transcript beside a video is its own: `talk.en.vtt`, `talk.English.sdh.srt`, `talk.mp4.srt`."""

import re
from collections.abc import Sequence, Set
from functools import lru_cache

from vbert.errors import UserError

# The first wins.
TRANSCRIPT_EXTENSIONS = (
    *("vtt", "srt", "json3", "srv3", "srv2", "srv1", "ttml", "dfxp", "sbv", "ass", "ssa", "json"),
)
# The `en` of talk.en.vtt, the `pt-BR` of talk.pt-BR.srt: a language tag as BCP 47 has it.
TAG = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]+)*")
# What else people and downloaders put between a video's name and the extension.
REMARKS = {"sdh", "cc", "orig", "auto", "asr", "default", "full", "captions", "subtitles", "subs", "forced"}
FORCED = "forced"  # only what is said in another language than the film's
# How well a language fits: as it was asked for; a variant or another name of it; not named; another.
ASKED, VARIANT, UNNAMED, OTHER = range(4)
MAX_PARTS = 5  # of a name, from its end


def best_sidecars(uris: Sequence[str], *, language: str, video_extensions: Set[str]) -> dict[str, str]:
    """The best transcript for each name, without extension, that a video beside it may have.

    `language` is what was asked for, by a code or a name of ISO 639. Full transcripts come before those of
    foreign words alone (forced), .vtt before .srt before .json3, then the first by name.
    """
    wanted = language_of(language)
    if wanted is None:
        raise UserError(f"--language {language}: is no language of ISO 639; give a code or an English name")
    best: dict[str, tuple[tuple[bool, int, bool, int, str], str]] = {}
    for uri in uris:
        name, _, extension = uri.rpartition(".")
        preference = TRANSCRIPT_EXTENSIONS.index(extension.lower())
        for stem, fit, remarks in _readings(name, language.lower(), wanted, video_extensions):
            rank = (FORCED in remarks, fit, bool(remarks), preference, uri)
            best[stem] = min((rank, uri), best.get(stem, (rank, uri)))
    return {stem: uri for stem, (_, uri) in best.items()}


def _readings(
    name: str, asked: str, wanted: str, video_extensions: Set[str]
) -> list[tuple[str, int, frozenset[str]]]:
    """Which names a video may have that this is the transcript of: as it stands, or without the parts at its
    end that say something of the transcript; with how its language fits, and what else was said."""
    found = [(name, UNNAMED, frozenset[str]())]
    fit, remarks = UNNAMED, frozenset[str]()
    folder, slash, rest = name.rpartition("/")
    for _ in range(MAX_PARTS):
        rest, dot, part = rest.rpartition(".")
        lower = part.lower()
        if not (dot and rest):
            break
        if lower == "hi" and language_of(rest.rpartition(".")[2]) is not None:
            remarks |= {lower}  # "hearing impaired" behind a language, and Hindi else
        elif lower in REMARKS:
            remarks |= {lower}
        elif fit == UNNAMED and language_of(part) is not None:
            fit = ASKED if lower == asked else VARIANT if language_of(part) == wanted else OTHER
        elif lower not in video_extensions:
            break
        found.append((f"{folder}{slash}{rest}", fit, remarks))
    return found


def stated_language(transcript_uri: str, video_uri: str) -> str | None:
    """The language that a transcript's name gives behind its video's (`talk.mp4`, `talk.de.vtt`), as
    `language_of` has it; None: none."""
    video = video_uri.rsplit("/", 1)[-1].rpartition(".")[0]
    name = transcript_uri.rsplit("/", 1)[-1].rpartition(".")[0]
    if not video or not name.startswith(f"{video}."):
        return None
    parts = [part for part in name.removeprefix(f"{video}.").split(".") if part.lower() not in REMARKS]
    return next((found for part in parts if (found := language_of(part))), None)


@lru_cache(maxsize=10_000)
def language_of(part: str) -> str | None:
    """The three letters of ISO 639-3 for a tag, a code or an English name; None: it is none."""
    if part.lower() in ("en", "eng", "english"):
        return "eng"  # without the library, whose table takes half a second to open
    from iso639 import Language, LanguageNotFoundError

    tag = TAG.fullmatch(part)
    for spelled in [tag[1].lower()] if tag else [part.capitalize()]:
        try:
            found = Language.match(spelled)
        except LanguageNotFoundError:
            return None
        return found.part3 or found.part2t or found.part2b
    return None
