import json
import threading

import nibabel
import numpy as np
import pandas as pd
import pytest

from neurodecode.core.errors import SealedError
from neurodecode.core.runner import run_stage
from neurodecode.core.stage import stage
from neurodecode.core.views import View, read_table
from neurodecode.data.readers import bold
from neurodecode.stages import index, preprocess
from tests.data.small_study import PICTURES, mask_of_study, write_study

DERIVED = "derivatives/simulated"
RECIPE = {"derivatives": DERIVED, "rois": {"early": {"suffix": "mask", "desc": "early"}}}
BOLD = {
    "_target_": "neurodecode.preprocess.bold.SingleTrials",
    "estimator": {"_target_": "neurodecode.signal.glm.lsa"},
}
LSS = {"_target_": "neurodecode.signal.glm.lss"}


def staged(config):
    """Options of the stage, and beside them those of its method for BOLD."""
    own = {k: v for k, v in config.items() if k in ("root", "derivatives", "fit_rows", "n_jobs")}
    return own | {"method": BOLD | {k: v for k, v in config.items() if k not in own}}


@pytest.fixture
def study(tmp_path, store, artifact):
    """``study(noise=…)``: write a study, index and split it; then ``preprocessed(**config)``."""

    class Study:
        def __init__(self, noise=0.0, n_runs=3):
            self.root = tmp_path / "bids"
            self.weights = write_study(self.root, n_runs=n_runs, noise=noise)
            self.index = run_stage(
                index.run, {"recipe": RECIPE | {"root": str(self.root)}}, {}, store
            )
            trials = read_table(self.index.path("trials.tsv"))
            split = np.where(trials["stimulus_id"].isin(["p00", "p01"]), "test", "train")
            (tmp_path / "split").mkdir()
            columns = ["trial_id", "subject", "run", "stimulus_id"]
            table = trials[columns].assign(split=split)
            table.to_csv(tmp_path / "split" / "split.tsv", sep="\t", index=False)
            self.split = artifact(tmp_path / "split")

        def preprocessed(self, subject="sub-01", **config):
            config = {"root": str(self.root), "derivatives": DERIVED} | staged(config)
            upstream = {"index": self.index, "split": self.split}
            return run_stage(preprocess.run, config, upstream, store, each=subject)

    return Study


def planted(study, found, subject="sub-01"):
    """The planted responses of each trial, (n_trials, n_voxels)."""
    shown = read_table(found.path("trials.tsv"))["stimulus_id"]
    return study.weights[subject][[PICTURES.index(f"{s}.png") for s in shown]]


def figures(found):
    return json.loads(found.path("qc.json").read_text())


@pytest.mark.parametrize("subject", ["sub-01", "sub-02"])
def test_planted_responses_come_back_in_percent(study, subject):
    made = study()
    found = made.preprocessed(subject)
    responses = np.load(found.path("responses.npy"))
    assert responses.dtype == np.float32
    # nilearn samples the planted response on a grid of .05 s
    assert np.abs(responses - planted(made, found, subject)).max() < 0.05


def test_space_regions_and_nuisance_describe_the_channels_and_trials(study):
    made = study()
    found = made.preprocessed()
    mask = nibabel.load(found.path("space/mask.nii.gz"))
    assert (np.asarray(mask.dataobj) == mask_of_study()).all()
    positions_mm = np.load(found.path("space/positions_mm.npy"))
    assert np.allclose(positions_mm, 3.0 * np.argwhere(mask_of_study()))
    regions = read_table(found.path("space/rois.tsv"))
    assert set(regions["roi"]) == {"early"}
    assert (positions_mm[regions["channel"], 0] < 6).all() and len(regions) == 6
    nuisance = read_table(found.path("nuisance.tsv"))
    assert (
        nuisance["trial_id"].tolist() == read_table(found.path("trials.tsv"))["trial_id"].tolist()
    )
    assert {"order", "global_signal", "framewise_displacement", "rot_z"} <= set(nuisance)
    assert nuisance["order"].between(0, 1).all() and nuisance.notna().all(axis=None)


@pytest.mark.parametrize(
    "change",
    [
        {"estimator": LSS},
        {"estimator": {"_target_": "neurodecode.signal.glm.lsa", "ar1": True}},
        {"hrf": "spm"},
        {"high_pass_hz": 0.02},
        {"confounds": []},
        {"confounds": ["motion24", "global"]},
        {"standardise": "zscore"},
        {"standardise": "none"},
        {"smoothing_fwhm_mm": 6.0},
    ],
    ids=str,
)
def test_every_choice_changes_the_responses(study, change):
    made = study(noise=0.5)
    plain, changed = (np.load(made.preprocessed(**c).path("responses.npy")) for c in ({}, change))
    assert plain.shape == changed.shape
    assert np.abs(plain - changed).max() > 1e-3 * np.abs(plain).max()


def test_how_many_runs_are_read_at_once_does_not_matter(study, store):
    made = study(noise=0.5)
    first = made.preprocessed()
    before = {n: f["sha256"] for n, f in first.files.items()}
    store.discard(first.folder)
    second = made.preprocessed(n_jobs=3)
    assert second.folder == first.folder
    assert {n: f["sha256"] for n, f in second.files.items()} == before


def test_runs_are_read_at_once_as_asked(study, monkeypatch):
    made = study()
    together, read = threading.Barrier(3, timeout=30), bold.read_run

    def waits(*arguments):
        together.wait()  # for the other two runs: one at a time would never pass
        return read(*arguments)

    monkeypatch.setattr(bold, "read_run", waits)
    made.preprocessed(n_jobs=3)
    assert not together.broken


def test_derivatives_may_lie_elsewhere_and_an_index_made_before_still_serves(study, tmp_path):
    made = study(noise=0.5)
    before = np.load(made.preprocessed().path("responses.npy"))
    elsewhere = str((made.root / DERIVED).rename(tmp_path / "elsewhere"))
    assert made.preprocessed(derivatives=elsewhere).folder == made.preprocessed().folder  # cached
    anew = {"standardise": "zscore"}  # something is to be computed, so the files must be found
    with pytest.raises(FileNotFoundError):
        made.preprocessed(**anew)
    after = np.load(made.preprocessed(derivatives=elsewhere, **anew).path("responses.npy"))
    assert after.shape == before.shape and (after != before).any()


def test_quality_is_measured_on_training_rows_only(study):
    made = study(noise=0.5)
    train, every = (figures(made.preprocessed(fit_rows=rows)) for rows in ("train", "all"))
    assert (train["n_repeated"], every["n_repeated"]) == (6, 8)
    assert train["repeat_correlation"] != every["repeat_correlation"]
    assert 0.5 < train["repeat_correlation"] < 1 and train["ncsnr"] > 1
    assert train["n_channels"] == mask_of_study().sum() and train["n_runs"] == 3
    assert train["tsnr"] > 30 and 0 < train["moved_mm"] < 5


def test_a_subject_depends_on_its_own_files_only(study, store):
    made = study()
    before = made.preprocessed("sub-01").folder
    signal = next(made.root.rglob("sub-02_task-scenes_run-01_bold.nii.gz"))
    raw = bytearray(signal.read_bytes())
    raw[9] ^= 1
    signal.write_bytes(raw)
    recipe = {"recipe": RECIPE | {"root": str(made.root)}}
    made.index = run_stage(index.run, recipe, {}, store)
    assert made.preprocessed("sub-01").folder == before


def test_the_simulated_study_is_read_from_the_store(study, store, artifact):
    made = study(noise=0.5)
    recorded = made.preprocessed()
    (made.root.parent / "made").mkdir()
    made.root.rename(made.root.parent / "made" / "bids")
    simulated = artifact(made.root.parent / "made")
    upstream = {"index": made.index, "split": made.split, "simulate": simulated}
    found = run_stage(
        preprocess.run, staged({"derivatives": DERIVED}), upstream, store, each="sub-01"
    )
    before, after = (np.load(a.path("responses.npy")) for a in (recorded, found))
    assert (before == after).all()


def test_responses_are_sealed_for_whoever_may_not_open_test_rows(study):
    made = study()

    @stage("reader", config=preprocess.PreprocessConfig, inputs=("preprocess", "split"))
    def reader(config, inputs, out):
        pass

    artifacts = {"preprocess": {"sub-01": made.preprocessed()}, "split": made.split}
    view = View(reader, artifacts, sealed={"preprocess": preprocess.run.sealed})
    responses, trials = view.responses("sub-01", rows="train")
    assert len(responses) == len(trials) == 18
    with pytest.raises(SealedError):
        view.responses("sub-01", rows="test")
    with pytest.raises(SealedError):
        view.path("preprocess", "responses.npy", "sub-01")


def test_a_study_without_signals_says_so(study):
    made = study()
    for signal in made.root.rglob("*_bold.nii.gz"):
        signal.write_bytes(b"")
    with pytest.raises(ValueError, match="came without its signal files"):
        made.preprocessed()


def test_confounds_of_another_length_are_refused(study):
    made = study()
    path = next(made.root.rglob("sub-01_*run-02_desc-confounds_timeseries.tsv"))
    pd.read_csv(path, sep="\t").iloc[:-3].to_csv(path, sep="\t", index=False)
    with pytest.raises(ValueError, match="has 87 rows, the run 90 volumes"):
        made.preprocessed()


def test_a_mistake_names_subject_and_run(study):
    with pytest.raises(ValueError, match="sub-01 run-01: .*no column csf"):
        study().preprocessed(confounds=["csf_wm"])
