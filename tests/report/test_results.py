"""The page of a search, as an HTML parser reads it."""

from html.parser import HTMLParser

from tests.report.test_page import HOSTILE, jpeg
from vbert.report.results import Result, render_results
from vbert.search.hits import Hit


class Elements(HTMLParser):
    """What a page holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_the_results_and_reads_no_text_as_markup():
    hits = [
        Hit(video_id=name, start_seconds=125.04, end_seconds=135.0, score=score)
        for name, score in [("p", 0.5), ("q", 0.25)]
    ]
    results = [Result(hit=hit, uri=f"/videos/{HOSTILE}-{hit.video_id}.mp4") for hit in hits]
    page = Elements(render_results(HOSTILE, "cosine", results, [jpeg(), None]))
    names = [name for name, _ in page.tags]
    assert "script" not in names
    (image,) = [attributes for name, attributes in page.tags if name == "img"]
    assert str(image["src"]).startswith("data:image/jpeg;base64,")
    assert page.text.count("2:05.0 - 2:15.0") == 2
    assert page.text.index("0.500") < page.text.index("0.250")
    assert HOSTILE in page.text
    assert "no frame" in page.text
