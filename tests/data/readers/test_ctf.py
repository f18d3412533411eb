"""CTF folders, written byte by byte: what was planted is what is read."""

from types import SimpleNamespace

import mne
import numpy as np
import pytest

from neurodecode.data.readers.meeg import facts, is_empty, load, read_raw
from neurodecode.preprocess.sensors import positions_mm
from neurodecode.stages.doctor.signals import is_empty as doctors_is_empty
from tests.data.ctf_folder import HEAD_MM, NAMES, REFERENCES, write_ctf
from tests.data.meeg_study import raw_of
from tests.data.small_study import write_tsv

SFREQ_HZ = 200.0
N_SAMPLES = 5000
LEAST_T = 1e-17  # more than half of the coarsest step that the gains make


@pytest.fixture(scope="module")
def field_t():
    return raw_of(kind="mag", names=NAMES).get_data()


@pytest.mark.parametrize("n_trials", [1, 4])
def test_samples_are_those_that_were_written_whatever_the_gain_and_its_sign(
    tmp_path, field_t, n_trials
):
    trigger = np.arange(N_SAMPLES) % 7
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ, trigger, n_trials=n_trials)
    raw = load(read_raw(path), path)
    assert raw.ch_names == [*NAMES, *REFERENCES, "UPPT001"]
    assert raw.get_channel_types() == ["mag"] * 14 + ["ref_meg"] * 3 + ["stim"]
    assert np.abs(raw.get_data(NAMES) - field_t).max() < LEAST_T
    assert (raw.get_data(["UPPT001"])[0] == trigger).all()
    told = {"sfreq_hz": 200.0, "n_samples": N_SAMPLES, "n_channels": 18, "duration_s": 25.0}
    assert facts(path, {}) == told


def test_sensors_lie_where_they_were_put_in_the_head(tmp_path, field_t):
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ)
    assert np.abs(positions_mm(read_raw(path).info, NAMES) - HEAD_MM).max() < 0.01
    lost = write_ctf(tmp_path / "q_meg.ds", field_t, SFREQ_HZ, marks=False)
    info = read_raw(lost).info
    assert info["dev_head_t"] is None
    distances_mm = [
        np.linalg.norm(p[:, None] - p[None], axis=2) for p in (positions_mm(info, NAMES), HEAD_MM)
    ]
    assert np.abs(np.subtract(*distances_mm)).max() < 0.01  # the helmet is the same


def test_the_recording_ends_where_the_system_clock_does(tmp_path, field_t):
    clock = np.where(np.arange(N_SAMPLES) < 4000, 1 + np.arange(N_SAMPLES), 0)
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ, clock=clock)
    assert facts(path, {})["n_samples"] == 4000
    assert np.abs(load(read_raw(path), path).get_data(NAMES) - field_t[:, :4000]).max() < LEAST_T
    with pytest.raises(ValueError, match="lasts 20 s, by its JSON sidecar 25 s"):
        facts(path, {"RecordingDuration": 25.0})


def test_the_table_of_channels_may_name_references_clock_and_triggers(tmp_path, field_t):
    zeros = np.zeros(N_SAMPLES)
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ, zeros, clock=1 + zeros)
    types = ["SYSCLOCK", *["MEGGRADAXIAL"] * 14, *["MEGREFMAG"] * 2, "MEGREFGRADAXIAL", "TRIG"]
    names = ["SCLK01-177", *NAMES, *REFERENCES, "UPPT001"]
    status = ["bad" if n == NAMES[3] else "good" for n in names]
    write_tsv(tmp_path / "channels.tsv", {"name": names, "type": types, "status": status})
    raw = read_raw(path, tmp_path / "channels.tsv")
    kinds = ["syst", *["mag"] * 14, *["ref_meg"] * 3, "stim"]
    assert raw.get_channel_types() == kinds and raw.info["bads"] == [NAMES[3]]


def test_a_folder_cut_short_or_incomplete_is_refused_by_name(tmp_path, field_t):
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ, n_trials=2)
    samples, header = path / "r_meg.meg4", path / "r_meg.res4"
    whole, about = samples.read_bytes(), header.read_bytes()
    samples.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match="r_meg.ds is not a readable DS.*multiple of the trial"):
        facts(path, {})
    samples.write_bytes(whole[: 8 + (len(whole) - 8) // 2])  # a whole trial is missing
    with pytest.raises(ValueError, match="lasts 12.5 s, by its JSON sidecar 25 s"):
        facts(path, {"RecordingDuration": 25.0})
    samples.write_bytes(whole)
    for kept in (1000, 5000, len(about) - 5000):
        header.write_bytes(about[:kept])
        with pytest.raises(ValueError, match="r_meg.ds is not a readable DS recording"):
            facts(path, {})
    header.unlink()
    with pytest.raises(ValueError, match="r_meg.ds is not a readable DS.*r_meg.res4 not found"):
        facts(path, {})


@pytest.mark.parametrize("how", ["without", "a link that leads nowhere"])
def test_a_folder_without_samples_is_empty(tmp_path, field_t, how):
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ)
    (path / "r_meg.meg4").unlink()
    if how != "without":
        (path / "r_meg.meg4").symlink_to("../.git/annex/objects/somewhere")
    assert is_empty(path) and doctors_is_empty(SimpleNamespace(signal=path), {})
    with pytest.raises(ValueError, match="came without its signal files"):
        read_raw(path)


def test_a_renamed_folder_says_which_file_it_lacks(tmp_path, field_t):
    path = write_ctf(tmp_path / "r_meg.ds", field_t, SFREQ_HZ)
    renamed = path.rename(tmp_path / "sub-01_meg.ds")
    with pytest.raises(ValueError, match="sub-01_meg.res4 not found"):
        read_raw(renamed)


def test_the_writer_agrees_with_mne_on_the_order_of_compensation(tmp_path, field_t):
    for grade in (0, 3):
        path = write_ctf(tmp_path / f"r{grade}_meg.ds", field_t, SFREQ_HZ, grade=grade)
        raw = mne.io.read_raw_ctf(path, verbose="ERROR")
        assert raw.compensation_grade == grade and raw.info["comps"][0]["kind"] == 3
