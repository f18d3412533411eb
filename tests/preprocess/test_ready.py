"""Responses that are there already: the rows that were written come back, or a reason why not."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.preprocess.ready import Ready
from neurodecode.signal.by_run import zscore_by_run
from neurodecode.stages import index, preprocess
from tests.data.small_folder import N_CHANNELS, N_RUNS, PICTURES, write_folder

READY = "neurodecode.preprocess.ready.Ready"
LAYOUT = {"_target_": "neurodecode.data.layouts.folder.Folder"}


@pytest.fixture
def preprocessed(tmp_path, store, artifact):
    """``preprocessed(**options)``: index, split and preprocess the folder ``tmp_path/study``."""
    root = tmp_path / "study"

    def run(subject="sub-01", **options):
        recipe = {"layout": LAYOUT, "stimulus_table": None, "root": str(root)}
        indexed = run_stage(index.run, {"recipe": recipe}, {}, store)
        trials = read_table(indexed.path("trials.tsv"))
        (tmp_path / "split").mkdir(exist_ok=True)
        table = trials[["trial_id", "subject", "run", "stimulus_id"]].assign(split="train")
        table.to_csv(tmp_path / "split" / "split.tsv", sep="\t", index=False)
        upstream = {"index": indexed, "split": artifact(tmp_path / "split")}
        config = {"method": {"_target_": READY, **options}, "root": str(root)}
        return run_stage(preprocess.run, config, upstream, store, each=subject)

    run.root = root
    return run


def responses_of(found):
    return np.load(found.path("responses.npy"))


@pytest.mark.parametrize("times", [False, True])
def test_the_rows_come_back_as_they_were_written(preprocessed, times):
    made = write_folder(preprocessed.root, times=times)
    for subject in made:
        found = preprocessed(subject)
        np.testing.assert_array_equal(responses_of(found), made[subject])
        quality = json.loads(found.path("qc.json").read_text())
        assert quality["n_channels"] == N_CHANNELS and quality["channels"] == "channels"
        mean = made[subject].reshape(len(made[subject]), -1).mean(axis=1)
        nuisance = read_table(found.path("nuisance.tsv"))
        np.testing.assert_allclose(nuisance["mean_response"], mean, atol=1e-6)


def test_a_row_goes_with_its_line_whatever_the_order_of_the_trials(preprocessed):
    made = write_folder(preprocessed.root, subjects=("sub-01",))["sub-01"]
    path = preprocessed.root / "sub-01" / "trials.tsv"
    table = pd.read_csv(path, sep="\t")
    shown = table["stim_file"].where(table.index % 7 > 0, "rest")
    onsets = np.random.default_rng(0).permutation(len(table))
    table.assign(stim_file=shown, onset=onsets).to_csv(path, sep="\t", index=False)
    found = preprocessed()
    trials = read_table(found.path("trials.tsv"))
    for row, trial in zip(responses_of(found), trials.itertuples(), strict=True):
        line = int(np.flatnonzero(onsets == trial.onset_s)[0])
        assert trial.stimulus_id == shown[line][:-4]
        np.testing.assert_array_equal(row, made[line])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8])
def test_any_real_number_becomes_float32(preprocessed, dtype):
    made = (10 * write_folder(preprocessed.root, subjects=("sub-01",))["sub-01"]).astype(dtype)
    np.save(preprocessed.root / "sub-01" / "responses.npy", made)
    found = responses_of(preprocessed())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, made.astype(np.float32))


@pytest.mark.parametrize("times", [False, True])
def test_zscore_is_that_of_each_run(preprocessed, times):
    made = write_folder(preprocessed.root, subjects=("sub-01",), times=times)["sub-01"]
    found = responses_of(preprocessed(standardise="zscore"))
    expected = zscore_by_run(made, np.repeat(np.arange(N_RUNS), len(PICTURES)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, made)


def test_a_window_keeps_its_times(preprocessed):
    made = write_folder(preprocessed.root, subjects=("sub-01",), times=True)["sub-01"]
    found = preprocessed(window_s=[0.0, 0.1])
    np.testing.assert_array_equal(responses_of(found), made[:, :, 1:3])
    np.testing.assert_allclose(np.load(found.path("space/times_s.npy")), [0, 0.1], atol=1e-7)
    for window, message in (([5.0, 6.0], "holds no time"), ([0.1, 0.0], "give .first, last.")):
        with pytest.raises(ValueError, match=message):
            preprocessed(window_s=window)


def test_a_window_needs_times(preprocessed):
    write_folder(preprocessed.root, subjects=("sub-01",))
    with pytest.raises(ValueError, match="no time axis"):
        preprocessed(window_s=[0.0, 0.1])


def test_what_the_folder_says_of_its_channels_is_kept(preprocessed):
    write_folder(preprocessed.root, subjects=("sub-01",))
    folder, inside = preprocessed.root / "sub-01", np.zeros((3, 3, 1), np.uint8)
    inside.ravel()[:N_CHANNELS] = 1
    nibabel.save(nibabel.Nifti1Image(inside, np.diag([2.0, 2, 2, 1])), folder / "mask.nii.gz")
    found = preprocessed()
    positions = np.load(found.path("space/positions_mm.npy"))
    np.testing.assert_allclose(positions, 2.0 * np.argwhere(inside > 0))
    assert (nibabel.load(found.path("space/mask.nii.gz")).get_fdata() == inside).all()
    assert json.loads(found.path("qc.json").read_text())["channels"] == "voxels"

    (folder / "mask.nii.gz").unlink()
    np.save(folder / "positions_mm.npy", np.ones((N_CHANNELS, 3)))
    pd.DataFrame({"name": list("abcde")}).to_csv(folder / "sensors.tsv", sep="\t", index=False)
    found = preprocessed()
    assert (np.load(found.path("space/positions_mm.npy")) == 1).all()
    assert read_table(found.path("space/sensors.tsv"))["name"].tolist() == list("abcde")
    assert json.loads(found.path("qc.json").read_text())["channels"] == "sensors"


def replaced(name, values):
    return lambda folder, made: np.save(folder / name, values)


def spoilt(row, channel, value):
    def make(folder, made):
        values = made.copy()
        values[row, channel] = value
        np.save(folder / "responses.npy", values)

    return make


def doubled(folder, made):
    values = made.copy()
    values[2] = values[1]
    np.save(folder / "responses.npy", values)


def masked(folder, made):
    image = nibabel.Nifti1Image(np.ones((2, 1, 1), np.uint8), np.eye(4))
    nibabel.save(image, folder / "mask.nii.gz")


def sensors(folder, made):
    (folder / "sensors.tsv").write_text("name\nCz\n")


MISTAKES = {
    "NaN": (spoilt(9, 2, np.nan), r"1 values .* 1 channels; the first is in row 9, channel 2"),
    "infinite": (spoilt(0, 0, np.inf), "row 0, channel 0"),
    "too large": (lambda f, m: np.save(f / "responses.npy", m * 1e300), "not finite"),
    "twice": (doubled, "rows 1 and 2 are the same"),
    "mask": (masked, "2 voxels, responses.npy 5 channels"),
    "positions": (replaced("positions_mm.npy", np.ones((4, 3))), "4 positions"),
    "flat positions": (replaced("positions_mm.npy", np.ones((5, 2))), r"\(5, 2\): \(n_channels, 3"),
    "no number": (replaced("positions_mm.npy", np.full((5, 3), np.nan)), "no finite number"),
    "objects": (replaced("positions_mm.npy", np.array([{}])), "holds Python objects"),
    "sensors": (sensors, "1 sensors"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_file(preprocessed, name):
    made = write_folder(preprocessed.root, subjects=("sub-01",))["sub-01"].astype(float)
    make, message = MISTAKES[name]
    make(preprocessed.root / "sub-01", made)
    with pytest.raises(ValueError, match=message) as raised:
        preprocessed()
    assert str(preprocessed.root) in str(raised.value)


def test_a_time_axis_needs_its_times(preprocessed):
    write_folder(preprocessed.root, subjects=("sub-01",), times=True)
    path = preprocessed.root / "sub-01" / "times_s.npy"
    for times_s in ([0.0, 0.1], [0.0, 0.1, 0.1, 0.2]):
        np.save(path, times_s)
        with pytest.raises(ValueError, match="must hold 4 increasing times"):
            preprocessed()
    path.unlink()
    with pytest.raises(ValueError, match="no times_s.npy beside it"):
        preprocessed()


def test_each_run_may_have_a_file_of_its_own(tmp_path):
    rng = np.random.default_rng(0)
    made = {name: rng.standard_normal((4, 3)) for name in ("run-01", "run-02")}
    for name, values in made.items():
        np.save(tmp_path / f"{name}.npy", values)
    files = pd.DataFrame({"run": list(made), "kind": "signal", "name": ""})
    files["file"] = [str(tmp_path / f"{name}.npy") for name in made]
    recording = Ready(files)
    rows = pd.DataFrame({"responses_row": [3, 1]})
    for name, values in made.items():
        found = recording.run(name, rows).responses
        np.testing.assert_array_equal(found, values[[3, 1]].astype(np.float32))
    with pytest.raises(ValueError, match="no column responses_row"):
        recording.run("run-01", pd.DataFrame({"onset_s": [0.0]}))
    np.save(tmp_path / "run-02.npy", np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"run-02.npy has responses of shape \(2,\)"):
        Ready(files)
