"""Apply and load against the whole line: recordings, network, prior and generator."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import neurodecode
from neurodecode.core.views import read_table

pytestmark = pytest.mark.slow
STUDY = {"n_train": 120, "n_test": 20, "n_repeated_train": 12, "n_voxels": 150, "n_subjects": 2}
STAGES = "simulate,index,embed,split,preprocess,align,train,predict,reconstruct"
SMALL = ["recipe=world_small", "threads=1", "device=cpu", f"stages=[{STAGES}]"]
SMALL += [f"recipe.study.{key}={value}" for key, value in STUDY.items()]
SMALL += ["train.decoder_training.n_epochs=2", "predict.n_gallery=20", "predict.n_samples=2"]
SUBJECT = "sub-01"


def pipeline(folder, *overrides, run="run"):
    """Run the small study; return the folder of a stage by its name."""
    places = [f"store={folder / 'store'}", f"hydra.run.dir={folder / run}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *SMALL, *places, *overrides]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    done = json.loads((folder / run / "run.json").read_text())["done"]
    return {e["stage"]: Path(e["folder"]) for e in done if e["each"] in (None, SUBJECT)}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The run, and its test runs recorded anew: nobody says what was shown, but what repeats."""
    folder = tmp_path_factory.mktemp("study")
    made = pipeline(folder)
    split = read_table(made["split"] / "split.tsv")
    tested = set(split.loc[split["split"].eq("test") & split["subject"].eq(SUBJECT), "run"])
    bids, new = made["simulate"] / "bids", folder / "new"
    shutil.copytree(bids, new, ignore=shutil.ignore_patterns("stimuli", "truth", "sub-02"))
    for path in [p for p in new.rglob("*_run-*") if not any(f"_{r}_" in p.name for r in tested)]:
        path.unlink()
    for path in new.rglob("*_events.tsv"):
        table = pd.read_csv(path, sep="\t", dtype=str)
        table["item"] = table.pop("stim_file").map(lambda name: Path(name).stem)
        table.to_csv(path, sep="\t", index=False)
    return folder, made, new


def test_test_runs_without_pictures_give_what_the_pipeline_gave(study, tmp_path):
    folder, made, new = study
    out = neurodecode.apply(folder / "run", tmp_path / "out", data=str(new), average="item")
    table, pooled = read_table(out / "decoded.tsv"), np.load(out / "embeddings.npy")
    rows = read_table(made["predict"] / "rows.tsv")
    assert table["row_id"].tolist() == rows["row_id"].tolist()
    expected = np.load(made["predict"] / "model" / "pooled.npy")
    np.testing.assert_allclose(pooled, expected, atol=1e-6)
    samples = read_table(made["reconstruct"] / "model" / "samples.tsv")
    painted = np.load(made["reconstruct"] / "model" / "pictures.npy")[samples["chosen"]]
    found = np.stack([np.asarray(Image.open(out / name)) for name in table["picture"]])
    assert found.shape == painted.shape
    # another batch moves last bits of a network, and they a grey level here and there
    assert np.abs(found.astype(int) - painted).max() <= 2


def test_single_trials_are_those_of_a_run_that_does_not_average(study, tmp_path):
    folder, _, new = study
    made = pipeline(folder, "predict.averaging=none", "predict.n_gallery=0", run="single")
    out = neurodecode.apply(folder / "run", tmp_path / "out", data=str(new), samples=1)
    table = read_table(out / "decoded.tsv")
    rows = read_table(made["predict"] / "rows.tsv")
    assert table["row_id"].tolist() == rows["row_id"].tolist()
    expected = np.load(made["predict"] / "model" / "pooled.npy")
    np.testing.assert_allclose(np.load(out / "embeddings.npy"), expected, atol=1e-6)


def test_the_loaded_decoder_says_what_the_pipeline_said(study):
    folder, made, _ = study
    decoder = neurodecode.load(folder / "run", subject=SUBJECT)
    trials = read_table(made["preprocess"] / "trials.tsv").set_index("trial_id")
    responses = np.load(made["preprocess"] / "responses.npy")
    rows = read_table(made["predict"] / "rows.tsv")
    own = [trials.index.get_indexer(ids.split(",")) for ids in rows["trial_ids"]]
    averages = np.stack([responses[i].mean(axis=0) for i in own])
    expected = np.load(made["predict"] / "model" / "pooled.npy")
    np.testing.assert_allclose(decoder.predict(averages), expected, atol=1e-5)


def test_trials_as_images_are_those_of_the_mask(study):
    import nibabel

    folder, made, _ = study
    decoder = neurodecode.load(folder / "run", subject=SUBJECT)
    responses = np.load(made["preprocess"] / "responses.npy")[:4]
    mask = nibabel.load(made["preprocess"] / "space" / "mask.nii.gz")
    volumes = np.zeros((*mask.shape, 4), np.float32)
    volumes[np.asarray(mask.dataobj) > 0] = responses.T
    image = nibabel.Nifti1Image(volumes, mask.affine)
    np.testing.assert_allclose(decoder.predict(image), decoder.predict(responses), atol=1e-6)
