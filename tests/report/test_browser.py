"""The page in a headless browser: clicked, sorted, filtered, tabbed through, and never online.

A machine without a browser skips these; continuous integration sets NEURODECODE_BROWSER=required,
and there a missing browser is a failure.
"""

import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.report.conftest import draw
from tests.report.study import fabricate_surface

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
REQUIRED = os.environ.get("NEURODECODE_BROWSER") == "required"
NONE = "no chromium on this machine to open the page with"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason=NONE),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, f"{NONE}, and NEURODECODE_BROWSER=required"
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


class Visit:
    """One opening of a page, with all it asked the network for and said on the console."""

    def __init__(self, browser, folder, width=1440, **options):
        options = {"viewport": {"width": width, "height": 900}, "accept_downloads": True} | options
        self.context = browser.new_context(**options)
        self.page, self.asked, self.said = self.context.new_page(), [], []
        network = self.context.new_cdp_session(self.page)
        network.send("Network.enable")
        network.on("Network.requestWillBeSent", lambda e: self.asked.append(e["request"]["url"]))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(Path(folder / "report.html").absolute().as_uri())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            online = [u for u in self.asked if not u.startswith(("file:", "data:", "blob:"))]
            assert online == [], "the page asked the network for something"
            said = [line for line in self.said if "GL Driver Message" not in line]
            assert said == [], "the page complained"

    def texts(self, selector):
        return self.page.locator(selector).all_inner_texts()


@pytest.fixture(scope="module")
def surface_report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surface")
    return draw(folder / "out", *fabricate_surface(folder / "study"))


@pytest.mark.parametrize("width", [1440, 390])
def test_it_is_quiet_and_does_not_scroll_sideways(browser, audited_report, width):
    with Visit(browser, audited_report, width) as visit:
        visit.page.locator("summary").evaluate_all("all => all.forEach(s => s.click())")
        assert len(visit.asked) >= 1, "the recorder of requests works"
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_request_would_be_seen_and_refused(browser, audited_report):
    visit = Visit(browser, audited_report)
    visit.page.evaluate("fetch('http://127.0.0.1:9/x').catch(() => 0)")
    assert any("Content Security Policy" in line for line in visit.said)
    visit.context.close()


def test_a_click_on_a_head_sorts_up_then_down(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        visit.page.locator("#scores details > summary").last.click()
        table = visit.page.locator("#scores table.plain")
        cells = "#scores table.plain tbody td:nth-child(5)"
        head = table.locator("thead th", has_text="value")
        for direction, reverse in (("ascending", False), ("descending", True)):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == direction
            found = [float(v.replace("−", "-")) for v in visit.texts(cells)]
            assert found == sorted(found, reverse=reverse) and len(set(found)) > 5
        assert table.locator("[aria-sort]").count() == 1


def test_words_filter_the_rows_of_the_full_table(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        visit.page.locator("#scores details > summary").last.click()
        rows = "#scores table.plain tbody tr:not([hidden])"
        before = visit.page.locator(rows).count()
        visit.page.locator("#scores input[type=search]").fill("sub-02 ridge")
        found = visit.texts(rows)
        assert 0 < len(found) < before
        assert all("sub-02" in row and "ridge" in row for row in found)


def test_families_of_the_score_table_stay_together_when_sorted(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        first = "[...document.querySelectorAll('#scores table.scores')][0]"
        families = f"[...{first}.tBodies].map(b => b.rows[0].classList.contains('family'))"
        visit.page.locator("#scores table.scores").first.locator("thead button").nth(1).click()
        assert all(visit.page.evaluate(families))


def test_trials_are_sorted_and_filtered(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        page = visit.page
        ranks = lambda: [
            float(t.split("rank ")[1].split(" of")[0]) for t in visit.texts("#trials-shown .told")
        ]
        assert len(ranks()) == 24 and ranks() == sorted(ranks())
        page.locator("select[name=by]").select_option("-r")
        assert ranks() == sorted(ranks(), reverse=True)
        page.locator("select[name=s]").select_option(label="sub-02")
        assert set(visit.texts("#trials-shown .about b")) == {"sub-02"}
        page.locator("select[name=c]").select_option(label="star")
        assert page.locator("#trial-count").inner_text() == "8 of 8 trials shown"
        page.locator("select[name=by]").select_option("-k")
        sizes = [int(t.split("set of ")[1].split(",")[0]) for t in visit.texts(".told")]
        assert sizes == sorted(sizes, reverse=True)
        page.locator("input[name=a]").check()
        flagged = page.locator("#trials-shown .card").count()
        assert flagged == page.locator("#trials-shown .flag").count() < 8


def test_more_trials_come_by_the_keyboard_and_focus_follows(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        visit.page.locator("#trial-more").focus()
        visit.page.keyboard.press("Enter")
        assert visit.page.locator("#trials-shown .card").count() == 48
        place = "[...document.querySelectorAll('.card')].indexOf(document.activeElement)"
        assert visit.page.evaluate(place) == 24


def test_a_trial_unfolds_into_samples_and_controls(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        page = visit.page
        page.locator("select[name=by]").select_option("")
        card = page.locator("#trials-shown .card").first
        card.locator("summary").press("Enter")
        page.wait_for_selector(".detail-rows img")
        names = card.locator(".detail-rows figcaption").all_inner_texts()
        for name in ("all samples", "ridge", "shuffled within category", "prior only"):
            assert name in names
        images = "[...document.querySelectorAll('.card img')]"
        page.wait_for_function(f"{images}.every(i => i.complete && i.naturalWidth > 0)")


def test_everything_is_reached_by_tab_and_shows_where_one_is(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        page = visit.page
        seen, unmarked = [], []
        for _ in range(400):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                """() => { const e = document.activeElement, look = getComputedStyle(e);
                const near = e.nextElementSibling && getComputedStyle(e.nextElementSibling);
                const shown = look.outlineStyle !== 'none'
                  || (near && near.outlineStyle !== 'none');
                const name = e.name || e.id || e.className || e.textContent;
                return [`${e.tagName} ${name}`, shown]; }"""
            )
            seen.append(name)
            unmarked += [] if outline or name.startswith("BODY") else [name]
            if name.startswith("BUTTON trial-more"):
                break
        assert seen[0].startswith("A skip"), "first of all one may skip to the report"
        for wanted in ("SUMMARY", "A ", "INPUT gallery", "SELECT s", "SELECT c", "SELECT by",
                       "INPUT a", "BUTTON trial-more"):  # fmt: skip
            assert any(name.startswith(wanted) for name in seen), wanted
        assert unmarked == []


def test_panes_are_switched_by_arrow_keys(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        shown = "[...document.querySelector('#pictures .switched').querySelectorAll('.pane')]"
        visible = f"{shown}.map(p => getComputedStyle(p).display !== 'none')"
        assert visit.page.evaluate(visible) == [True, False, False]
        visit.page.locator("input[name=gallery]").first.focus()
        visit.page.keyboard.press("ArrowRight")
        assert visit.page.evaluate(visible) == [False, True, False]


@pytest.mark.parametrize("section", ["brain-share", "ceilings"])
def test_long_tables_are_switched_by_subject(browser, audited_report, section):
    with Visit(browser, audited_report) as visit:
        page = visit.page
        labels = page.locator(f"#{section} .switch label")
        tables = page.locator(f"#{section} .pane table.plain")
        assert labels.count() == tables.count() >= 2
        for i in range(labels.count()):
            labels.nth(i).click()
            shown = [tables.nth(k).is_visible() for k in range(tables.count())]
            assert shown == [k == i for k in range(tables.count())]
        tables.last.locator("thead button").first.click()
        assert tables.last.locator("[aria-sort=ascending]").count() == 1


@pytest.mark.parametrize("width", [1440, 390])
def test_rows_keep_their_names_when_the_scores_scroll_sideways(browser, audited_report, width):
    with Visit(browser, audited_report, width) as visit:
        box = visit.page.locator("#scores .scroll").first
        name = box.locator("tbody th[scope=row]").first
        before = name.bounding_box()["x"]
        assert box.evaluate("b => { b.scrollLeft = 300; return b.scrollLeft }") > 100
        assert abs(name.bounding_box()["x"] - before) < 1.5
        at = "n => { const b = n.getBoundingClientRect(); "
        at += "return n.contains(document.elementFromPoint(b.right - 4, b.top + b.height / 2)) }"
        name.scroll_into_view_if_needed()
        assert name.evaluate(at), "nothing lies on top of it"


def test_a_table_and_a_figure_are_saved_as_they_lie_beside_the_page(browser, audited_report):
    with Visit(browser, audited_report) as visit:
        for link, folder in (("#scores a[download]", "tables"), ("#glance .save", "figures")):
            with visit.page.expect_download() as waiting:
                visit.page.locator(link).first.click()
            name = waiting.value.suggested_filename
            saved = Path(waiting.value.path()).read_bytes()
            assert saved == (audited_report / folder / name).read_bytes()


def test_the_methods_paragraph_is_copied(browser, audited_report):
    with Visit(browser, audited_report, permissions=["clipboard-read"]) as visit:
        page = visit.page
        text = page.locator("#methods-text").inner_text()
        page.locator("#citation button").first.click()
        page.wait_for_selector("#citation button:has-text('Copied')")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert " ".join(copied.split()) == " ".join(text.split()) and len(copied) > 200


def test_without_script_the_pictures_and_numbers_are_there(browser, audited_report):
    with Visit(browser, audited_report, java_script_enabled=False) as visit:
        assert visit.page.locator("#pictures table.gallery img").first.is_visible()
        assert visit.page.locator("#scores table.scores").first.is_visible()
        assert visit.page.locator("noscript, #trials .notice").first.is_visible()
        assert not visit.page.locator("#trial-controls").is_visible()


def test_the_cortex_is_turned_by_keys_and_shows_what_is_chosen(browser, surface_report):
    with Visit(browser, surface_report) as visit:
        page, canvas = visit.page, visit.page.locator("#cortex")
        canvas.scroll_into_view_if_needed()
        seen = [canvas.screenshot()]
        assert len(Image.open(io.BytesIO(seen[0])).convert("RGB").getcolors(1 << 20)) > 500
        canvas.focus()
        page.keyboard.press("ArrowRight")
        seen.append(canvas.screenshot())
        page.keyboard.press("+")
        seen.append(canvas.screenshot())
        page.locator("select[name=side]").select_option("both")
        seen.append(canvas.screenshot())
        page.locator("select[name=map]").select_option("1")
        seen.append(canvas.screenshot())
        assert len(set(seen)) == 5, "every step draws another picture"
