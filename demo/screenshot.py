"""Take pictures of the demo's pages for the README and the docs; needs Debian's chromium and chromium-driver.

make demo && .venv/bin/python -m demo.screenshot
.venv/bin/python -m demo.screenshot --page demo-output/found.html --output docs/search.png \\
    --width 900 --height 1110
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from demo.run import ROOT

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
)


def main() -> None:
    """Parse, shoot, say where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, default=ROOT / "demo-output" / "report.html")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "report.png")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=1500)
    options = parser.parse_args()
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        raise SystemExit("no Chromium: apt-get install chromium chromium-driver")
    chrome = Options()
    chrome.binary_location = chromium
    for flag in (*FLAGS, f"--window-size={options.width},{options.height}"):
        chrome.add_argument(flag)
    browser = webdriver.Chrome(options=chrome, service=Service(driver))
    try:
        browser.get(options.page.resolve().as_uri())
        options.output.parent.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(options.output))
    finally:
        browser.quit()
    # 256 colours: a quarter of the size, and no difference to see.
    Image.open(options.output).convert("RGB").quantize(256).save(options.output, optimize=True)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
