"""EEG and MEG in BIDS, written by mne-bids, go through the stages that fMRI goes through."""

import json

import numpy as np
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages import align, index, preprocess, split
from tests.data.meeg_study import ERP_UV, NAMES, ONSETS_S, SHAPE, erp, write_events, write_study

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
EPOCHS = {
    "_target_": "neurodecode.preprocess.epochs.Epochs",
    "high_pass_hz": 0.5,
    "reference": None,
}
WHITEN = {"_target_": "neurodecode.signal.whitening.NoiseWhitening"}
BY_RUN = {"_target_": "neurodecode.rigour.splits.RunSplit", "test_runs": ["run-02"]}


def recipe_of(root, datatype, **more):
    return {"root": str(root), "datatype": datatype, "suffix": datatype, "mask": {}} | {
        "confounds": {}, "stimulus_table": "", **more
    }  # fmt: skip


def preprocessed(root, store, datatype, **method):
    """Run index, split and preprocess; return the artifacts by stage."""
    indexed = run_stage(index.run, {"recipe": recipe_of(root, datatype)}, {}, store)
    divided = run_stage(split.run, {"rule": BY_RUN}, {"index": indexed}, store)
    upstream = {"index": indexed, "split": divided}
    subjects = json.loads(indexed.path("subjects.json").read_text())
    config = {"root": str(root), "method": EPOCHS | method}
    made = {s: run_stage(preprocess.run, config, upstream, store, each=s) for s in subjects}
    return upstream | {"preprocess": made}


@pytest.mark.parametrize(
    ("kind", "format", "datatype"),
    [("eeg", "BrainVision", "eeg"), ("mag", "FIF", "meg"), ("ecog", "BrainVision", "ieeg")],
)
def test_recordings_go_from_bids_to_whitened_responses(tmp_path, store, kind, format, datatype):
    root = write_study(tmp_path / "bids", kind, format=format, noise_uv=2.0)
    made = preprocessed(root, store, datatype)
    trials = read_table(made["index"].path("trials.tsv"))
    assert len(trials) == 48 and trials["repeat"].max() == 4
    assert np.allclose(trials["onset_s"][:12], ONSETS_S)
    for subject, found in made["preprocess"].items():
        responses = np.load(found.path("responses.npy"))
        times_s = np.load(found.path("space/times_s.npy"))
        assert responses.shape == (24, len(NAMES), 101) and subject in ("sub-01", "sub-02")
        planted = ERP_UV * SHAPE[:, None] * erp(times_s)
        assert np.corrcoef(responses.mean(axis=0).ravel(), planted.ravel())[0, 1] > 0.9
        qc = json.loads(found.path("qc.json").read_text())
        assert qc["channels"] == "sensors" and qc["n_channels"] == 14
        assert qc["repeat_correlation"] > 0.1
        nuisance = read_table(found.path("nuisance.tsv"))
        assert {"order", "peak_to_peak", "high_frequency"} <= set(nuisance)
    aligned = run_stage(align.run, {"scaling": WHITEN}, made, store)
    assert len(read_table(aligned.path("alignment.tsv"))) == 1


def fitted(made, store):
    from safetensors.numpy import load_file

    aligned = run_stage(align.run, {"scaling": WHITEN}, made, store)
    return load_file(aligned.path("scaling.safetensors"))


def test_test_rows_do_not_touch_the_whitening(tmp_path, store):
    root = write_study(tmp_path / "bids", format="BrainVision")
    before = fitted(preprocessed(root, store, "eeg"), store)
    for data in root.rglob("*run-02_eeg.eeg"):  # the test run of each subject
        values = np.frombuffer(data.read_bytes(), "<f4")
        data.write_bytes((3 * values).astype("<f4").tobytes())
    made = preprocessed(root, store, "eeg")
    after = fitted(made, store)
    assert set(before) == set(after) and "sub-01/whitener" in before
    assert all((before[name] == after[name]).all() for name in before)
    for data in root.rglob("*run-01_eeg.eeg"):
        values = np.frombuffer(data.read_bytes(), "<f4").reshape(-1, 14)
        data.write_bytes((values * np.linspace(1, 3, 14)).astype("<f4").tobytes())
    trained = fitted(preprocessed(root, store, "eeg"), store)
    assert (before["sub-01/scale"] != trained["sub-01/scale"]).any()


def test_all_formats_of_one_signal_give_the_same_responses(tmp_path, store):
    found = {}
    for format in ("BrainVision", "EDF", "BDF", "EEGLAB", "FIF"):
        root = tmp_path / format
        kind, datatype = ("mag", "meg") if format == "FIF" else ("eeg", "eeg")
        write_study(root, kind, subjects=("01",), n_runs=2, format=format)
        artifact = preprocessed(root, store, datatype)["preprocess"]["sub-01"]
        found[format] = np.load(artifact.path("responses.npy"))
    # MEG is planted in fT with the numbers of EEG in µV
    for format, responses in found.items():
        step = 2e-3 if format == "EDF" else 1e-4  # 16 bits over ± 20 µV
        assert np.abs(responses - found["BrainVision"]).max() < step, format


def test_a_study_without_signals_is_indexed_and_then_says_so(tmp_path, store):
    root = write_study(tmp_path / "bids", subjects=("01",))
    for data in root.rglob("*_eeg.eeg"):
        data.write_bytes(b"")
    with pytest.raises(ValueError, match="_eeg.vhdr is empty: .* came without its signal files"):
        preprocessed(root, store, "eeg")


def test_an_onset_after_the_end_of_the_recording_is_refused(tmp_path, store):
    root = write_study(tmp_path / "bids", subjects=("01",))
    write_events(next(root.rglob("*run-02_events.tsv")), np.append(ONSETS_S[:-1], 25.5))
    with pytest.raises(ValueError, match=r"onset beyond the end of the run \(25 s\)"):
        preprocessed(root, store, "eeg")


def test_a_run_that_fails_is_named_with_its_subject(tmp_path, store):
    root = write_study(tmp_path / "bids", subjects=("01",))
    with pytest.raises(ValueError, match="sub-01 run-01: .*_eeg.vhdr: epochs of .* overlap=true"):
        preprocessed(root, store, "eeg", tmax_s=3.0)


def test_how_many_runs_are_read_at_once_does_not_matter(tmp_path, store):
    root = write_study(tmp_path / "bids", subjects=("01",), n_runs=3)
    made = preprocessed(root, store, "eeg")
    before = made["preprocess"]["sub-01"]
    digests = {name: f["sha256"] for name, f in before.files.items()}
    store.discard(before.folder)
    config = {"root": str(root), "method": EPOCHS, "n_jobs": 3}
    upstream = {name: made[name] for name in ("index", "split")}
    after = run_stage(preprocess.run, config, upstream, store, each="sub-01")
    assert {name: f["sha256"] for name, f in after.files.items()} == digests
