"""Every published row runs from nothing to a report with its controls, at its tiny size."""

import json
import logging

import numpy as np
import pytest

from neurodecode import cli
from neurodecode.models.umap_knn import UmapKnn
from tests.docs.test_decoders import ROWS

CONTROLS = {"ridge", "shuffled", "shuffled_within", "mean_brain", "matched_noise", "prior_only"}
LESS = ["threads=1", "device=cpu", "evaluate.n_bootstrap=100", "evaluate.n_permutations=100"]
LESS += ["classify.n_bootstrap=200", "classify.n_permutations=200", "report.n_gallery=4"]
LESS += ["reconstruct.conditions=[shuffled]", "metric=[retrieval,pixcorr,ssim]"]
LESS += ["train.ridge_components=8", "train.prior_batches=2"]
LESS += ["audit.n_bootstrap=100", "audit.n_permutations=200", "audit.steps_per_octave=1"]
LESS += ["report.figures=[svg]"]
EEG = ["recipe=world_eeg_tiny", "preprocess=epochs", "aligner=identity", "model=conv_encoder"]


def run(store, folder, *overrides):
    """Run the pipeline in this process; its exit code."""
    handlers = logging.getLogger().handlers[:]
    try:
        return cli.main(["run", *overrides, *LESS, f"store={store}", f"hydra.run.dir={folder}"])
    finally:
        logging.getLogger().handlers[:] = handlers


def compile_umap():
    """Let numba compile what UMAP is written in: some 15 s, once in a process."""
    x = np.random.default_rng(0).normal(size=(40, 2, 5))
    UmapKnn(highpass_hz=None).fit(x, np.arange(40) % 2, None, 2, 100.0, 0, "cpu")(x[:10])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all rows, with what they share: both studies, their embeddings, libraries."""
    folder = tmp_path_factory.mktemp("rows")
    shared = ["stages=[simulate,index,embed,split]", "name=eeg"]
    assert run(folder / "store", folder / "eeg", *EEG, *shared) == 0
    assert run(folder / "store", folder / "fmri", "experiment=mindeye1_low", "seed=0") == 0
    compile_umap()
    return folder / "store"


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_row_goes_to_a_report_with_its_controls(row, store, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run(store, tmp_path / "run", f"experiment={row}") == 0, capfd.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "The published decoder" in page
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    conditions = {line["condition"] for line in figures["metrics"]}
    of_classes = {"linear", "dealt", "majority", "nuisance"}
    assert {"model"} | (of_classes if "dealt" in conditions else CONTROLS) <= conditions
