"""A run exported as a BIDS derivative reads back as the artifacts' own arrays and tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.errors import UserError
from neurodecode.core.key import digest
from neurodecode.core.store import Store, write_json
from neurodecode.core.views import Folder
from neurodecode.stages.bids_columns import FREE
from neurodecode.stages.bids_derivative import export
from neurodecode.stages.bids_volumes import write_4d

SUBJECTS = ["sub-01", "sub-02"]
N_TRIALS, N_ROWS = 12, 3
GRID = (4, 5, 3)
AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])
METRICS = "subject condition kind metric space set_size value lo hi n chance p p_max ceiling better"
CONDITIONS = [
    {"name": "model", "kind": "model", "brain": True, "about": "The trained network."},
    {"name": "prior_only", "kind": "control", "brain": False, "about": "No brain."},
    {"name": "true_features", "kind": "ceiling", "brain": False, "about": "The true embedding."},
]


def inside():
    return np.random.default_rng(0).random(GRID) < 0.4


def trials_of(subject):
    return pd.DataFrame(
        {
            "trial_id": [f"{subject}_{i}" for i in range(N_TRIALS)],
            "subject": subject,
            "session": "ses-1",
            "run": [f"run-{1 + i // 6}" for i in range(N_TRIALS)],
            "onset_s": np.arange(N_TRIALS) % 6 * 4.0,
            "duration_s": 3.0,
            "stimulus_id": [f"s{i % 6}" for i in range(N_TRIALS)],
            "repeat": 1 + np.arange(N_TRIALS) // 6,
            "mood": ["calm", ""] * (N_TRIALS // 2),
        }
    )


def make_index(out):
    out.save_json("subjects.json", SUBJECTS)
    for subject in SUBJECTS:
        paths = [f"{subject}/func/{subject}_task-look_run-{r}_bold.nii.gz" for r in (1, 2)]
        files = pd.DataFrame({"run": ["run-1", "run-2"], "kind": "signal", "name": ""})
        out.save_table(f"{subject}/files.tsv", files.assign(folder="root", path=paths, sha256="0"))


def make_volumes(out, subject, rng):
    import nibabel

    mask = inside()
    nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE).to_filename(out.path("space/mask.nii.gz"))
    out.save_table(
        "space/rois.tsv", pd.DataFrame({"channel": [0, 2, 3], "roi": ["V1", "V1", "V 2"]})
    )
    return rng.normal(size=(N_TRIALS, mask.sum())).astype(np.float32)


def make_sensors(out, subject, rng):
    names = ["A1", "A2", "A3"]
    sensors = pd.DataFrame({"name": names, "type": "eeg", "unit": "µV", "x_mm": 0.0})
    out.save_table("space/sensors.tsv", sensors)
    out.save_array("space/times_s.npy", np.linspace(-0.1, 0.3, 5))
    return rng.normal(size=(N_TRIALS, 3, 5)).astype(np.float32)


def make_predictions(out, subject, rng):
    rows = pd.DataFrame({"row_id": ["s0", "s1", "s2"], "stimulus_id": ["s0", "s1", "s2"]})
    out.save_table("rows.tsv", rows.assign(n_repeats=2, trial_ids="a,b"))
    out.save_json("conditions.json", CONDITIONS)
    for condition in CONDITIONS:
        out.save_array(f"{condition['name']}/pooled.npy", rng.normal(size=(N_ROWS, 4)))


def make_pictures(out, subject, rng):
    for condition in CONDITIONS:
        samples = pd.DataFrame({"row_id": ["s0", "s1", "s2"], "sample": 0, "evidence": 0.5})
        out.save_table(f"{condition['name']}/samples.tsv", samples.assign(chosen=True))
        pictures = rng.integers(0, 256, (N_ROWS, 8, 8, 3), dtype=np.uint8)
        out.save_array(f"{condition['name']}/pictures.npy", pictures)


@pytest.fixture
def made(tmp_path):
    """``made(space=…, facts=…)``: the folder of a run with made-up artifacts, and their store."""

    def make(space=make_volumes, facts="world", datatype="func"):
        store, done, rng = Store(tmp_path / "store"), [], np.random.default_rng(1)

        def publish(stage, each, fill, config=None):
            scratch = store.scratch()
            fill(Folder(scratch, None))
            key, code = digest([stage, each]), {"made": "up"}
            about = {"stage": stage, "each": each, "key": key, "code": code, "config": config or {}}
            place = (stage, key, digest(code))
            folder = store.publish(scratch, place, about | {"commit": "abc"}).folder
            done.append({"stage": stage, "each": each, "folder": str(folder)})

        recipe = {"name": "my study", "task": "", "datatype": datatype, "facts": facts}
        publish("index", None, make_index, {"recipe": recipe})
        split = pd.concat([trials_of(s)[["trial_id"]] for s in SUBJECTS]).assign(split="train")
        publish("split", None, lambda out: out.save_table("split.tsv", split))
        for subject in SUBJECTS:

            def preprocess(out, subject=subject):
                out.save_array("responses.npy", space(out, subject, rng))
                trials = trials_of(subject)
                out.save_table("trials.tsv", trials)
                nuisance = trials[["trial_id", "run", "onset_s"]].assign(order=0.5)
                out.save_table("nuisance.tsv", nuisance)
                out.save_json("qc.json", {"n_trials": N_TRIALS})

            publish("preprocess", subject, preprocess)
        for stage, fill in (("predict", make_predictions), ("reconstruct", make_pictures)):
            for subject in SUBJECTS:
                publish(stage, subject, lambda out, f=fill, s=subject: f(out, s, rng))
        metrics = pd.DataFrame([dict.fromkeys(METRICS.split(), 0.5)])
        publish("evaluate", None, lambda out: out.save_table("metrics.tsv", metrics))
        folder = tmp_path / "run"
        state = {"status": "done", "done": done, "waiting": [], "store": str(store.root)}
        write_json(folder.parent / "run.json", state)
        folder.mkdir()
        os.replace(folder.parent / "run.json", folder / "run.json")
        return folder, {(e["stage"], e["each"]): Path(e["folder"]) for e in done}

    return make


def test_responses_read_back_by_nilearn_are_the_artifacts(made, tmp_path):
    from nilearn.masking import apply_mask

    run, folders = made()
    export(run, tmp_path / "out")
    for subject in SUBJECTS:
        stem = tmp_path / "out" / subject / "func" / f"{subject}_task-look"
        image = f"{stem}_stat-effect_desc-singletrial_statmap.nii.gz"
        read = apply_mask(image, f"{stem}_desc-brain_mask.nii.gz")
        truth = np.load(folders["preprocess", subject] / "responses.npy")
        np.testing.assert_array_equal(read, truth)
        trials = pd.read_csv(f"{stem}_desc-trials_events.tsv", sep="\t")
        assert trials["trial_id"].tolist() == trials_of(subject)["trial_id"].tolist()
        assert list(trials.columns[:2]) == ["onset", "duration"]
        assert {"split", "nuisance_order", "mood"} <= set(trials)


def test_regions_hold_their_channels(made, tmp_path):
    import nibabel

    run, _ = made()
    export(run, tmp_path / "out")
    place = tmp_path / "out" / "sub-01" / "func"
    volumes = {
        label: nibabel.load(place / f"sub-01_task-look_label-{label}_mask.nii.gz")
        for label in ("V1", "V2")
    }
    found = {
        k: np.flatnonzero(np.asarray(v.dataobj)[inside()]).tolist() for k, v in volumes.items()
    }
    assert found == {"V1": [0, 2], "V2": [3]}
    np.testing.assert_array_equal(volumes["V1"].affine, AFFINE)


@pytest.mark.parametrize("link", [False, True])
def test_arrays_and_pictures_are_the_artifacts_own(made, tmp_path, link):
    from PIL import Image

    run, folders = made(make_sensors, datatype="eeg")
    export(run, tmp_path / "out", link=link)
    stem = tmp_path / "out" / "sub-02" / "eeg" / "sub-02_task-look"
    exported = Path(f"{stem}_desc-singletrial_responses.npy")
    own = folders["preprocess", "sub-02"] / "responses.npy"
    assert exported.read_bytes() == own.read_bytes()
    assert exported.samefile(own) == link
    times = pd.read_csv(f"{stem}_times.tsv", sep="\t")
    np.testing.assert_allclose(times["time"], np.linspace(-0.1, 0.3, 5))
    assert json.loads(exported.with_suffix(".json").read_text())["Shape"] == [N_TRIALS, 3, 5]
    pooled = np.load(f"{stem}_desc-priorOnly_embeddings.npy")
    assert (pooled == np.load(folders["predict", "sub-02"] / "prior_only/pooled.npy")).all()
    table = pd.read_csv(f"{stem}_desc-model_pictures.tsv", sep="\t")
    read = [np.asarray(Image.open(stem.parent / name)) for name in table["file"]]
    truth = np.load(folders["reconstruct", "sub-02"] / "model/pictures.npy")
    np.testing.assert_array_equal(np.stack(read), truth)


def test_every_column_of_every_table_is_described(made, tmp_path):
    run, _ = made()
    export(run, tmp_path / "out")
    tables = sorted((tmp_path / "out").rglob("*.tsv"))
    assert len(tables) > 10
    for path in tables:
        told = json.loads(path.with_suffix(".json").read_text())
        for column in pd.read_csv(path, sep="\t", nrows=0).columns:
            assert column in told, path
            assert (told[column]["Description"] == FREE) == (column == "mood"), (path, column)


def test_the_description_says_who_made_it_and_of_what_without_a_path(made, tmp_path):
    run, _ = made(facts="haxby2001")
    export(run, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert told["DatasetType"] == "derivative" and told["License"] == "CC BY-SA 3.0"
    assert told["GeneratedBy"][0]["Name"] == "neurodecode"
    assert told["SourceDatasets"][0]["DOI"] == "doi:10.1126/science.1063736"
    for path in (tmp_path / "out").rglob("*.[jtm][sd]*"):
        assert str(tmp_path) not in path.read_text()
    sources = json.loads(
        (tmp_path / "out/sub-01/func/sub-01_task-look_desc-brain_mask.json").read_text()
    )["Sources"]
    assert sources[0] == "bids:raw:sub-01/func/sub-01_task-look_run-1_bold.nii.gz"
    assert "raw" in told["DatasetLinks"]


def test_what_shows_the_true_pictures_is_left_out_where_their_licence_forbids_it(made, tmp_path):
    run, _ = made(facts="")
    withheld = export(run, tmp_path / "out").withheld
    assert "licence is not known" in withheld
    assert withheld in (tmp_path / "out" / "README.md").read_text()
    assert not list((tmp_path / "out").rglob("*trueFeatures*"))
    assert list((tmp_path / "out").rglob("*desc-model_pictures.tsv"))
    run_open = export(run, tmp_path / "again")
    assert run_open.n_files > 0


def test_an_export_is_whole_or_absent(made, tmp_path, monkeypatch):
    run, folders = made()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        export(run, tmp_path / "taken")
    monkeypatch.setattr("neurodecode.stages.bids_derivative._write_group", lambda writer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".out")]


def test_damage_is_noticed_before_it_is_exported(made, tmp_path):
    from neurodecode.core.errors import DamagedArtifact

    run, folders = made()
    path = folders["predict", "sub-02"] / "model" / "pooled.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedArtifact, match="pooled.npy"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_bids_cannot_tell_apart_are_refused(made, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SUBJECTS", ["s-1", "s1"])
    run, _ = made()
    with pytest.raises(UserError, match="no names of their own in BIDS"):
        export(run, tmp_path / "out")


def test_more_trials_than_nifti_1_counts_are_written(tmp_path, monkeypatch):
    import nibabel

    from neurodecode.stages import bids_volumes

    monkeypatch.setattr(bids_volumes, "NIFTI_1", 5)
    responses = np.random.default_rng(0).normal(size=(7, inside().sum())).astype(np.float32)
    mask = nibabel.Nifti1Image(inside().astype(np.uint8), AFFINE)
    write_4d(tmp_path / "a.nii.gz", responses, inside(), mask)
    read = nibabel.load(tmp_path / "a.nii.gz")
    assert isinstance(read, nibabel.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(read.dataobj)[inside()].T, responses)


@pytest.mark.slow
@pytest.mark.parametrize(("space", "datatype"), [(make_volumes, "func"), (make_sensors, "eeg")])
def test_the_bids_validator_finds_no_error(made, tmp_path, space, datatype):
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.is_file():
        pytest.skip("bids-validator-deno is not installed")
    run, _ = made(space, datatype=datatype)
    export(run, tmp_path / "out")
    done = subprocess.run(
        [validator, "--format", "json", tmp_path / "out"], capture_output=True, text=True
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error"] == []
    assert json.loads(done.stdout)["summary"]["totalFiles"] >= 8
