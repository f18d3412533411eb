"""Tables carry every score of a subject once, beside its chance and n."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.report.headline import with_wins
from neurodecode.report.tables import (
    comparison_table,
    every_number,
    panes,
    plain_table,
    score_table,
)
from neurodecode.report.words import condition_colours, interval, number


@pytest.fixture(scope="module")
def metrics(view):
    return view.table("evaluate", "metrics.tsv")


@pytest.fixture(scope="module")
def colours(metrics):
    return condition_colours(list(metrics["condition"].unique()))


def lines_of(table):
    return [line for group in table["groups"] for line in group["rows"]]


def test_every_score_of_a_subject_is_a_cell(metrics, colours):
    table = score_table(metrics, "sub-02", colours)
    mine = metrics[metrics["subject"] == "sub-02"]
    cells = [cell for line in lines_of(table) for cell in line["cells"] if cell["value"] != "–"]
    assert len(cells) == len(mine)
    expected = sorted(
        (number(v, 2), interval(lo, hi)) for v, lo, hi in mine[["value", "lo", "hi"]].to_numpy()
    )
    assert sorted((c["value"], c["interval"]) for c in cells) == expected


def test_cells_stand_under_their_condition(metrics, colours):
    table = score_table(metrics, "all", colours)
    place = [c["name"] for c in table["conditions"]].index("ridge")
    line = next(line for line in lines_of(table) if line["label"] == "pixel correlation")
    rows = metrics.set_index(["subject", "metric", "condition"])["value"]
    assert line["cells"][place]["value"] == number(rows["all", "pixcorr", "ridge"], 2)
    assert (line["chance"], line["n"]) == (".020", "24")


def test_set_sizes_of_one_metric_are_lines_of_their_own(metrics, colours):
    labels = [line["label"] for line in lines_of(score_table(metrics, "all", colours))]
    assert "brain → image, top 1 of 100" in labels and "brain → image, top 1 of 10" in labels
    assert len(labels) == len(set(labels))


def test_families_stand_together_in_one_order(metrics, colours):
    titles = [group["title"] for group in score_table(metrics, "all", colours)["groups"]]
    assert titles == [
        "retrieval", "rank", "two-way identification", "pixels", "perceptual", "attributes",
    ]  # fmt: skip


def test_differences_carry_who_wins(view, metrics, colours):
    compared = with_wins(view.table("evaluate", "comparisons.tsv"), metrics)
    table = comparison_table(compared, metrics, "all", colours)
    names = [c["name"] for c in table["conditions"]]
    by_label = {line["label"]: line["cells"] for line in lines_of(table)}
    won = lambda label, b: by_label[label][names.index(b)]["winner"]
    assert won("attributes, mean", "shuffled") == "a"
    assert won("attributes, mean", "ridge") == ""
    assert won("pixel correlation", "ridge") == "b"
    assert won("median rank of the true one of 100", "shuffled") == "a", "a lower rank is better"


def test_nothing_is_left_out_of_every_number(metrics):
    heads, rows = every_number(metrics)
    assert len(rows) == len(metrics) and {len(row) for row in rows} == {len(heads)}


def test_pooled_rows_are_shown_only_where_they_pool():
    two = pd.DataFrame({"subject": ["sub-01", "sub-02", "all"]})
    assert panes(two) == ["all", "sub-01", "sub-02"]
    assert panes(two.iloc[[0, 2]]) == ["sub-01"]


def test_a_plain_table_keeps_columns_and_marks_what_is_missing():
    heads, rows = plain_table(pd.DataFrame({"n_trials": [1500], "gain": [np.nan]}))
    assert (heads, rows) == (["n trials", "gain"], [["1,500", "–"]])
