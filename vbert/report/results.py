"""What a search found as one HTML file that fetches nothing and runs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from vbert.report.page import policy_hash
from vbert.search.hits import Hit


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A hit, and where its video lies."""

    hit: Hit
    uri: str

    def times(self) -> str:
        """`2:05.0 - 2:15.0`, minutes and seconds."""
        return f"{_clock(self.hit.start_seconds)} - {_clock(self.hit.end_seconds)}"


def render_results(asked: str, how: str, results: Sequence[Result], frames: Sequence[str | None]) -> str:
    """The page. `frames` are data: URLs, None where there is none; texts are never read as markup."""
    static = files("vbert.report").joinpath("static")
    style = static.joinpath("page.css").read_text()
    items = [_item(result, frame) for result, frame in zip(results, frames, strict=True)]
    return Template(static.joinpath("results.html").read_text()).substitute(
        style=style,
        style_hash=policy_hash(style),
        asked=escape(asked),
        how=escape(how),
        results="\n".join(items),
    )


def _item(result: Result, frame: str | None) -> str:
    image = f'<img src="{frame}" alt="">' if frame else '<span class="none">no frame</span>'
    return (
        f"<li>{image}<div><b>{escape(result.uri.rsplit('/', 1)[-1])}</b> {result.times()}"
        f"<br>{result.hit.score:.3f} <small>{escape(result.uri)}</small></div></li>"
    )


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
