import numpy as np
import pandas as pd
import pytest

from neurodecode.signal.confounds import MOTION, choose_confounds, framewise_displacement


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    names = [*MOTION, "global_signal", "csf", "white_matter", "motion_outlier00"]
    names += [f"a_comp_cor_{i:02d}" for i in range(6)]
    table = pd.DataFrame(rng.normal(size=(30, len(names))), columns=names)
    table["global_signal_derivative1"] = table["global_signal"].diff()
    return table


@pytest.mark.parametrize(
    ("terms", "n"),
    [
        ([], 0),
        (["motion6"], 6),
        (["motion24"], 24),
        (["motion6", "global"], 7),
        (["csf_wm"], 2),
        (["acompcor"], 5),
        (["outliers"], 1),
        (["global_signal_derivative1"], 1),
    ],
)
def test_a_term_brings_its_columns(table, terms, n):
    chosen = choose_confounds(table, terms)
    assert chosen.shape == (30, n) and np.isfinite(chosen).all()


def test_motion24_holds_squares_of_motion_and_of_its_differences(table):
    chosen = choose_confounds(table, ["motion24"])
    motion = table[list(MOTION)].to_numpy()
    assert np.allclose(chosen[:, 12:18], motion**2)
    assert np.allclose(chosen[1:, 18:], np.diff(motion, axis=0) ** 2)
    assert (chosen[0, 6:12] == 0).all()


def test_an_unknown_column_is_named_beside_the_known_ones(table):
    with pytest.raises(ValueError, match="no column motion12.*motion24"):
        choose_confounds(table, ["motion12"])


def test_a_gap_in_the_middle_is_refused(table):
    table.loc[4, "csf"] = np.nan
    with pytest.raises(ValueError, match="csf have missing values"):
        choose_confounds(table, ["csf_wm"])


def test_a_rotation_moves_a_point_of_the_head_along_its_arc():
    table = pd.DataFrame(0.0, index=range(3), columns=list(MOTION))
    table.loc[1:, "rot_x"] = 0.01
    table.loc[2, "trans_y"] = -0.3
    assert np.allclose(framewise_displacement(table), [0, 0.5, 0.3])


def test_displacement_without_motion_is_unknown():
    assert np.isnan(framewise_displacement(pd.DataFrame({"csf": [1.0, 2.0]}))).all()
