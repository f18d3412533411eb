"""The page as a browser and a reader meet it."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FETCHES = {"src", "href", "srcset", "poster", "data", "action"}


class Page(HTMLParser):
    """Collects what a browser would fetch, and what it would say."""

    def __init__(self, html):
        super().__init__()
        self.loads, self.tags, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.loads += [v for k, v in attributes if k in FETCHES and tag != "a"]


@pytest.fixture(scope="module")
def html(report):
    return (report / "report.html").read_text(encoding="utf-8")


def test_nothing_is_fetched(html):
    loads = Page(html).loads
    assert loads and all(v.startswith("data:") for v in loads)
    assert not re.search(r"url\((?!['\"]?data:)|@import", html)
    assert not any(tag in ("script", "iframe", "object") for tag, _ in Page(html).tags)


def test_it_fits_in_a_mail(report):
    assert (report / "report.html").stat().st_size < 20e6


def test_every_picture_says_what_it_shows(html):
    pictures = [a for tag, a in Page(html).tags if tag == "img"]
    assert len(pictures) > 100 and all(a.get("alt") for a in pictures)


def test_every_link_of_the_navigation_leads_somewhere(html):
    anchors = {a["id"] for _, a in Page(html).tags if "id" in a}
    links = [a["href"] for tag, a in Page(html).tags if tag == "a" and a["href"].startswith("#")]
    assert len(links) > 8 and all(link[1:] in anchors for link in links)


def test_ids_are_unique(html):
    ids = [a["id"] for _, a in Page(html).tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_text_of_the_study_cannot_become_markup(study, tmp_path):
    from tests.report.conftest import draw

    out = draw(tmp_path / "out", *study, title="<script>alert(1)</script>")
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the page with")
@pytest.mark.parametrize("width", [1440, 390])
def test_in_a_browser_it_is_quiet_and_does_not_scroll_sideways(report, width):
    from playwright.sync_api import sync_playwright

    said, asked = [], []
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(Path(report / "report.html").absolute().as_uri())
        widest = page.evaluate("document.documentElement.scrollWidth")
        shown = "[...document.querySelectorAll('#pictures .switched')[0].querySelectorAll('.pane')]"
        visible = f"{shown}.map(p => getComputedStyle(p).display !== 'none')"
        before = page.evaluate(visible)
        page.locator("input[name=gallery]").first.focus()
        page.keyboard.press("ArrowRight")
        after = page.evaluate(visible)
        browser.close()
    assert said == []
    assert [u for u in asked if not u.startswith(("file:", "data:"))] == []
    assert widest <= width
    assert before == [True, False, False] and after == [False, True, False]
