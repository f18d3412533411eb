"""Files of mne.Epochs come in by index and preprocess: what they show is said by their metadata."""

import mne
import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.data.layouts.epochs import EpochsFiles
from neurodecode.data.recipe import Recipe
from neurodecode.preprocess.epochs_files import StoredEpochs
from neurodecode.stages import index, preprocess
from tests.data.meeg_study import NAMES, ONSETS_S, PICTURES, raw_of, write_pictures

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SHOWN = np.resize(PICTURES, 12)
LAYOUT = {"_target_": "neurodecode.data.layouts.epochs.EpochsFiles"}
RECIPE = Recipe(layout=LAYOUT, stimulus_table="")
METHOD = {"_target_": "neurodecode.preprocess.epochs_files.StoredEpochs"}


def epochs_of(seed=0, metadata=None, event_id=None, **kwargs):
    raw = raw_of(seed)
    samples = np.round(ONSETS_S * raw.info["sfreq"]).astype(int)
    codes = [PICTURES.index(p) + 1 for p in SHOWN]
    events = np.column_stack([samples, 0 * samples, codes])
    span = {"tmin": -0.2, "tmax": 0.8, "baseline": None, "preload": True} | kwargs
    return mne.Epochs(raw, events, event_id, metadata=metadata, **span, verbose="ERROR")


def shown(**columns):
    return pd.DataFrame({"stim_file": SHOWN, "response": range(12)} | columns)


def save(epochs, path, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    epochs.save(path, overwrite=True, verbose="ERROR", **kwargs)


def responses_of(files, trials=None, **options):
    rows = [{"run": f"run-{i}", "kind": "signal", "file": f} for i, f in enumerate(files, 1)]
    made = StoredEpochs(pd.DataFrame(rows), **options)
    trials = pd.DataFrame({"epochs_of": "run-1", "epoch": range(12)}) if trials is None else trials
    return made, made.run("run-1", trials).responses


def indexed_and_preprocessed(root, store, artifact, folder):
    """Run index and preprocess on the folder; return the trials and responses of sub-01."""
    config = {"recipe": {"root": str(root), "layout": LAYOUT, "stimulus_table": ""}}
    made = run_stage(index.run, config, {}, store)
    trials = read_table(made.path("trials.tsv"))
    (folder / "split").mkdir()
    table = trials[["trial_id", "subject", "run", "stimulus_id"]].assign(split="train")
    table.to_csv(folder / "split" / "split.tsv", sep="\t", index=False)
    upstream = {"index": made, "split": artifact(folder / "split")}
    found = run_stage(
        preprocess.run, {"root": str(root), "method": METHOD}, upstream, store, each="sub-01"
    )
    return read_table(found.path("trials.tsv")), np.load(found.path("responses.npy")), found


def test_a_folder_of_epochs_goes_through_index_and_preprocess(tmp_path, store, artifact):
    root = tmp_path / "epochs"
    write_pictures(root)
    parts = [epochs_of(seed, shown(response=seed)) for seed in (1, 2)]
    save(parts[0], root / "sub-01" / "ses-01_run-01-epo.fif")
    save(parts[1], root / "sub-01" / "ses-01_run-02-epo.fif")
    save(epochs_of(3, shown()), root / "sub-02_task-x_run-01_epo.fif")
    trials, responses, found = indexed_and_preprocessed(root, store, artifact, tmp_path)
    assert trials["stimulus_id"].tolist() == [p.removesuffix(".png") for p in [*SHOWN, *SHOWN]]
    assert trials["run"].tolist() == ["ses-01_run-01"] * 12 + ["ses-01_run-02"] * 12
    assert set(trials["session"]) == {"ses-01"} and set(trials["response"].astype(int)) == {1, 2}
    assert np.allclose(trials["onset_s"][:12], ONSETS_S) and trials["repeat"].max() == 4
    expected = np.concatenate([1e6 * e.get_data() for e in parts])
    assert np.abs(responses - expected).max() < 1e-3
    assert np.allclose(np.load(found.path("space/times_s.npy")), parts[0].times)
    assert read_table(found.path("space/sensors.tsv"))["name"].tolist() == NAMES
    assert np.load(found.path("space/positions_mm.npy")).shape == (14, 3)


def test_metadata_may_name_the_session_and_run_of_each_epoch(tmp_path, store, artifact):
    write_pictures(tmp_path / "epochs")
    sessions, runs = np.repeat([1, 2], 6), np.tile(np.repeat([1, 2], 3), 2)
    made = epochs_of(1, shown(session=sessions, run=runs))
    save(made, tmp_path / "epochs" / "sub-01" / "preprocessed-epo.fif")
    trials, responses, _ = indexed_and_preprocessed(tmp_path / "epochs", store, artifact, tmp_path)
    expected = [f"ses-{s}_run-{r}" for s, r in zip(sessions, runs, strict=True)]
    assert trials["run"].tolist() == expected
    assert np.abs(responses - 1e6 * made.get_data()).max() < 1e-3


def events(folder, **recipe):
    made = Recipe(**{"layout": LAYOUT, "stimulus_table": ""} | recipe)
    runs = EpochsFiles().runs(made, folder)
    return EpochsFiles().events(runs[0], made, EpochsFiles().facts(runs[0]))


def test_without_metadata_the_names_of_events_are_the_pictures(tmp_path):
    names = {name: i for i, name in enumerate(PICTURES, 1)}
    save(epochs_of(event_id=names), tmp_path / "sub-01-epo.fif")
    found = events(tmp_path)
    assert found["shown"].tolist() == list(SHOWN) and found["epoch"].tolist() == list(range(12))


def test_epochs_that_show_nothing_are_no_trials_and_durations_are_kept(tmp_path):
    table = shown(duration=0.5).assign(stim_file=["n/a", *SHOWN[1:]], trial_type="picture")
    save(epochs_of(metadata=table), tmp_path / "sub-01-epo.fif")
    found = events(tmp_path)
    assert found["epoch"].tolist() == list(range(1, 12)) and set(found["duration_s"]) == {0.5}
    assert set(events(tmp_path, label_column="trial_type")["shown"]) == {"picture"}


def test_a_file_in_parts_is_one_run(tmp_path):
    data = np.zeros((400, 14, 201))
    made = mne.EpochsArray(data, epochs_of().info, verbose="ERROR")
    made.metadata = pd.DataFrame({"stim_file": np.resize(PICTURES, 400)})
    for naming, name in (("neuromag", "sub-01-epo.fif"), ("bids", "sub-01_epo.fif")):
        save(made, tmp_path / naming / name, split_size="5MB", split_naming=naming)
        (run,) = EpochsFiles().runs(RECIPE, tmp_path / naming)
        assert len(set(run.files())) == len(list((tmp_path / naming).iterdir())) >= 2
        assert EpochsFiles().facts(run)["n_epochs"] == 400


def test_subjects_and_tasks_are_chosen(tmp_path):
    for name in ("sub-01_task-a", "sub-01_task-b", "sub-02_task-a"):
        save(epochs_of(metadata=shown()), tmp_path / f"{name}-epo.fif")
    runs = EpochsFiles().runs(Recipe(task="a"), tmp_path)
    assert [r.subject for r in runs] == ["sub-01", "sub-02"]
    assert len(EpochsFiles().runs(Recipe(task="a", subjects=["sub-02"]), tmp_path)) == 1
    with pytest.raises(FileNotFoundError, match="names sub-03; there are sub-01, sub-02"):
        EpochsFiles().runs(Recipe(task="a", subjects=["sub-03"]), tmp_path)
    with pytest.raises(ValueError, match="task-a-epo.fif and .* are both run-1 of sub-01"):
        EpochsFiles().runs(Recipe(), tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no …-epo.fif of task-c"):
        EpochsFiles().runs(Recipe(task="c"), tmp_path)


# ---- options


@pytest.fixture
def two(tmp_path):
    for seed in (1, 2):
        save(epochs_of(seed, shown()), tmp_path / f"sub-01_run-{seed}-epo.fif")
    return [tmp_path / f"sub-01_run-{seed}-epo.fif" for seed in (1, 2)]


def test_choices_are_those_of_mne(two):
    stored = mne.read_epochs(two[0], verbose="ERROR")
    _, whole = responses_of(two)
    assert np.allclose(whole, 1e6 * stored.get_data(), atol=1e-3)
    _, some = responses_of(two, picks=["O*", "Cz"])
    assert np.allclose(
        some, 1e6 * stored.copy().pick(["Cz", "O1", "O2", "Oz"]).get_data(), atol=1e-3
    )
    made, cropped = responses_of(two, tmin_s=0.0, tmax_s=0.5)
    assert np.allclose(cropped, 1e6 * stored.copy().crop(0, 0.5).get_data(), atol=1e-3)
    assert made.times_s[[0, -1]].tolist() == [0.0, 0.5]
    _, based = responses_of(two, baseline_s=[None, 0.0])
    stored.apply_baseline((None, 0), verbose="ERROR")
    assert np.allclose(based, 1e6 * stored.get_data(), atol=1e-3)


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 60.0])
def test_another_rate_has_the_times_of_mne(two, rate_hz):
    made, out = responses_of(two, resample_hz=rate_hz)
    expected = mne.read_epochs(two[0], verbose="ERROR").resample(rate_hz)
    assert np.allclose(made.times_s, expected.times) and out.shape[2] == len(expected.times)
    assert np.allclose(out, 1e6 * expected.get_data(), atol=1e-3)


def test_trials_may_come_from_several_files_in_any_order(two):
    trials = pd.DataFrame({"epochs_of": ["run-2", "run-1", "run-2"], "epoch": [4, 0, 1]})
    _, out = responses_of(two, trials)
    first, second = (mne.read_epochs(f, verbose="ERROR").get_data() for f in two)
    assert np.allclose(out, 1e6 * np.stack([second[4], first[0], second[1]]), atol=1e-3)


# ---- mistakes


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: epochs_of(), r"no metadata, and its events are only numbers \(1, 2,.*stim_file"),
        (
            lambda: epochs_of(metadata=shown().rename(columns={"stim_file": "image"})),
            "no column 'stim_file', only image, response: name that of the pictures",
        ),
        (lambda: epochs_of(metadata=shown(stim_file="n/a")), "has no trial"),
    ],
)
def test_epochs_that_do_not_say_what_was_shown_are_refused(tmp_path, made, message):
    save(made(), tmp_path / "sub-01-epo.fif")
    with pytest.raises(ValueError, match=message) as error:
        events(tmp_path)
    assert "sub-01-epo.fif" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tmin_s": -1.0}, "tmin_s=-1.0 and tmax_s=None are not within the stored epochs, -0.2"),
        ({"resample_hz": 500.0}, "resample_hz=500 is above the rate of the epochs, 200 Hz"),
        ({"baseline_s": [-0.2, 0.0], "tmin_s": 0.0}, "is not within the epoch, 0 to 0.8 s"),
        ({"picks": ["T7"]}, "has no channel 'T7'"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(two, options, message):
    with pytest.raises(ValueError, match=message):
        responses_of(two, **options)


def test_files_that_differ_are_refused_by_name(two, tmp_path):
    save(epochs_of(2, shown()).drop_channels(["Oz"]), two[1])
    with pytest.raises(ValueError, match="run-2.* other channels than .*run-1.*13 instead of 14"):
        responses_of(two)
    save(epochs_of(2, shown(), tmax=0.7), two[1])
    with pytest.raises(ValueError, match="run-2.* -0.2 to 0.7 s in 181 samples, .* cut all files"):
        responses_of(two)


def test_files_that_cannot_be_read_are_named(two):
    two[1].write_bytes(b"")
    with pytest.raises(ValueError, match="run-2-epo.fif is empty"):
        responses_of(two)
    two[1].write_bytes(b"no epochs at all" * 99)
    with pytest.raises(ValueError, match="run-2-epo.fif is not a readable file of mne.Epochs"):
        responses_of(two)
    broken = epochs_of(1, shown())
    broken._data[2, 3] = np.nan
    save(broken, two[0])
    with pytest.raises(ValueError, match="not finite in 1 of 14 channels"):
        responses_of(two[:1])


def test_a_file_without_a_subject_is_refused(tmp_path):
    save(epochs_of(), tmp_path / "preprocessed-epo.fif")
    with pytest.raises(ValueError, match="does not tell its subject"):
        EpochsFiles().runs(RECIPE, tmp_path)
