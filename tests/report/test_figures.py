"""Figures draw what the tables hold."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.report.figures import (
    as_file,
    bottleneck_curve,
    confusion,
    learning_curve,
    recovery_curve,
    scores,
    settle,
)


def test_scores_are_drawn_at_their_values():
    rows = pd.DataFrame(
        {
            "subject": ["sub-01", "sub-02"],
            "condition": "model",
            "value": [0.3, 0.7],
            "lo": [0.2, 0.6],
            "hi": [0.4, 0.8],
            "chance": 0.1,
        }
    )
    axes = scores(rows, ["sub-01", "sub-02"], {"model": "#000"}).axes[0]
    dots = axes.collections[1].get_offsets()
    assert np.allclose(dots, [[0.3, 0], [0.7, 1]])
    chance = axes.collections[-1].get_segments()
    assert np.allclose([segment[0][0] for segment in chance], 0.1)


def test_a_learning_curve_has_a_line_for_each_split():
    history = pd.DataFrame(
        {"epoch": [1, 2, 1, 2], "split": ["train", "train", "val", "val"], "value": [4, 3, 5, 4.5]}
    )
    lines = learning_curve(history).axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == [[4, 3], [5, 4.5]]


def test_brain_dimensions_stand_by_their_logarithm_and_the_whole_brain_apart():
    dims = [0, 1, 3, 7, np.nan]
    value = [0.0, 0.2, 0.4, 0.6, 0.7]
    rows = pd.DataFrame({"decoder": "model", "n_dims": dims, "value": value, "chance": 0.0})
    rows = rows.assign(lo=rows["value"] - 0.1, hi=rows["value"] + 0.1)
    knee = {"model": {"knee": 3.0, "lo": 2.5, "hi": 3.5}}
    axes = bottleneck_curve(rows, knee).axes[0]
    curve = axes.lines[0]
    assert np.allclose(curve.get_xdata(), [0, 1, 2, 3]) and list(curve.get_ydata()) == value[:4]
    whole = axes.collections[-1].get_offsets()
    assert np.allclose(whole, [[4, 0.7]]), "a step beyond the last"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "2", "4", "all"]
    assert [t.get_text() for t in axes.texts] == ["3.0 [2.5, 3.5]"]
    assert any(np.allclose(line.get_xdata(), 2) for line in axes.lines), "the knee's own line"


def test_recovery_is_drawn_with_its_threshold():
    rows = pd.DataFrame({"condition": "ridge", "axis": [1, 2, 3], "threshold": 0.3})
    axes = recovery_curve(rows.assign(correlation=[0.6, 0.5, 0.1]), smooth=1).axes[0]
    assert np.allclose(axes.collections[0].get_offsets(), [[1, 0.6], [2, 0.5], [3, 0.1]])
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.6, 0.5, 0.1], [0.3, 0.3]]


def test_a_confusion_matrix_prints_its_counts():
    axes = confusion(np.array([[9, 1], [0, 10]]), ["face", "house"]).axes[0]
    assert [t.get_text() for t in axes.texts] == ["9", "1", "", "10"]


@pytest.mark.parametrize(
    ("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_equal_figures_have_equal_bytes(kind, begins):
    made = [as_file(confusion(np.eye(2), ["a", "b"]), kind) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0].startswith(begins)


def test_a_settled_figure_stands_as_one_that_is_laid_out_when_drawn():
    figures = [confusion(np.eye(3), ["a house", "a face", "a shoe"]) for _ in range(2)]
    settle(figures[0])
    places = []
    for figure in figures:
        as_file(figure, "png")
        places.append(figure.axes[0].get_position().bounds)
    assert places[0] == pytest.approx(places[1], abs=0.02)
