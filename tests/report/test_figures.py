"""Figures draw what the tables hold."""

import numpy as np
import pandas as pd

from neurodecode.report.figures import as_png, as_svg, confusion, learning_curve, scores


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


def test_a_confusion_matrix_prints_its_counts():
    axes = confusion(np.array([[9, 1], [0, 10]]), ["face", "house"]).axes[0]
    assert [t.get_text() for t in axes.texts] == ["9", "1", "", "10"]


def test_equal_figures_have_equal_bytes():
    figure = lambda: confusion(np.eye(2), ["a", "b"])
    assert as_svg(figure()) == as_svg(figure())
    assert as_png(figure()) == as_png(figure())
