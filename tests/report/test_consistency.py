"""How sure, how stable: the map of spread has a fixed scale, and an oracle's choice is a banner."""

import numpy as np
import pandas as pd

from neurodecode.report.consistency import WIDEST, coloured, uncertainty
from neurodecode.report.notices import oracle


class Made:
    """Two samples of one row, a black and a white one; one sample of another."""

    def places(self, condition, row):
        """Where they lie."""
        return [0, 1] if row == "two" else [0]

    def picture(self, condition, place):
        """Black, then white."""
        return np.full((4, 4, 3), 255 * place, np.uint8)


def test_the_brightest_of_the_scale_is_never_passed():
    colours = coloured(np.array([[0.0, WIDEST, 2 * WIDEST]]))
    assert colours[0, 0].sum() < 10 and (colours[0, 1] == colours[0, 2]).all()


def test_a_row_with_several_samples_has_a_mean_and_a_spread():
    spread = lambda pictures: np.std(pictures / 255, axis=0).mean(axis=-1)
    mean, far = uncertainty(Made(), "two", spread).values()
    assert set(mean.ravel()) <= {127, 128} and (far == coloured(np.full((4, 4), 0.5))).all()
    assert uncertainty(Made(), "one", spread) == {}


class Inputs:
    """A finished reconstruct."""

    def __init__(self, used):
        self._said = {"policy": "likeness", "uses_true_picture": used}

    def has(self, stage):
        """All of them."""
        return True

    def members(self, stage):
        """One subject."""
        return pd.Index(["sub-01"]).tolist()

    def json(self, stage, name, each=None):
        """selection.json."""
        return self._said


def test_pictures_selected_with_the_truth_are_announced():
    assert oracle(Inputs(False)) == []
    assert "not a decoding result" in oracle(Inputs(True))[0]["title"]
