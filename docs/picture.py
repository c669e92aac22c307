"""Takes the README's picture of a report page: `python docs/picture.py data/sandbox/report.html docs/pictures/report.png`."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

page, picture = (Path(one).absolute() for one in sys.argv[1:3])
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.goto(page.as_uri())
    opened.screenshot(path=picture)
    browser.close()
