"""A whole EEG study: BIDS, the same bytes for the same seed, and a peak where it was planted."""

import inspect
import json
import shutil
import subprocess
import sys
import warnings

import mne
import numpy as np
import pandas as pd
import pytest
import yaml

from neurodecode.cli import conf_folder
from neurodecode.core.costs import History
from neurodecode.core.runner import Pipeline, Store
from neurodecode.world import brain
from neurodecode.world.eeg_study import simulate_eeg_study, study_size
from neurodecode.world.study import simulate_study
from tests.world.test_study import digest

TINY = {
    "n_subjects": 1,
    "n_train": 4,
    "n_test": 2,
    "test_repeats": 2,
    "n_repeated_train": 2,
    "n_voxels": 60,
    "n_channels": 16,
    "sfreq_hz": 125.0,
}
SMALL = TINY | {"n_subjects": 2, "n_train": 40, "n_test": 6, "n_repeated_train": 16}

STUDY = SMALL | {"_target_": "neurodecode.world.eeg_study.simulate_eeg_study"}
DRY = {"stages": ["simulate"], "simulate": {"study": STUDY}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of the smallest study the tests vary."""
    folder = tmp_path_factory.mktemp("tiny")
    simulate_eeg_study(folder, **TINY)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small study, its folder and its summary; a warning of mne-bids is an error."""
    folder = tmp_path_factory.mktemp("study")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return folder, simulate_eeg_study(folder, **SMALL)


def recordings(folder, subject="sub-*"):
    paths = sorted(folder.glob(f"{subject}/eeg/*_eeg.vhdr"))
    assert paths
    return paths


def beside(path, ending):
    return path.with_name(path.name.replace("_eeg.vhdr", ending))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, tiny):
    for name, seed in (("again", 0), ("other", 1)):
        simulate_eeg_study(tmp_path / name, **TINY, seed=seed)
    assert digest(tmp_path / "again") == digest(tiny)
    assert digest(tmp_path / "other") != digest(tiny)


def test_its_size_is_known_before_it_is_made(made):
    first, *others = made[1]["subjects"]
    assert study_size(**SMALL) == {"subjects": 1 + len(others), "trials": first["n_trials"]}
    cost = History(Pipeline(DRY, Store.looked_at("nowhere"), {"device": "cpu"}))
    assert cost.members() == ["sub-01", "sub-02"] and cost.size() == {
        "trials": 2 * first["n_trials"]
    }


@pytest.mark.parametrize(
    "dial",
    [
        {"n_subjects": 2},
        {"n_train": 5},
        {"n_test": 3},
        {"test_repeats": 3},
        {"n_repeated_train": 3},
        {"snr": 0.6},
        {"signal": "category_only"},
        {"signal": "low_level_only"},
        {"signal": "none"},
        {"n_voxels": 70},
        {"n_channels": 32},
        {"sfreq_hz": 150.0},
        {"trial_s": 1.1},
        {"latency_s": 0.2},
    ],
    ids=str,
)
def test_every_dial_changes_the_study(tmp_path, tiny, dial):
    simulate_eeg_study(tmp_path, **TINY | dial)
    assert digest(tiny) != digest(tmp_path)


@pytest.mark.parametrize(
    "dial, message",
    [
        ({"n_subjects": 0}, "n_subjects is 0: expected 1 to 99"),
        ({"n_train": 3}, "n_train is 3"),
        ({"n_test": 1}, "n_test is 1"),
        ({"test_repeats": 0}, "test_repeats is 0"),
        ({"n_repeated_train": 5}, "only 4 training pictures"),
        ({"snr": float("nan")}, "snr is nan"),
        ({"signal": "all"}, "category_only"),
        ({"n_voxels": 10}, "n_voxels is 10"),
        ({"n_channels": 63}, "n_channels is 63: expected one of"),
        ({"sfreq_hz": 60.0}, "sfreq_hz is 60.0"),
        ({"trial_s": 0.2}, "trial_s is 0.2"),
        ({"latency_s": 0.05}, "latency_s is 0.05: expected 0.14 to 0.4"),
        ({"seed": -1}, "seed is -1"),
    ],
    ids=str,
)
def test_a_dial_out_of_range_says_what_came_and_what_was_expected(tmp_path, dial, message):
    with pytest.raises(ValueError, match=message):
        simulate_eeg_study(tmp_path / "study", **TINY | dial)
    assert not (tmp_path / "study").exists()


def test_the_recipe_shows_every_dial_with_its_default():
    given = yaml.safe_load((conf_folder() / "recipe/world_eeg.yaml").read_text())["study"]
    given.pop("_target_")
    given["seed"] = 0  # ${seed}
    signature = inspect.signature(simulate_eeg_study).parameters.values()
    assert given == {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}


def test_signals_are_those_of_the_brain():
    annotation = inspect.signature(simulate_eeg_study).parameters["signal"].annotation
    assert annotation.__args__ == brain.SIGNALS


def test_pictures_and_brains_are_those_of_the_fmri_study(tmp_path, tiny):
    names = ("n_subjects", "n_train", "n_test", "n_voxels")
    simulate_study(tmp_path, **{name: TINY[name] for name in names}, n_repeated_train=2)
    assert digest(tiny / "stimuli") == digest(tmp_path / "stimuli")
    truth = "derivatives/truth/sub-01"
    for name in ("channel_weights", "tuning"):
        ours, theirs = (np.load(root / f"{truth}_{name}.npy") for root in (tiny, tmp_path))
        np.testing.assert_array_equal(ours, theirs)
    ours, theirs = (np.load(root / f"{truth}_responses.npy") for root in (tiny, tmp_path))
    answers = np.ptp(ours, axis=0) > 0
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T[answers], theirs.T[answers], strict=True)]
    np.testing.assert_allclose(r, 1, atol=1e-4)


def test_the_first_subject_stays_the_same_when_there_are_more(tmp_path, tiny):
    simulate_eeg_study(tmp_path, **TINY | {"n_subjects": 2})
    assert digest(tiny / "sub-01") == digest(tmp_path / "sub-01")


def test_mne_bids_reads_what_was_written(made):
    import mne_bids

    folder, summary = made
    path = mne_bids.BIDSPath(subject="01", task="scenes", run="01", datatype="eeg", root=folder)
    raw = mne_bids.read_raw_bids(path, verbose="ERROR")
    assert raw.info["bads"] == [summary["subjects"][0]["bad_channel"]]
    assert raw.info["line_freq"] == 50 and raw.info["sfreq"] == 125
    assert raw.info["meas_date"] is None
    assert raw.get_montage().get_positions()["ch_pos"].keys() == set(raw.ch_names)
    assert 5e-6 < np.median(raw.get_data().std(axis=1)) < 1e-4  # volts


def test_triggers_and_events_agree_and_name_pictures_that_exist(made):
    folder = made[0]
    for path in recordings(folder):
        events = pd.read_csv(beside(path, "_events.tsv"), sep="\t")
        columns = ["onset", "duration", "trial_type", "stim_file", "value", "sample"]
        assert list(events.columns) == columns
        assert all((folder / "stimuli" / name).is_file() for name in events["stim_file"])
        raw = mne.io.read_raw_brainvision(path, verbose="ERROR")
        np.testing.assert_allclose(raw.annotations.onset, events["onset"], atol=1e-6)
        np.testing.assert_array_equal(events["sample"], np.rint(events["onset"] * 125))
        assert events["onset"].min() > 3 and events["onset"].max() + 4 < raw.times[-1]
        assert np.diff(events["onset"]).min() > 0.85


def test_pictures_are_not_locked_to_the_mains(made):
    onsets = np.concatenate(
        [pd.read_csv(beside(p, "_events.tsv"), sep="\t")["onset"] for p in recordings(made[0])]
    )
    assert np.abs(np.exp(2j * np.pi * 50 * onsets).mean()) < 0.2


def test_sensors_are_the_same_in_all_runs_and_one_has_a_bad_contact(made):
    folder, summary = made
    for about in summary["subjects"]:
        tables = [
            pd.read_csv(beside(path, "_channels.tsv"), sep="\t")
            for path in recordings(folder, about["subject"])
        ]
        for table in tables:
            assert table["name"].tolist() == tables[0]["name"].tolist()
            assert table.loc[table["status"] == "bad", "name"].tolist() == [about["bad_channel"]]
        electrodes = next((folder / about["subject"]).glob("eeg/*_electrodes.tsv"))
        assert pd.read_csv(electrodes, sep="\t")["name"].tolist() == tables[0]["name"].tolist()


def test_the_truth_aligns_and_peaks_at_the_latency(made):
    folder, summary = made
    truth = folder / "derivatives/truth"
    assert json.loads((truth / "study.json").read_text())["subjects"] == summary["subjects"]
    for about in summary["subjects"]:
        sources = pd.read_csv(truth / f"{about['subject']}_sources.tsv", sep="\t")
        responses = np.load(truth / f"{about['subject']}_responses.npy")
        field = np.load(truth / f"{about['subject']}_lead_field.npy")
        assert responses.shape == (46, len(sources)) and field.shape == (16, len(sources))
        assert about["n_sources"] == len(sources)
        course = pd.read_csv(truth / f"{about['subject']}_time_course.tsv", sep="\t")
        assert course["time_s"][course["information"].idxmax()] == pytest.approx(0.17, abs=6e-4)
        assert (course["information"][course["time_s"] <= 0] == 0).all()


def test_a_brain_that_carries_nothing_answers_every_picture_alike(tmp_path):
    simulate_eeg_study(tmp_path, **TINY, signal="none")
    assert not np.load(tmp_path / "derivatives/truth/sub-01_responses.npy").any()
    sources = pd.read_csv(tmp_path / "derivatives/truth/sub-01_sources.tsv", sep="\t")
    assert (sources["evoked_nam"].abs() > 0).mean() > 0.7


def test_the_summary_says_a_line_a_subject(made):
    lines = made[1]["about"]
    assert len(lines) == 2
    assert lines[0].startswith("sub-01: 16 channels") and "repeat correlation" in lines[0]


@pytest.mark.slow
def test_the_bids_validator_finds_no_error(made):
    found = shutil.which("bids-validator-deno", path=str(sys.executable).rpartition("/")[0])
    if found is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        [found, "--format", "json", str(made[0])], capture_output=True, text=True, timeout=300
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == []
    assert done.returncode == 0


def epochs_of(folder, subject):
    """Read, clean and cut a subject's recordings: (n_trials, n_channels, 225), ids; 250 Hz."""
    epochs, shown = [], []
    for path in recordings(folder, subject):
        raw = mne.io.read_raw_brainvision(path, preload=True, verbose="ERROR")
        channels = pd.read_csv(beside(path, "_channels.tsv"), sep="\t")
        raw.drop_channels(channels.loc[channels["status"] == "bad", "name"].tolist())
        raw.set_eeg_reference("average", verbose="ERROR").filter(0.1, 40, verbose="ERROR")
        events = pd.read_csv(beside(path, "_events.tsv"), sep="\t")
        cut = raw.get_data()[:, np.add.outer(events["sample"].to_numpy(), np.arange(-50, 175))]
        cut -= cut[..., :50].mean(axis=-1, keepdims=True)
        epochs.append(cut.transpose(1, 0, 2).astype(np.float32))
        shown += events["stim_file"].tolist()
    return np.concatenate(epochs), np.array(shown)


def decode(features, shown, table, embedding):
    """Ridge from single training trials to the embedding; test trials averaged: top-1, two-way."""
    from sklearn.linear_model import RidgeCV

    row = pd.Series(np.arange(len(table)), index=table["stim_file"])
    train = row.index[table["partition"] == "train"]
    learnt = np.isin(shown, train)
    z = (features - features[learnt].mean(axis=0)) / features[learnt].std(axis=0)
    z = np.clip(z, -5, 5)
    test = sorted(set(shown[~learnt]))
    centred = embedding - embedding[row[train]].mean(axis=0)
    ridge = RidgeCV(np.logspace(2, 6, 9)).fit(z[learnt], centred[row[shown[learnt]]])
    guess = ridge.predict(np.stack([z[shown == s].mean(axis=0) for s in test]))
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (guess, centred[row[test]])]
    similarity = unit[0] @ unit[1].T
    below = (similarity < np.diag(similarity)[:, None]).sum(axis=1)
    return (below == len(test) - 1).mean(), below.mean() / (len(test) - 1)


def embedded(folder):
    from PIL import Image

    from neurodecode.contrastive.targets import OpenClipTarget

    table = pd.read_csv(folder / "stimuli/stimuli.tsv", sep="\t")
    paths = [folder / "stimuli" / name for name in table["stim_file"]]
    return table, OpenClipTarget().pictures(np.stack([np.asarray(Image.open(p)) for p in paths]))[0]


def windows(epochs):
    """Means of three samples from onset to 0.6 s, as features."""
    means = epochs[:, :, 50:200].reshape(*epochs.shape[:2], 50, 3).mean(axis=-1)
    return means.reshape(len(means), -1)


@pytest.mark.slow
def test_at_the_default_dials_pictures_are_found_and_the_curve_peaks_at_the_latency(tmp_path):
    summary = simulate_eeg_study(tmp_path)
    table, embedding = embedded(tmp_path)
    for about in summary["subjects"]:
        epochs, shown = epochs_of(tmp_path, about["subject"])
        top1, _ = decode(windows(epochs), shown, table, embedding)
        assert 0.2 < top1 < 0.7
        centres = np.arange(6, 219, 3)  # windows of 13 samples: 52 ms
        curve = np.array(
            [
                decode(epochs[:, :, c - 6 : c + 7].mean(axis=-1), shown, table, embedding)[1]
                for c in centres
            ]
        )
        times_s = (centres - 50) / 250
        near = np.abs(times_s - times_s[curve.argmax()]) < 0.05
        slope, offset = np.polyfit(times_s[near], curve[near], 2)[:2]
        assert -offset / (2 * slope) == pytest.approx(0.17, abs=0.015)
        before = curve[times_s < -0.03]
        assert before.mean() == pytest.approx(0.5, abs=0.04) and before.max() < 0.6


@pytest.mark.slow
def test_a_brain_that_carries_nothing_is_decoded_at_chance(tmp_path):
    simulate_eeg_study(tmp_path, n_subjects=1, signal="none")
    table, embedding = embedded(tmp_path)
    top1, two_way = decode(windows(epochs_of(tmp_path, "sub-01")[0]),
                           epochs_of(tmp_path, "sub-01")[1], table, embedding)  # fmt: skip
    assert top1 <= 0.05
    assert two_way == pytest.approx(0.5, abs=0.1)
