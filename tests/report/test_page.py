"""The page as a browser and a reader meet it."""

import re
from html.parser import HTMLParser

import pytest

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
    assert not any(tag in ("iframe", "object") for tag, _ in Page(html).tags)
    assert all("src" not in a for tag, a in Page(html).tags if tag == "script")


def test_the_browser_is_told_to_refuse_every_request(html):
    policies = [a["content"] for tag, a in Page(html).tags if "http-equiv" in a]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'; img-src data:")
    assert "connect-src" not in policies[0] and "http" not in policies[0]


def test_the_script_stays_small():
    from neurodecode.report.page import script

    assert len(script().encode()) < 20_000


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
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
