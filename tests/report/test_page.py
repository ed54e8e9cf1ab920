"""The report's page in a real browser."""

import base64
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.base import AXE_FILE_PATH
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from vbert.report.page import render
from vbert.video.thumbnails import data_url

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"
    ),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync", "--window-size=1200,900"),
)
HOSTILE = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">&lt;b&gt;\u2028'


def jpeg() -> str:
    file = io.BytesIO()
    Image.new("RGB", (120, 90), (200, 80, 30)).save(file, "JPEG")
    return data_url(file.getvalue())


def facts(*, num_tokens: int = 30, text: str = "cut the egg") -> dict[str, Any]:
    return {
        "summary": [["Videos", "1,234"], ["Hours", "7.5"]],
        "images": [jpeg()],
        "tokens": {
            "ids": list(range(num_tokens)),
            "counts": [(number * 7919) % 1000 for number in range(num_tokens)],
            "words": [f"word{number} egg" if number % 3 else "" for number in range(num_tokens)],
            "images": [0 if number < 10 else None for number in range(num_tokens)],
        },
        "queries": [{"text": text, "tokens": [[3, 0.5], [20, 0.1]]}, {"text": "fry", "tokens": [[4, 0.9]]}],
        "forecasts": [{"seen": [1, 2], "followed": [3], "expected": [[3, 0.4], [1, 0.2]]}],
        "documents": [
            {
                "uri": f"/videos/{text}.mp4",
                "seconds": 9.0,
                "num_clips": 6,
                "clips": [[0.0, 3, 0], [1.5, 20, None]],
                "sentences": [[0.1, 2.0, text], [0.5, 3.0, "at the same time"]],
            }
        ],
        "curves": [{"name": "loss", "train": [[10, 3.0], [20, 2.0]], "validation": [[20, float("nan")]]}],
        "evaluations": [
            {
                "name": "zero-shot",
                "scores": {"model": {"top-1": 0.9, "median rank": 2.0}, "chance": {"top-1": 0.1}},
            }
        ],
        "ledger": [
            {"uri": f"/videos/{text}", "status": "failed", "stage": "probe", "reason": "no video stream"},
            {"uri": "b.mp4", "status": "failed", "stage": "decode", "reason": text},
        ],
        "health": {
            "signals": [
                {"name": "motion", "edges": [0, 2, 4], "counts": [5, 20, 0], "threshold": 0.5},
                {"name": "sharpness", "edges": [0, 100], "counts": [7, 8], "threshold": None},
            ],
            "without": 12,
            "examples": [{"name": "darkest", "clips": [clip(text, 0, 3.5), clip(text, None, 4.0)]}],
            "copies": [[clip(text, 0), clip("kept", 0)]],
            "tables": [{"name": "Failures by reason", "rows": [[f"decode: {text}", 3], ["others", 1]]}],
        },
    }


def clip(text: str, image: int | None, value: float | None = None) -> dict[str, Any]:
    return {"image": image, "uri": f"/videos/{text}.mp4", "seconds": 61.5, "value": value}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def show(browser: webdriver.Chrome, folder: Path, what: dict[str, Any]) -> None:
    page = folder / "report.html"
    page.write_text(render(what))
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())


def element(browser: webdriver.Chrome, selector: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """The texts that one sees, read in one go: the page draws its tokens while one scrolls."""
    found = "[...document.querySelectorAll(arguments[0])].filter((found) => found.checkVisibility())"
    shown = browser.execute_script(f"return {found}.map((found) => found.innerText)", selector)
    return [" ".join(text.split()) for text in shown]


def shown_tokens(browser: webdriver.Chrome) -> list[int]:
    return [int(text) for text in texts(browser, ".token b")]


def test_the_page_shows_everything_and_asks_nobody(browser: webdriver.Chrome, tmp_path: Path):
    show(browser, tmp_path, facts())
    assert texts(browser, "h2") == [
        "Summary", "Visual vocabulary", "From text to video", "What comes next", "Documents", "Corpus health",
        "Training", "Evaluation", "Videos with problems",
    ]  # fmt: skip
    assert "1,234" in element(browser, "#summary").text
    assert texts(browser, "td.best") == ["0.900", "2.000"]
    assert texts(browser, "#health figcaption") == ["motion (left out below 0.5)", "sharpness"]
    heights = [float(bar.get_attribute("height")) for bar in browser.find_elements(By.CSS_SELECTOR, ".bar")]
    assert heights[0] == pytest.approx(heights[1] / 4)
    assert texts(browser, "#health-tables tr") == ["decode: cut the egg 3", "others 1"]
    assert texts(browser, "#health-examples li li span:last-child") == [
        *("3.5, cut the egg.mp4 1:01", "4, cut the egg.mp4 1:01", "cut the egg.mp4 1:01", "kept.mp4 1:01"),
    ]
    assert texts(browser, "#ledger-rows tr") == [
        "/videos/cut the egg failed probe no video stream", "b.mp4 failed decode cut the egg",
    ]  # fmt: skip
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # Of the browser's own: its empty tab.
    own = ("chrome:", "chrome-untrusted:")
    assert {url.split(":", 1)[0] for url in asked if not url.startswith(own)} <= {"file", "data"}
    assert element(browser, ".token img").get_property("naturalWidth") == 120  # the policy lets it be seen


def test_tokens_are_searched_and_sorted(browser: webdriver.Chrome, tmp_path: Path):
    what = facts()
    show(browser, tmp_path, what)
    counts = what["tokens"]["counts"]
    by_count = sorted(range(30), key=lambda number: (-counts[number], number))
    assert shown_tokens(browser) == by_count
    element(browser, "#token-order option[value=number]").click()
    assert shown_tokens(browser) == list(range(30))
    search = element(browser, "#token-search")
    search.send_keys("word2")
    assert shown_tokens(browser) == [2, 20, 22, 23, 25, 26, 28, 29]
    assert element(browser, "#token-found").get_property("value") == "8 of 30 tokens"
    search.clear()
    search.send_keys("17")
    assert shown_tokens(browser) == [17]


def test_texts_videos_and_problems_are_searched(browser: webdriver.Chrome, tmp_path: Path):
    show(browser, tmp_path, facts())
    element(browser, "#query-search").send_keys("FRY")
    assert texts(browser, "#query-list h3") == ["fry"]
    element(browser, "#document-search").send_keys("same time")
    assert len(texts(browser, ".document")) == 1
    element(browser, "#document-search").send_keys(" tomorrow")
    assert texts(browser, ".document") == []
    element(browser, "#ledger-stage option[value=decode]").click()
    assert texts(browser, "#ledger-rows tr") == ["b.mp4 failed decode cut the egg"]


def test_the_keyboard_is_enough(browser: webdriver.Chrome, tmp_path: Path):
    show(browser, tmp_path, facts())
    grid = element(browser, "#tokens")
    grid.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    chosen = element(browser, ".token[aria-selected=true]")
    assert chosen.get_attribute("id") == grid.get_attribute("aria-activedescendant") == "token-1"
    grid.send_keys(Keys.END)
    assert element(browser, ".token[aria-selected=true]").get_attribute("aria-posinset") == "30"
    body = element(browser, "body")
    reached = []
    browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(40):
        body = browser.switch_to.active_element
        body.send_keys(Keys.TAB)
        reached.append(
            browser.execute_script("return document.activeElement.id || document.activeElement.className")
        )
    wanted = {
        "skip",
        "token-search",
        "token-order",
        "tokens",
        "query-search",
        "strip",
        "document-search",
        "time",
    }
    assert wanted | {"ledger-stage", "ledger-search"} <= set(reached)


def test_a_large_vocabulary_stays_light(browser: webdriver.Chrome, tmp_path: Path):
    start_seconds = time.monotonic()
    show(browser, tmp_path, facts(num_tokens=20_736))
    assert element(browser, "#token-found").get_property("value") == "20,736 of 20,736 tokens"
    assert time.monotonic() - start_seconds < 20
    assert len(browser.find_elements(By.CSS_SELECTOR, ".token")) < 120
    grid = element(browser, "#tokens")
    third_row = element(browser, "#token-30")
    grid.send_keys(*[Keys.ARROW_DOWN] * 4)  # what stays in view stays the same element
    assert element(browser, "#token-30") == third_row
    grid.send_keys(Keys.END)
    assert element(browser, ".token[aria-selected=true]").get_attribute("aria-posinset") == "20736"
    in_order = browser.execute_script(
        "return [...document.querySelectorAll('.token')].map((cell) => Number(cell.ariaPosInSet))"
    )
    assert in_order == list(range(in_order[0], 20_737))
    grid.send_keys(Keys.HOME)
    assert element(browser, ".token[aria-selected=true]").get_attribute("id") == "token-0"
    assert len(browser.find_elements(By.CSS_SELECTOR, ".token")) < 120
    element(browser, "#token-search").send_keys("20000")
    assert shown_tokens(browser) == [20_000]


def test_hostile_texts_are_shown_and_never_run(browser: webdriver.Chrome, tmp_path: Path):
    what = facts(text=HOSTILE)
    what["tokens"]["words"][3] = HOSTILE
    what["evaluations"][0]["name"] = HOSTILE
    show(browser, tmp_path, what)
    assert browser.execute_script("return window.hacked") is None
    assert browser.find_elements(By.CSS_SELECTOR, "img[onerror], main script") == []
    shown = HOSTILE.replace("\u2028", "").strip()
    assert shown in texts(browser, ".document h3")[0].replace("\u2028", "").replace("\n", "")
    assert any(shown in text.replace("\n", "") for text in texts(browser, "#ledger-rows td"))
    # Even a script that got in would not run: the policy names the page's own alone.
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.hacked = 3';"
        "document.body.append(script)"
    )
    assert browser.execute_script("return window.hacked") is None


def test_axe_finds_nothing(browser: webdriver.Chrome, tmp_path: Path):
    show(browser, tmp_path, facts())
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    show(browser, tmp_path, facts())
    browser.execute_script(Path(AXE_FILE_PATH).read_text())
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(done)")
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []
    assert len(found["passes"]) > 20


def test_an_empty_corpus_has_its_summary_alone(browser: webdriver.Chrome, tmp_path: Path):
    nothing: dict[str, Any] = {name: [] for name in facts()}
    nothing["summary"] = [["Videos", "0"]]
    nothing |= {"tokens": {"ids": [], "counts": [], "words": [], "images": []}}
    nothing["health"] = {"without": 0} | {name: [] for name in ("signals", "examples", "copies", "tables")}
    show(browser, tmp_path, nothing)
    assert texts(browser, "h2") == ["Summary"]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_the_policy_names_the_hash_of_the_very_script():
    import hashlib
    import re

    page = render(facts())
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
