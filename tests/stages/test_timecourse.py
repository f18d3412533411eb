"""The timecourse stage: planted latencies are found, nothing is found where nothing was planted."""

import json

import numpy as np
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages.timecourse import run as timecourse
from tests.stages.epochs_study import NAMES, TIMES_S, Epochs, transient

FAST = {"n_bootstrap": 200, "n_permutations": 200, "generalisation_step_s": 0.05}


@pytest.fixture
def over_time(tmp_path, artifact, store):
    """``over_time(**study)`` makes a study and returns the function that runs the stage on it."""
    made = iter(range(100))

    def make(aligner="neurodecode.align.identity.Identity", **study):
        folder = tmp_path / f"study{next(made)}"
        inputs = Epochs(folder, artifact, **study).aligned(store, aligner)
        return lambda **config: run_stage(timecourse, FAST | config, inputs, store)

    return make


def said(found):
    return json.loads(found.path("timecourse.json").read_text())["subjects"]


def curve(found, subject="sub-01", condition="ridge"):
    table = read_table(found.path("curve.tsv"))
    return table[(table["subject"] == subject) & (table["condition"] == condition)]


@pytest.mark.parametrize("peak_s", [0.08, 0.2])
def test_the_planted_latency_is_the_peak_of_every_curve(over_time, peak_s):
    studies = [said(over_time(peak_s=peak_s, noise_seed=seed)()) for seed in range(3)]
    errors = [told["peak_s"] - peak_s for study in studies for told in study.values()]
    assert np.abs(errors).max() < 0.02 and abs(np.mean(errors)) < 0.01  # a step is 0.01 s
    for told in [told for study in studies for told in study.values()]:
        assert told["peak_lo_s"] <= told["peak_s"] <= told["peak_hi_s"]
        assert told["peak_value"] > 0.8
        assert told["onset_s"] < peak_s < told["offset_s"]
    spans = [(study["all"]["onset_s"], study["all"]["offset_s"]) for study in studies]
    np.testing.assert_allclose(np.median(spans, axis=0), (peak_s - 0.08, peak_s + 0.08), atol=0.04)


def test_before_the_onset_decoding_is_at_chance_and_so_is_the_shuffled_brain(over_time):
    found = [over_time(peak_s=0.2, noise_seed=seed)() for seed in range(4)]
    told = [said(f)[s] for f in found for s in ("sub-01", "sub-02")]
    assert {t["n_before_onset"] for t in told} == {16}
    before = np.array([t["before_onset"]["value"] for t in told])
    assert abs(before.mean() - 0.5) < 3 * before.std(ddof=1) / np.sqrt(len(before))
    assert all(t["before_onset"]["lo"] < t["before_onset"]["value"] for t in told)
    for one in found:
        other = curve(one, condition="shuffled")["value"]
        assert abs(other.mean() - 0.5) < 0.06 and other.max() < curve(one)["value"].max() - 0.1


def test_noise_has_no_peak(over_time):
    found = over_time(snr=0.0)()
    assert said(found)["all"]["peak_s"] is None and said(found)["all"]["onset_s"] is None
    clusters = read_table(found.path("clusters.tsv"))
    assert not (clusters["p"] <= 0.05).any()


def test_a_curve_is_the_mean_of_its_stimuli_and_the_pooled_one_that_of_its_subjects(over_time):
    found = over_time()()
    own = [np.load(found.path(f"{s}/per_stimulus.npy")) for s in ("sub-01", "sub-02")]
    assert own[0].shape == (NAMES["test"], len(curve(found)))
    np.testing.assert_allclose(curve(found)["value"], own[0].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(curve(found, "all")["value"], np.mean(own, axis=(0, 1)), atol=1e-6)
    assert (curve(found)["n"] == NAMES["test"]).all() and (curve(found)["chance"] == 0.5).all()
    assert read_table(found.path("sub-01/stimuli.tsv"))["stimulus_id"].iloc[0] == "pic-110"


def test_the_diagonal_of_the_generalisation_is_the_curve(over_time):
    found = over_time()()
    times_s = np.load(found.path("generalisation_times_s.npy"))
    square = np.load(found.path("sub-01/generalisation.npy"))
    values = curve(found).set_index("time_s")["value"]
    np.testing.assert_allclose(np.diff(times_s), 0.05)
    np.testing.assert_allclose(np.diagonal(square), values.loc[times_s], atol=1e-9)
    early, peak = np.argmin(np.abs(times_s + 0.1)), np.argmin(np.abs(times_s - 0.15))
    assert square[peak, peak] > 0.8 and abs(square[early, peak] - 0.5) < 0.25
    assert abs(square[peak, early] - 0.5) < 0.15


def test_the_unit_of_a_channel_changes_nothing(over_time):
    plain = over_time()()
    other = over_time(gains=lambda n: 10.0 ** np.arange(-3, n - 3))()
    np.testing.assert_allclose(curve(plain)["value"], curve(other)["value"], atol=0.005)


def test_a_map_between_subjects_keeps_the_latency(over_time):
    found = over_time("neurodecode.align.procrustes.Procrustes")()
    assert said(found)["sub-02"]["peak_s"] == pytest.approx(0.15, abs=0.01)


def test_the_pattern_is_large_where_and_when_a_channel_has_signal(over_time):
    silent = lambda n: np.r_[np.ones(n - 1), 0.0]
    found = over_time(gains=silent)()
    pattern = np.load(found.path("sub-01/pattern.npy"))
    times_s = curve(found)["time_s"].to_numpy()
    peak = np.argmin(np.abs(times_s - 0.15))
    assert pattern.shape == (len(times_s), 6) and (pattern[:, -1] == 0).all()
    assert pattern[peak, :-1].mean() > 2 * pattern[times_s < 0, :-1].mean()


def test_the_pattern_is_that_of_sensors_also_where_channels_are_whitened(tmp_path, artifact, store):
    study = Epochs(tmp_path / "study", artifact, n_subjects=1, n_channels=12, shared=5.0)
    whiten = {"_target_": "neurodecode.signal.whitening.NoiseWhitening"}
    found = run_stage(timecourse, FAST, study.aligned(store, scaling=whiten), store)
    at_peak = np.load(found.path("sub-01/pattern.npy"))[curve(found)["value"].argmax()]
    responses = np.load(study.inputs["preprocess"]["sub-01"].path("responses.npy"))
    covariance = np.cov(study.pooled[study.side == "train"].T) @ study.mix["sub-01"]
    planted = np.linalg.norm(covariance, axis=0) / responses.std(axis=(0, 2))
    assert np.corrcoef(at_peak, planted)[0, 1] > 0.9


def test_from_six_subjects_on_people_are_tested_too(over_time):
    few, many = (over_time(n_subjects=n, snr=0.7)() for n in (2, 6))
    over = [set(read_table(f.path("clusters.tsv"))["over"]) for f in (few, many)]
    assert over == [{"stimuli"}, {"stimuli", "subjects"}]
    clusters = read_table(many.path("clusters.tsv"))
    people = clusters[clusters["over"] == "subjects"].sort_values("mass").iloc[-1]
    assert people["n"] == 6 and people["start_s"] < 0.15 < people["end_s"] and people["p"] <= 0.05


OPTIONS = [
    {"window_s": 0.1},
    {"step_s": 0.02},
    {"generalisation_step_s": 0.1},
    {"n_bootstrap": 100},
    {"n_permutations": 100},
    {"forming_p": 0.2},
    {"level": 0.8},
    {"seed": 1},
]


def test_every_option_changes_some_output(over_time):
    run = over_time(n_subjects=1, snr=0.4)
    plain = run().manifest["files"]
    for option in OPTIONS:
        assert run(**option).manifest["files"] != plain, option


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"window_s": 0.7}, "window_s is 0.7 s, but the epochs are 0.6 s long"),
        ({"window_s": 0.0}, "window_s: expected more than 0"),
        ({"step_s": -1.0}, "step_s: expected more than 0"),
        ({"generalisation_step_s": 0.0}, "generalisation_step_s: expected more than 0"),
        ({"n_bootstrap": 0}, "n_bootstrap: expected 1 or more"),
        ({"level": 1.0}, "level: expected more than 0 to less than 1"),
    ],
)
def test_values_out_of_range_are_refused(over_time, option, message):
    with pytest.raises(ValueError, match=message):
        over_time(n_subjects=1)(**option)


def test_responses_without_times_are_refused(tmp_path, artifact, store):
    inputs = Epochs(tmp_path / "study", artifact).aligned(store)
    folder = inputs["preprocess"]["sub-02"].folder
    (folder / "space" / "times_s.npy").unlink()
    inputs["preprocess"]["sub-02"] = artifact(folder)
    with pytest.raises(ValueError, match="responses of sub-02 have no time axis"):
        run_stage(timecourse, FAST, inputs, store)


def test_subjects_with_other_times_are_refused(tmp_path, artifact, store):
    inputs = Epochs(tmp_path / "study", artifact).aligned(store)
    folder = inputs["preprocess"]["sub-02"].folder
    np.save(folder / "space" / "times_s.npy", TIMES_S + 0.1)
    inputs["preprocess"]["sub-02"] = artifact(folder)
    with pytest.raises(ValueError, match=r"sub-02 has 60 times from -0.100 to 0.490 s"):
        run_stage(timecourse, FAST, inputs, store)


def test_the_planted_course_peaks_where_it_is_said_to():
    assert TIMES_S[transient(TIMES_S, 0.15).argmax()] == pytest.approx(0.15)
