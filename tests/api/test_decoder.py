"""A run's decoder in a notebook: three lines, and the run's own answers."""

import json
import shutil
import subprocess
import sys

import mne
import numpy as np
import pytest
from PIL import Image

import neurodecode
from neurodecode.core.errors import UserError
from tests.api import small_run
from tests.api.small_run import N_TIMES, PICTURES, SUBJECTS, TEST_RUN

UNKNOWN = "sub-09 is unknown to the model, which was trained on sub-01, sub-02"


@pytest.fixture(scope="module")
def decoder(small):
    """The decoder of sub-01."""
    return neurodecode.load(small.run, subject="sub-01")


@pytest.fixture(scope="module")
def trials(small):
    """Responses to the test trials of sub-01, in the order of predict's rows, as preprocessed."""
    table = small_run.table_of(small.made["preprocess"]["sub-01"], "trials.tsv")
    responses = np.load(small.made["preprocess"]["sub-01"].folder / "responses.npy")
    order = table[table["run"] == TEST_RUN].sort_values("stimulus_id").index
    return responses[order]


def test_predictions_are_those_of_the_stage_predict(decoder, trials, expected):
    found = decoder.predict(trials)
    np.testing.assert_allclose(found, expected("predict", "model/pooled.npy"), atol=1e-6)
    assert repr(decoder) == "RunDecoder(sub-01: 8 channels × 5 times -> 12 numbers)"


def test_rows_with_the_names_of_the_run_become_its_pictures(decoder, trials, expected):
    names = expected("predict", "rows.tsv")["row_id"]
    samples = expected("reconstruct", "model/samples.tsv")
    painted = expected("reconstruct", "model/pictures.npy")[samples["chosen"]]
    assert np.array_equal(decoder.reconstruct(trials, row_ids=names, samples=2), painted)
    others = decoder.reconstruct(trials)
    assert not np.array_equal(others, painted)  # other names, other noise
    with pytest.raises(ValueError, match="need as many different row_ids"):
        decoder.reconstruct(trials, row_ids=["a"] * len(trials))


def test_retrieval_names_stimuli_files_or_numbers(decoder, trials, small):
    stimuli = [name[:3] for name in PICTURES]
    ids, sure = decoder.retrieve(trials, k=3)
    assert ids.shape == (12, 3) and (ids[:, 0] == stimuli).mean() > 0.8
    assert ((sure > 0) & (sure <= 1)).all()
    folder = small.folder / "study" / "stimuli"
    assert np.array_equal(decoder.retrieve(trials, str(folder), k=3)[0], ids)
    paths = [folder / name for name in PICTURES]
    numbers, same = decoder.retrieve(trials, paths, k=1)
    assert [stimuli[i] for i in numbers[:, 0]] == ids[:, 0].tolist()
    np.testing.assert_allclose(same, sure, atol=1e-6)
    embedded = small_run.Eye().pictures(np.stack([np.asarray(Image.open(p)) for p in paths]))[0]
    assert np.array_equal(decoder.retrieve(trials, 3 * embedded, k=1)[0], numbers)
    few = decoder.retrieve(trials, embedded[:2])[0]
    assert few.shape == (12, 2)
    with pytest.raises(ValueError, match=r"expected \(n_candidates, 12\)"):
        decoder.retrieve(trials, embedded[:, :5])


def test_averages_are_calibrated_on_averages(decoder, trials):
    single, averaged = (decoder.retrieve(trials, averaged=a)[1] for a in (False, True))
    np.testing.assert_allclose(single, averaged, atol=1e-6)  # nothing repeats in the one val run


def test_epochs_are_read_by_name_and_in_the_unit_of_the_run(decoder, trials):
    names = [f"E{i}" for i in range(8)]
    info = mne.create_info(["EOG", *names[::-1]], 10.0, ["eog"] + 8 * ["eeg"])
    in_volts = np.concatenate([np.zeros((12, 1, N_TIMES)), trials[:, ::-1] / 1e6], axis=1)
    epochs = mne.EpochsArray(in_volts, info, verbose="ERROR")
    np.testing.assert_allclose(decoder.predict(epochs), decoder.predict(trials), atol=1e-5)
    with pytest.raises(ValueError, match="lack 1 of 8 sensors that the model reads, such as E3"):
        decoder.predict(epochs.copy().drop_channels(["E3"]))
    late = mne.EpochsArray(in_volts, info, tmin=0.1, verbose="ERROR")
    with pytest.raises(ValueError, match="from 0.1 to 0.5 s in 5 samples, the model reads 0 to"):
        decoder.predict(late)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:, :-1], "7 × 5 channels but was aligned with 8 × 5"),
        (lambda x: x[0, 0], "expected .n_trials, n_channels"),
        (lambda x: x[:0], "at least one"),
        (lambda x: x * np.nan, "not finite"),
        (lambda x: x * 1e-6, "in the run's unit"),
        (lambda x: x * 1e6, "in the run's unit"),
    ],
)
def test_trials_that_are_not_the_runs_kind_are_refused(decoder, trials, spoil, message):
    with pytest.raises(ValueError if "unit" not in message else UserError, match=message):
        decoder.predict(spoil(trials))


def test_whose_brain_it_is_must_be_said_and_known(small):
    with pytest.raises(UserError, match="sub-01, sub-02: say whose brain"):
        neurodecode.load(small.run)
    with pytest.raises(UserError, match=UNKNOWN):
        neurodecode.load(small.run, subject="sub-09")
    assert neurodecode.load(small.run, subject=SUBJECTS[1]).subject == "sub-02"


def test_a_moved_store_is_found_where_it_is_said_to_lie(small, trials, tmp_path):
    run, store = tmp_path / "run", tmp_path / "moved"
    shutil.copytree(small.folder / "store", store)
    state = json.loads((small.run / "run.json").read_text())
    for done in state["done"]:
        done["folder"] = done["folder"].replace(str(small.folder), "/gone")
    run.mkdir()
    (run / "run.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"no longer at /gone/store.*store=DIR"):
        neurodecode.load(run, subject="sub-01")
    here = neurodecode.load(run, subject="sub-01", store=store)
    there = neurodecode.load(small.run, subject="sub-01")
    assert np.array_equal(here.predict(trials), there.predict(trials))


def test_a_network_whose_code_changed_is_told_of(small, trials, decoder, monkeypatch, caplog):
    monkeypatch.setattr("neurodecode.api.model.code_digest", lambda node: "other")
    same = neurodecode.load(small.run, subject="sub-01")
    assert "model: its code changed since it was trained" in caplog.text
    assert "preprocess: its code" not in caplog.text
    assert np.array_equal(same.predict(trials), decoder.predict(trials))


def test_changed_code_of_what_recordings_pass_is_told_of_too(small, monkeypatch, caplog):
    neurodecode.load(small.run, subject="sub-01")
    assert "its code changed" not in caplog.text
    monkeypatch.setattr("neurodecode.api.model.fingerprint", lambda *_: {"other": "code"})
    neurodecode.load(small.run, subject="sub-01")
    assert "preprocess: its code changed since it was trained" in caplog.text


def test_a_run_without_a_generator_says_so(small, trials):
    fresh = neurodecode.load(small.run, subject="sub-01")
    del fresh.model.inputs._artifacts["reconstruct"]
    with pytest.raises(UserError, match="names no generator"):
        fresh.reconstruct(trials)


def test_importing_the_package_loads_no_library():
    code = "import sys, neurodecode as n; print('load' in dir(n), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        neurodecode.lod  # noqa: B018
