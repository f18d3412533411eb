"""Haxby's study becomes valid BIDS, the same bytes each time, or says what is missing."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from neurodecode.data import bids, haxby
from neurodecode.data.recipe import Recipe
from neurodecode.data.trials import read_events

CATEGORIES = ["face", "house", "cat"]
N_VOLUMES = 16
RECIPE = Recipe(
    derivatives="derivatives/haxby", label_column="trial_type", stim_column="", stimulus_table=""
)
AFFINE = np.array([[-3.1, 0, 0, 6.2], [0, 3.75, 0, -5], [0, 0, 3.75, 0], [0, 0, 0, 1]])


def openfmri(folder, n_runs=2, mask=True):
    """Write a tiny study in the OpenfMRI layout; the outermost voxel lies outside the brain."""
    rng = np.random.default_rng(0)
    for run in range(1, n_runs + 1):
        place = folder / "sub001" / "BOLD" / f"task001_run{run:03d}"
        place.mkdir(parents=True)
        bold = rng.integers(800, 1200, (4, 3, 1, N_VOLUMES)).astype(np.int16)
        bold[0, 0] = 0
        save(bold, place / "bold_1slice.nii.gz", (3.1, 3.75, 3.75, 2.5))
        rows = "".join(f"{i * 10.0}\t7.5\t{c}\n" for i, c in enumerate(CATEGORIES))
        (place / "bold_events.tsv").write_text("onset\tduration\ttrial_type\n" + rows)
        np.savetxt(place / "bold_moest.txt", rng.standard_normal((N_VOLUMES, 6)) / 100)
    inside = np.ones((4, 3, 1), np.int16)
    inside[0] = 0
    if mask:
        (folder / "concatenated").mkdir()
        save(inside, folder / "concatenated" / "mask.nii.gz", (3.1, 3.75, 3.75))
    masks = folder / "sub001" / "masks"
    masks.mkdir()
    save(inside[:2, :2], masks / "vt.nii.gz", (3.1, 3.75, 3.75))  # of another grid
    return folder


def save(data, path, zooms):
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_zooms(zooms)
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(path)


def digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def test_an_imported_study_is_read_like_any_other(tmp_path):
    haxby.import_openfmri(openfmri(tmp_path / "haxby"), tmp_path / "bids")
    runs = bids.find_runs(RECIPE, tmp_path / "bids")
    assert [(r.subject, r.run) for r in runs] == [("sub-01", "run-01"), ("sub-01", "run-02")]
    assert bids.read_sidecars(runs[0])["RepetitionTime"] == 2.5
    assert read_events(runs[0].events, RECIPE)["shown"].tolist() == CATEGORIES
    assert np.asarray(nibabel.load(runs[0].others["mask"]).dataobj).sum() == 9


def test_runs_are_copied_byte_by_byte_and_motion_keeps_its_names(tmp_path):
    source = openfmri(tmp_path / "haxby")
    haxby.import_openfmri(source, tmp_path / "bids")
    run = bids.find_runs(RECIPE, tmp_path / "bids")[1]
    place = source / "sub001" / "BOLD" / "task001_run002"
    assert run.signal.read_bytes() == (place / "bold_1slice.nii.gz").read_bytes()
    header, *rows = run.others["confounds"].read_text().splitlines()
    assert header.split("\t") == ["rot_x", "rot_y", "rot_z", "trans_x", "trans_y", "trans_z"]
    values = np.array([row.split("\t") for row in rows], float)
    assert np.allclose(values, np.loadtxt(place / "bold_moest.txt"), rtol=1e-5)


def test_without_a_mask_the_brain_is_where_the_signal_varies(tmp_path):
    haxby.import_openfmri(openfmri(tmp_path / "haxby", mask=False), tmp_path / "bids")
    (mask,) = (tmp_path / "bids").rglob("*desc-brain_mask.nii.gz")
    inside = np.asarray(nibabel.load(mask).dataobj)
    assert inside.sum() == 11 and inside[0, 0, 0] == 0


def test_a_mask_on_another_grid_is_left_out(tmp_path):
    haxby.import_openfmri(openfmri(tmp_path / "haxby"), tmp_path / "bids")
    assert not list((tmp_path / "bids").rglob("*desc-vt*"))


def test_importing_twice_gives_the_same_bytes(tmp_path):
    source = openfmri(tmp_path / "haxby")
    for name in ("first", "second"):
        haxby.import_openfmri(source, tmp_path / name)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


def test_pictures_of_the_neighbour_folder_come_along(tmp_path):
    source = openfmri(tmp_path / "haxby")
    (tmp_path / "haxby_stimuli" / "faces").mkdir(parents=True)
    (tmp_path / "haxby_stimuli" / "faces" / "one.jpg").write_bytes(b"jpg")
    haxby.import_openfmri(source, tmp_path / "bids")
    assert (tmp_path / "bids" / "stimuli" / "faces" / "one.jpg").read_bytes() == b"jpg"


@pytest.mark.parametrize("name", ["bold_events.tsv", "bold_moest.txt", "bold_1slice.nii.gz"])
def test_a_missing_file_is_named_and_nothing_is_left_behind(tmp_path, name):
    source = openfmri(tmp_path / "haxby")
    (source / "sub001" / "BOLD" / "task001_run002" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"run002/{name}"):
        haxby.import_openfmri(source, tmp_path / "bids")
    assert [p.name for p in tmp_path.iterdir()] == ["haxby"]


def test_a_folder_that_is_there_is_not_overwritten(tmp_path):
    source = openfmri(tmp_path / "haxby")
    (tmp_path / "bids").mkdir()
    with pytest.raises(FileExistsError, match="--out"):
        haxby.import_openfmri(source, tmp_path / "bids")


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="sub001/BOLD"):
        haxby.import_openfmri(tmp_path, tmp_path / "bids")


def test_motion_of_another_length_is_refused(tmp_path):
    source = openfmri(tmp_path / "haxby")
    np.savetxt(source / "sub001/BOLD/task001_run001/bold_moest.txt", np.zeros((5, 6)))
    with pytest.raises(ValueError, match="5 rows of 6; the run has 16 volumes"):
        haxby.import_openfmri(source, tmp_path / "bids")


def test_events_after_the_run_are_refused(tmp_path):
    source = openfmri(tmp_path / "haxby")
    events = source / "sub001/BOLD/task001_run001/bold_events.tsv"
    events.write_text("onset\tduration\ttrial_type\n900\t22.5\tface\n")
    with pytest.raises(ValueError, match="900 s; the run lasts 40 s"):
        haxby.import_openfmri(source, tmp_path / "bids")


def test_the_imported_study_is_valid_bids(tmp_path):
    haxby.import_openfmri(openfmri(tmp_path / "haxby"), tmp_path / "bids")
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        [validator, tmp_path / "bids", "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"DENO_DIR": str(tmp_path / "deno")},
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == []


def session(folder):
    """A download like nilearn's: one series of two runs (the second unlabelled), a row a volume."""
    labels = ["rest"] * 4 + ["face"] * 3 + ["rest"] * 2 + ["house"] * 5 + ["rest"] * 2
    lines = [f"{name} {run}" for run in (0, 1) for name in (labels if run == 0 else ["rest"] * 16)]
    (folder / "labels.txt").write_text("\n".join(["labels chunks", *lines]) + "\n")
    rng = np.random.default_rng(1)
    bold = rng.integers(1, 900, (4, 3, 2, 32)).astype(np.int16)
    save(bold, folder / "bold.nii.gz", (3.1, 3.75, 3.75, 2.5))
    save(np.ones((4, 3, 2), np.uint8), folder / "mask.nii.gz", (3.1, 3.75, 3.75))
    pictures = {name: [str(folder / "stimuli" / name / "a.jpg")] for name in ("faces", "cats")}
    for (picture,) in pictures.values():
        Path(picture).parent.mkdir(parents=True)
        Path(picture).write_bytes(b"jpg")
    found = {"func": ["bold.nii.gz"], "session_target": ["labels.txt"], "mask_vt": ["mask.nii.gz"]}
    data = {k: [str(folder / v) for v in values] for k, values in found.items()}
    data |= {"mask": str(folder / "mask.nii.gz"), "stimuli": pictures}
    return bold, Bunch(data)


class Bunch(dict):
    __getattr__ = dict.__getitem__


def test_a_downloaded_session_is_cut_into_runs_and_blocks(tmp_path, monkeypatch):
    bold, data = session(tmp_path)
    monkeypatch.setattr(haxby, "_download", lambda subjects, cache: data)
    haxby.fetch(tmp_path / "bids", subjects=[2])
    recipe = Recipe(**{**vars(RECIPE), "rois": {"vt": {"suffix": "mask", "desc": "vt"}}})
    (run,) = bids.find_runs(recipe, tmp_path / "bids")  # the run without labels is left out
    events = read_events(run.events, recipe)
    assert events[["onset_s", "duration_s", "shown"]].to_numpy().tolist() == [
        [10.0, 7.5, "face"],
        [22.5, 12.5, "house"],
    ]
    assert (np.asarray(nibabel.load(run.signal).dataobj) == bold[..., :16]).all()
    assert (tmp_path / "bids" / "stimuli" / "cats" / "a.jpg").exists()


def test_without_a_connection_the_download_says_so(tmp_path, monkeypatch):
    import nilearn.datasets

    def offline(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(nilearn.datasets, "fetch_haxby", offline)
    with pytest.raises(ConnectionError, match="no route to host.*neurodecode import haxby"):
        haxby.fetch(tmp_path / "bids")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(
    "NEURODECODE_HAXBY" not in os.environ, reason="NEURODECODE_HAXBY names no folder"
)
def test_eight_categories_are_read_from_real_recordings(tmp_path, capsys):
    haxby.import_openfmri(Path(os.environ["NEURODECODE_HAXBY"]), tmp_path / "bids")
    from neurodecode.cli import main

    monkey = {"store": tmp_path / "store", "hydra.run.dir": tmp_path / "run"}
    options = ["experiment=haxby", f"recipe.root={tmp_path / 'bids'}", "crossvalidate.n_refits=20"]
    assert main(["run", *options, *(f"{k}={v}" for k, v in monkey.items())]) == 0
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    rows = [SimpleNamespace(**row) for row in figures["metrics"] if row["subject"] == "all"]
    model = {row.metric: row for row in rows if row.condition == "model"}
    with capsys.disabled():
        print({m: (round(r.value, 3), r.p) for m, r in model.items()})
    assert model["accuracy"].value >= 0.70
    assert model["accuracy"].p < 0.05
