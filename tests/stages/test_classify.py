"""The stage that classifies trials: planted classes are found, and leaks only where asked for."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.errors import ConfigError, UserError
from tests.stages.classify_study import LINEAR, POWER, Spy, Trials, accuracies

SPY = {"_target_": f"{Spy.__module__}.Spy"}
EPOCHS = {"_target_": f"{Spy.__module__}.RandomEpochs"}
WINDOWS = {"window_s": 0.4, "step_s": 0.1}


def test_planted_classes_are_named_and_controls_stay_at_chance(tmp_path, store, artifact):
    done = Trials(tmp_path, artifact, signal=0.6).classified(store)
    found = accuracies(done)
    assert list(found.index) == ["model", "linear", "dealt", "nuisance", "majority"]
    assert found.loc["model", "value"] > 0.8 and found.loc["linear", "value"] > 0.7
    assert found.loc["model", "p"] < 0.05 < found.loc["dealt", "p"]
    for control in ("dealt", "nuisance", "majority"):
        assert found.loc[control, "lo"] <= 0.5, control
    assert (found["chance"] == 0.5).all() and (found["n"] == 64).all()
    assert (found["binomial_lo"] < found["value"]).all()
    assert (found["value"] <= found["binomial_hi"]).all()


def test_tables_agree_with_one_another(tmp_path, store, artifact):
    done = Trials(tmp_path, artifact, signal=0.3).classified(store)
    trials = pd.read_csv(done.path("trials.tsv"), sep="\t", dtype=str)
    right = (trials["predicted_model"] == trials["true"]).mean()
    assert right == pytest.approx(accuracies(done).loc["model", "value"])
    confusion = np.load(done.path("confusion.npy"))
    assert np.trace(confusion) / confusion.sum() == pytest.approx(right)
    compared = pd.read_csv(done.path("comparisons.tsv"), sep="\t").set_index(["subject", "b"])
    line = compared.loc[("all", "linear")]
    gap = right - (trials["predicted_linear"] == trials["true"]).mean()
    assert line["difference"] == pytest.approx(gap)
    assert (line["only_a"] - line["only_b"]) / len(trials) == pytest.approx(gap)
    figures = json.loads(done.path("figures.json").read_text())
    assert figures["compat"] == [] and figures["published"] == []
    assert "published.tsv" not in done.files


@pytest.mark.parametrize("by", ["run", "stimulus", "subject"])
def test_whole_groups_are_held_out(tmp_path, store, artifact, by):
    Spy.seen.clear()
    study = Trials(tmp_path, artifact, n_subjects=3, n_classes=2)
    done = study.classified(store, classifier=SPY, folds=by, n_refits=0, **WINDOWS)
    assert len(Spy.seen) == (3 if by == "subject" else 3 * 4)
    n_test = 3 * 32 * 7
    assert sum(n_test // (1 if by == "subject" else 3) - len(s["x"]) for s in Spy.seen) == n_test
    trained = Spy.seen[0]
    assert trained["x"].shape[1:] == (5, 20) and trained["sfreq_hz"] == pytest.approx(50)
    assert {g.count(" ") for g in trained["groups"]} == {0 if by == "subject" else 1}
    table = pd.read_csv(done.path("trials.tsv"), sep="\t")
    assert table.groupby("group")["subject"].nunique().max() == 1


def test_windows_of_a_trial_stay_in_its_fold_and_give_one_answer(tmp_path, store, artifact):
    done = Trials(tmp_path, artifact, state=2.0, seed=1).classified(store, **WINDOWS)
    figures = json.loads(done.path("figures.json").read_text())
    assert figures["windows_per_trial"] == 7
    found = accuracies(done)
    assert (found["n"] == 64).all()
    assert found.loc["model", "lo"] < 0.5 < found.loc["model", "hi"]


def test_touching_windows_without_a_step(tmp_path, store, artifact):
    done = Trials(tmp_path, artifact).classified(store, window_s=0.25)
    assert json.loads(done.path("figures.json").read_text())["windows_per_trial"] == 4


def leak(tmp_path, store, artifact, flag, study, **changes):
    """Honest and published accuracy on noise, with intervals."""
    trials = Trials(tmp_path, artifact, seed=1, **study)
    done = trials.classified(store, compat={flag: True}, **changes)
    assert json.loads(done.path("figures.json").read_text())["compat"] == [flag]
    honest, published = accuracies(done), accuracies(done, "published.tsv")
    assert published.loc["model", "value_honest"] == honest.loc["model", "value"]
    return honest, published


def test_overlapping_windows_across_folds_name_noise(tmp_path, store, artifact):
    study, changes = {"n_channels": 12}, WINDOWS | {"classifier": POWER}
    honest, published = leak(tmp_path, store, artifact, "windows_across_folds", study, **changes)
    assert honest.loc["model", "lo"] < 0.5 < honest.loc["model", "hi"]
    assert published.loc["model", "lo"] > 0.6
    assert published.loc["dealt", "lo"] > 0.6, "labels that mean nothing are told as well"
    assert (published["n"] == 64 * 7).all()


def test_a_clip_on_both_sides_names_the_state_of_its_trial(tmp_path, store, artifact):
    honest, published = leak(
        tmp_path, store, artifact, "stimuli_across_folds", {"state": 1.0}, window_s=0.2
    )
    assert honest.loc["model", "lo"] < 0.5 < honest.loc["model", "hi"]
    assert published.loc["model", "lo"] > 0.6 and published.loc["dealt", "lo"] > 0.6


def test_repeats_of_a_stimulus_on_both_sides_name_the_stimulus(tmp_path, store, artifact):
    study = {"stimulus": 1.0, "n_stimuli": 24, "n_subjects": 1, "repeats": 4}
    honest, published = leak(tmp_path, store, artifact, "stimuli_across_folds", study)
    assert honest.loc["model", "lo"] < 0.5 < honest.loc["model", "hi"]
    assert published.loc["model", "lo"] > 0.6 and published.loc["dealt", "lo"] > 0.6


def test_folds_by_run_know_a_stimulus_again_and_the_dealt_labels_show_it(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, stimulus=1.0, n_stimuli=16, repeats=4)
    done = study.classified(store, folds="run")
    figures = json.loads(done.path("figures.json").read_text())
    assert figures["stimuli_on_both_sides"] == 16
    assert accuracies(done).loc["dealt", "lo"] > 0.6
    apart = study.classified(store, folds="stimulus")
    assert json.loads(apart.path("figures.json").read_text())["stimuli_on_both_sides"] == 0
    own = study.classified(store, folds="run", label="")
    assert json.loads(own.path("figures.json").read_text())["stimuli_on_both_sides"] == 0


def test_epochs_chosen_on_the_test_trials_name_noise(tmp_path, store, artifact):
    changes = {"classifier": EPOCHS, "folds": "run"}
    honest, published = leak(tmp_path, store, artifact, "select_on_test", {}, **changes)
    assert honest.loc["model", "lo"] < 0.5 < honest.loc["model", "hi"]
    assert published.loc["model", "lo"] > 0.6 and published.loc["dealt", "lo"] > 0.6


def test_what_needs_no_labels_is_fitted_on_all_trials_only_when_asked(tmp_path, store, artifact):
    Spy.seen.clear()
    study = Trials(tmp_path, artifact, n_subjects=1)
    changes = {"classifier": SPY, "n_refits": 0, "baselines": {}}
    study.classified(store, compat={"fit_on_all": True}, **changes)
    honest, published = Spy.seen[:4], Spy.seen[4:]
    assert all(s["also"] is None and s["peek"] is None for s in Spy.seen[:4])
    assert all(len(s["also"]) + len(s["x"]) == 32 for s in published)
    everything = np.concatenate([published[0]["x"], published[0]["also"]])
    np.testing.assert_allclose(everything.mean(axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(everything.std(axis=(0, 2)), 1, atol=1e-5)
    assert abs(honest[0]["x"].mean()) > 1e-4


def test_a_classifier_that_fits_on_all_is_marked(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, n_subjects=1)
    done = study.classified(store, classifier=SPY | {"fits_on_all": True}, n_refits=0)
    assert json.loads(done.path("figures.json").read_text())["compat"] == ["fit_on_all"]


def test_labels_come_from_trials_stimuli_or_the_stimulus_itself(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, n_classes=3, n_stimuli=12, repeats=4)
    for label, folds, classes in (
        ("rating", "stimulus", ["0", "1", "2"]),
        ("kind", "stimulus", ["0", "1", "2"]),
        ("", "run", [f"clip-{i:02d}" for i in range(12)]),
    ):
        done = study.classified(store, label=label, folds=folds)
        found = pd.read_csv(done.path("classes.tsv"), sep="\t", dtype=str)
        assert list(found["class"]) == classes
        assert accuracies(done)["chance"].round(9).eq(round(1 / len(classes), 9)).all()
    with pytest.raises(UserError, match=r"classify.label=mood: neither the trials .*rating"):
        study.classified(store, label="mood")
    with pytest.raises(UserError, match="classify.label=one: all trials are of the class same"):
        study.classified(store, label="one")


def test_a_scale_is_scored_by_neighbours_too(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, n_classes=5, n_stimuli=20, signal=0.5)
    done = study.classified(store, ordered=True)
    assert accuracies(done, metric="seq2hr").loc["model", "chance"] == pytest.approx(0.16)
    plain = study.classified(store)
    assert "seq2hr" not in set(pd.read_csv(plain.path("metrics.tsv"), sep="\t")["metric"])


def test_many_refits_give_the_classifier_its_p_value(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, signal=0.6, n_subjects=1)
    done = study.classified(store, n_refits=19)
    assert accuracies(done).loc["model", "p"] == pytest.approx(1 / 20)
    once = study.classified(store, n_refits=1)
    assert accuracies(once).loc["model", "p"] == pytest.approx(1 / 100)
    assert "dealt" not in accuracies(study.classified(store, n_refits=0)).index


def test_resamples_level_permutations_and_seed_change_what_they_say(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, signal=0.2, n_subjects=1)
    model = lambda **changes: accuracies(study.classified(store, **changes)).loc["model"]
    usual, narrow = model(), model(level=0.5)
    assert narrow["hi"] - narrow["lo"] < usual["hi"] - usual["lo"]
    assert model(n_permutations=9)["p"] >= 0.1
    assert model(n_bootstrap=20)["lo"] != usual["lo"]
    assert model(n_folds=2)["value"] != usual["value"] or model(seed=3)["value"] != usual["value"]
    seeds = [model(seed=s)["value"] for s in range(4)]
    assert len(set(seeds)) > 1, "folds are drawn by the seed"


def test_seed_and_device_reach_the_classifier(tmp_path, store, artifact):
    Spy.seen.clear()
    study = Trials(tmp_path, artifact, n_subjects=1)
    changes = {"classifier": SPY, "n_refits": 0, "baselines": {}, "device": "meta"}
    study.classified(store, seed=1, **changes)
    study.classified(store, seed=2, **changes)
    assert {s["device"] for s in Spy.seen} == {"meta"}
    assert len({s["seed"] for s in Spy.seen}) == 8


def test_baselines_are_more_classifiers_or_none(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, n_subjects=1)
    done = study.classified(store, baselines={"linear": None, "again": LINEAR})
    assert list(accuracies(done).index) == ["model", "again", "dealt", "nuisance", "majority"]
    with pytest.raises(ValueError, match="classify.baselines: dealt names another condition"):
        study.classified(store, baselines={"dealt": LINEAR})


def test_what_cannot_be_done_is_said(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, channels=[5, 4])
    with pytest.raises(ValueError, match="differ in their channels .sub-01 5, sub-02 4"):
        study.classified(store, folds="subject")
    assert len(accuracies(study.classified(store)))
    with pytest.raises((ValueError, ConfigError), match="classify.step_s is the distance"):
        study.classified(store, step_s=0.1)
    with pytest.raises((ValueError, ConfigError), match="set classify.window_s"):
        study.classified(store, compat={"windows_across_folds": True})
    with pytest.raises((ValueError, ConfigError), match="n_folds=1: give 2 or more"):
        study.classified(store, n_folds=1)
    with pytest.raises(ValueError, match="tests the class clip-"):
        study.classified(store, label="")
    with pytest.raises(ValueError, match=r"classify.window_s is 9.0 s, but the epochs are 1 s"):
        study.classified(store, window_s=9.0)


def test_responses_without_time_are_classified_too(tmp_path, store, artifact):
    study = Trials(tmp_path, artifact, signal=1.0, n_times=1, n_channels=30)
    found = accuracies(study.classified(store))
    assert found.loc["model", "value"] > 0.8 and found.loc["linear", "value"] > 0.7
    with pytest.raises(ValueError, match="these responses have no time axis"):
        study.classified(store, window_s=0.1)


def test_the_same_study_gives_the_same_bytes(tmp_path, artifact):
    from neurodecode.core.store import Store

    study = Trials(tmp_path / "study", artifact, signal=0.3, n_subjects=1)
    first, second = (study.classified(Store(tmp_path / name)) for name in ("a", "b"))
    assert first.files == second.files and "metrics.tsv" in first.files
