"""Scaling by run takes away what differs between runs, and nothing else."""

import numpy as np

from neurodecode.signal.by_run import centre_by_run, zscore_by_run

RUNS = np.repeat(["run-01", "run-02"], 6)


def test_an_offset_and_a_gain_of_a_run_leave_no_trace():
    rng = np.random.default_rng(0)
    pattern = np.tile(rng.standard_normal((6, 4)), (2, 1))
    shifted = pattern + np.where(RUNS == "run-02", 7.0, 0.0)[:, None]
    scaled = pattern * np.where(RUNS == "run-02", 3.0, 1.0)[:, None] + shifted - pattern
    assert np.allclose(centre_by_run(shifted, RUNS)[:6], centre_by_run(shifted, RUNS)[6:])
    assert np.allclose(zscore_by_run(scaled, RUNS)[:6], zscore_by_run(scaled, RUNS)[6:])


def test_each_run_has_mean_zero_and_unit_variance_and_constant_channels_are_zero():
    responses = np.random.default_rng(1).standard_normal((12, 3)) + 5
    responses[:6, 2] = 4.2
    z = zscore_by_run(responses, RUNS)
    assert np.allclose(z[:6].mean(axis=0), 0) and np.allclose(z[:6, :2].std(axis=0), 1)
    assert (z[:6, 2] == 0).all() and np.allclose(z[6:, 2].std(), 1)


def test_the_responses_given_are_not_changed():
    responses = np.ones((12, 2)) * np.arange(12)[:, None]
    before = responses.copy()
    zscore_by_run(responses, RUNS)
    assert (responses == before).all()
