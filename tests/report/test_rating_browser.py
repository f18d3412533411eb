"""The rating page in a headless browser: keys pressed, undone, paused, reloaded, downloaded."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurodecode.report.rating import rating_page
from neurodecode.stages.rating import make_trials, study_id
from neurodecode.stages.rating_answers import judged_answers, read_answers
from tests.report.test_browser import Visit, browser, pytestmark

__all__ = ["browser", "pytestmark"]
WAIT_MS = 180  # more than the page waits after a choice


@pytest.fixture(scope="module")
def key():
    rows = [{"subject": "a", "row_id": f"r{k}", "stimulus_id": f"pic{k}"} for k in range(8)]
    return make_trials(pd.DataFrame(rows), ["model"], [], 6, 0)


@pytest.fixture(scope="module")
def folder(key, tmp_path_factory):

    def picture(name):
        rng = np.random.default_rng(len(name) + int(name[-1]))
        return rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)

    place = tmp_path_factory.mktemp("rating")
    html = rating_page(study_id(key), key, picture, np.random.default_rng(0))
    (place / "report.html").write_text(html)  # the name that `Visit` opens
    return place


def begin(page, rater="r1"):
    page.locator("#rater").fill(rater)
    page.keyboard.press("Enter")


def press(page, letter):
    page.wait_for_timeout(WAIT_MS)
    page.keyboard.press(letter)


def practise(page):
    for _ in range(4):
        press(page, "f")
    assert "1 of 9" in page.locator("#state").inner_text()


@pytest.mark.parametrize("width", [1440, 390])
def test_a_rater_goes_through_by_keys_and_the_answers_are_read_back(browser, folder, key, width):
    with Visit(browser, folder, width) as visit:
        page = visit.page
        begin(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        practise(page)
        pressed = ["f", "j", "ArrowLeft", "ArrowRight", "f", "f", "j", "j", "f"]
        for letter in pressed:
            press(page, letter)
        with page.expect_download() as waiting:
            page.locator("#save").click()
        file = Path(waiting.value.path()).rename(folder / f"answers_{width}.csv")
        assert waiting.value.suggested_filename == f"answers_{study_id(key)}_r1.csv"
    found = read_answers([file], key, study_id(key))
    left = {"f", "ArrowLeft"}
    assert found["choice"].tolist() == ["left" if p in left else "right" for p in pressed]
    assert (found["rt_ms"] >= 150).all() and found["trial"].is_unique
    assert judged_answers(found, key)["hit"].isin([0, 1]).all() and len(found) == 9


def test_undo_pause_and_a_reload_lose_nothing(browser, folder):
    with Visit(browser, folder) as visit:
        page = visit.page
        begin(page, "r2")
        practise(page)
        press(page, "f")
        press(page, "j")
        press(page, "u")
        assert "2 of 9" in page.locator("#state").inner_text()
        press(page, "p")
        assert not page.locator("#stage").is_visible() and page.locator("#paused").is_visible()
        press(page, "f")
        assert "2 of 9" in page.locator("#state").inner_text(), "no choice is taken in a pause"
        press(page, "p")
        page.locator("#left").click()
        page.reload()
        begin(page, "r2")
        assert page.locator("#state").inner_text() == "Welcome back. 3 of 9"
        with page.expect_download() as waiting:
            page.locator("#part").click()
        lines = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
        assert [(one["choice"], one["changed"]) for one in lines] == [("left", "0"), ("left", "1")]


def test_raters_see_the_trials_in_orders_of_their_own(browser, folder):
    with Visit(browser, folder) as visit:
        page, seen = visit.page, []
        for rater in ("r3", "r4", "r5", "r6", "r3"):
            page.reload()
            begin(page, rater)
            if rater not in [who for who, _ in seen]:
                practise(page)
            seen.append((rater, page.locator("#shown").get_attribute("src")[-400:]))
        assert seen[0] == seen[-1]
        assert len({source for _, source in seen}) > 1, "four raters do not begin with one trial"
