"""Repeats are averaged before decoders, after them, or not: each row says what it should."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.stages import predict
from tests.stages.test_train import N_TEST, config, run_predict, run_train, study

__all__ = ["study"]
WAYS = ("repeats", "outputs", "none")


@pytest.fixture
def said(study, tmp_path, artifact):
    """What predict says of one study when repeats are averaged in each way: its folders."""
    trained = run_train(study, tmp_path, artifact, config())
    how = {"n_samples": 1, "guidance": 1.0}
    return {
        way: run_predict(study, trained, tmp_path, artifact, name=way, averaging=way, **how)[0]
        for way in WAYS
    }


def test_what_a_network_says_of_each_trial_is_averaged(said):
    rows, single = (pd.read_csv(said[w] / "rows.tsv", sep="\t") for w in ("outputs", "none"))
    assert len(rows) == N_TEST and set(rows["n_repeats"]) == {2}
    assert rows.equals(pd.read_csv(said["repeats"] / "rows.tsv", sep="\t"))
    of = lambda way: np.load(said[way] / "model/blurry.npy")
    expected = [
        of("none")[single["trial_ids"].isin(ids.split(","))].mean(axis=0)
        for ids in rows["trial_ids"]
    ]
    assert np.allclose(of("outputs"), expected, atol=1e-6)
    assert not np.allclose(of("outputs"), of("repeats"), atol=1e-4)


def test_of_a_linear_decoder_both_averages_are_the_same(said):
    before, after = (np.load(said[way] / "ridge/pooled.npy") for way in ("repeats", "outputs"))
    assert np.allclose(before, after, atol=1e-5)


def test_halves_average_what_is_decoded_too(said):
    before, after = (np.load(said[way] / "half_1/pooled.npy") for way in ("repeats", "outputs"))
    assert before.shape == after.shape == (N_TEST, 6)
    assert np.allclose(before, after, atol=1e-6)  # of one trial each


def test_answers_are_averaged_the_same_however_many_rows_are_decoded_at_once(monkeypatch):
    row = np.array([2, 0, 1, 0, 2, 1, 1])
    responses = np.random.default_rng(0).standard_normal((7, 3))
    squares = lambda shown, subject: {"pooled": (shown**2).astype(np.float32)}
    expected = [(responses[row == r] ** 2).mean(axis=0) for r in range(3)]
    for at_once in (1, 2, 64):
        monkeypatch.setattr(predict, "ROWS_AT_ONCE", at_once)
        found = predict.mean_answers(squares, row)(responses, "sub-01")["pooled"]
        assert np.allclose(found, expected, atol=1e-6)


def test_another_way_of_averaging_is_refused():
    with pytest.raises(ValueError, match="repeats, outputs, none"):
        predict.PredictConfig(averaging="median")
