"""The data set: BIDS to the letter, and a truth that aligns with the masks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurodecode.world import scenes
from neurodecode.world.study import simulate_study

DIALS = {"n_subjects": 2, "n_train": 30, "n_test": 6, "n_repeated_train": 6, "n_voxels": 100}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bids")
    simulate_study(folder, **DIALS)
    return folder


def test_what_describes_the_study_is_there(root):
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["License"] == "CC0" and description["DatasetType"] == "raw"
    participants = pd.read_csv(root / "participants.tsv", sep="\t")
    assert participants["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert json.loads((root / "task-scenes_bold.json").read_text())["RepetitionTime"] == 2.0
    assert "{" not in (root / "README").read_text()
    for name in ("simulated", "truth"):
        derived = json.loads((root / f"derivatives/{name}/dataset_description.json").read_text())
        assert derived["GeneratedBy"][0]["Name"] == "neurodecode"


def test_events_name_pictures_that_exist_and_fit_in_their_run(root):
    paths = sorted(root.glob("sub-*/func/*_events.tsv"))
    assert len(paths) > 20
    for path in paths:
        events = pd.read_csv(path, sep="\t")
        assert list(events.columns) == ["onset", "duration", "trial_type", "stim_file"]
        assert all((root / "stimuli" / name).is_file() for name in events["stim_file"])
        bold = nibabel.load(str(path).replace("_events.tsv", "_bold.nii.gz"))
        last_s = (events["onset"] + events["duration"]).max()
        assert last_s + 10 < bold.shape[3] * bold.header.get_zooms()[3]
        assert (events["onset"] >= 0).all() and events["onset"].is_monotonic_increasing


def test_pictures_are_the_scenes_their_table_tells_of(root):
    from PIL import Image

    table = pd.read_csv(root / "stimuli/stimuli.tsv", sep="\t")
    assert list(table.columns)[:4] == ["stim_file", "stimulus_id", "caption", "partition"]
    assert set(scenes.ATTRIBUTES) <= set(table.columns)
    assert table["caption"].tolist() == scenes.captions(table)
    jitter = pd.read_csv(root / "derivatives/truth/stimuli.tsv", sep="\t")
    full = table.merge(jitter, on="stimulus_id")
    shown = np.stack([np.asarray(Image.open(root / "stimuli" / n)) for n in full["stim_file"]])
    assert np.abs(scenes.render(full).astype(int) - shown).max() <= 1  # jitter is stored rounded


def test_masks_regions_and_truth_speak_of_the_same_voxels(root):
    for subject in ("sub-01", "sub-02"):
        stem = root / f"derivatives/simulated/{subject}/func/{subject}_task-scenes"
        brain, early, high = (
            np.asarray(nibabel.load(f"{stem}_desc-{name}_mask.nii.gz").dataobj) > 0
            for name in ("brain", "early", "high")
        )
        voxels = pd.read_csv(root / f"derivatives/truth/{subject}_voxels.tsv", sep="\t")
        np.testing.assert_array_equal(np.argwhere(brain), voxels[["i", "j", "k"]])
        np.testing.assert_array_equal(early[brain], voxels["roi"] == "early")
        np.testing.assert_array_equal(high[brain], voxels["roi"] == "high")
        assert voxels["rf_x_px"].notna().sum() == early.sum()
        responses = np.load(root / f"derivatives/truth/{subject}_responses.npy")
        assert responses.shape == (36, len(voxels))
        tuning = np.load(root / f"derivatives/truth/{subject}_tuning.npy")
        assert tuning.shape == (sum(map(len, scenes.ATTRIBUTES.values())), high.sum())


def test_confounds_have_a_row_per_volume_and_the_names_of_fmriprep(root):
    for path in sorted(root.glob("sub-*/func/*_bold.nii.gz")):
        run = path.name.removesuffix("_bold.nii.gz")
        folder = root / "derivatives/simulated" / path.parent.relative_to(root)
        table = pd.read_csv(folder / f"{run}_desc-confounds_timeseries.tsv", sep="\t")
        image = nibabel.load(path)
        assert len(table) == image.shape[3]
        assert {"trans_x", "rot_z", "framewise_displacement", "global_signal"} <= set(table.columns)
        volume = image.get_fdata()
        inside = volume[..., 0] > 0
        np.testing.assert_allclose(volume[inside].mean(axis=0), table["global_signal"], atol=0.02)


@pytest.mark.slow
def test_the_bids_validator_finds_no_error(root):
    found = shutil.which("bids-validator-deno", path=Path(sys.executable).parent) or shutil.which(
        "bids-validator-deno"
    )
    if found is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        [found, "--format", "json", str(root)], capture_output=True, text=True, timeout=300
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == []
    assert done.returncode == 0
