"""Recordings in every format that BIDS allows, written by mne and mne-bids."""

import struct

import mne
import numpy as np
import pytest

from neurodecode.data.readers.meeg import facts, is_empty, load, read_raw
from tests.data.meeg_study import NAMES, raw_of
from tests.data.small_study import write_json, write_tsv

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def write_fif(raw, folder):
    raw.save(folder / "r_eeg.fif", verbose="ERROR")
    return folder / "r_eeg.fif"


def write_split_fif(raw, folder):
    longer = mne.io.RawArray(np.tile(raw.get_data(), 8), raw.info, verbose="ERROR")
    path = folder / "r_split-01_eeg.fif"
    longer.save(folder / "r_eeg.fif", split_size="2MB", split_naming="bids", verbose="ERROR")
    assert (folder / "r_split-02_eeg.fif").exists()
    return path


def write_brainvision(raw, folder):
    mne.export.export_raw(folder / "r_eeg.vhdr", raw, verbose="ERROR")
    return folder / "r_eeg.vhdr"


def write_edf(raw, folder):
    mne.export.export_raw(folder / "r_eeg.edf", raw, verbose="ERROR")
    return folder / "r_eeg.edf"


def write_bdf(raw, folder):
    mne.export.export_raw(folder / "r_eeg.bdf", raw, verbose="ERROR")
    return folder / "r_eeg.bdf"


def write_eeglab(raw, folder):
    mne.export.export_raw(folder / "r_eeg.set", raw, verbose="ERROR")
    return folder / "r_eeg.set"


WRITERS = [write_fif, write_split_fif, write_brainvision, write_edf, write_bdf, write_eeglab]
BITS = {write_edf: 16, write_bdf: 24}


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_the_signal_that_was_written(tmp_path, write):
    raw = raw_of()
    path = write(raw, tmp_path)
    read = load(read_raw(path), path)
    data = read.get_data()[:, : len(raw.times)]
    largest = np.abs(raw.get_data()).max()
    # EDF and BDF hold whole numbers over the range, the others float32
    assert np.abs(data - raw.get_data()).max() < largest * 2.0 ** (2 - BITS.get(write, 22))
    assert read.ch_names == NAMES
    n_samples = len(raw.times) * (8 if write is write_split_fif else 1)
    told = {"sfreq_hz": 200.0, "n_samples": n_samples, "n_channels": 14}
    assert facts(path, {}) == told | {"duration_s": n_samples / 200.0}


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_cut_short_is_refused(tmp_path, write):
    path = write(raw_of(), tmp_path)
    data = {".vhdr": path.with_suffix(".eeg")}.get(path.suffix, path)
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) * 2 // 3 + 1])
    with pytest.raises(ValueError, match="truncated|too early|not a readable") as error:
        load(read_raw(path), path)
    assert "fetch it again" in str(error.value) and path.stem in str(error.value)


def test_a_whole_number_of_samples_missing_shows_against_the_sidecar(tmp_path):
    path = write_brainvision(raw_of(), tmp_path)
    data = path.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[: 4 * 14 * 2000])
    assert facts(path, {"RecordingDuration": 10.0})["duration_s"] == 10.0
    with pytest.raises(ValueError, match="lasts 10 s, by its JSON sidecar 25 s"):
        facts(path, {"RecordingDuration": 25.0})


def test_a_rate_that_header_and_sidecar_tell_differently_is_refused(tmp_path):
    path = write_fif(raw_of(), tmp_path)
    assert facts(path, {"SamplingFrequency": 200.0, "PowerLineFrequency": 60})["line_hz"] == 60.0
    with pytest.raises(ValueError, match="200 Hz in its header, its JSON sidecar 250 Hz"):
        facts(path, {"SamplingFrequency": 250.0})


@pytest.mark.parametrize("name", ["r_eeg.fif", "r_eeg.edf", "r_eeg.vhdr", "r_eeg.set", "r_meg.ds"])
def test_an_empty_file_is_known_by_its_sidecar(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".ds"):
        path.mkdir()
        (path / "r_meg.meg4").write_bytes(b"")
        (path / "r_meg.res4").write_bytes(b"")
    else:
        path.write_bytes(b"")
    sidecar = {"SamplingFrequency": 1200, "RecordingDuration": 10, "MEGChannelCount": 272}
    sidecar |= {"EOGChannelCount": 2, "PowerLineFrequency": "n/a"}
    assert is_empty(path)
    told = {"sfreq_hz": 1200.0, "n_samples": 12000, "n_channels": 274, "duration_s": 10.0}
    assert facts(path, sidecar) == told
    with pytest.raises(ValueError, match="add SamplingFrequency"):
        facts(path, {})
    with pytest.raises(ValueError, match="came without its signal files"):
        read_raw(path)


def test_a_placeholder_of_a_few_samples_is_known_by_its_sidecar(tmp_path):
    path = write_brainvision(raw_of(run_s=0.5, onsets_s=[]), tmp_path)
    sidecar = {"SamplingFrequency": 200, "RecordingDuration": 376.0}
    assert facts(path, sidecar)["n_samples"] == 75200


@pytest.mark.parametrize("name", ["r_eeg.fif", "r_eeg.edf", "r_eeg.vhdr", "r_eeg.set"])
def test_what_is_no_recording_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"neither one nor the other" * 100)
    with pytest.raises(ValueError, match=f"{name} is not a readable"):
        facts(tmp_path / name, {})


def test_fmri_is_sent_elsewhere(tmp_path):
    (tmp_path / "r_bold.nii.gz").write_bytes(b"something")
    with pytest.raises(ValueError, match="is no M/EEG recording .* choose preprocess=lsa"):
        read_raw(tmp_path / "r_bold.nii.gz")


def test_a_ctf_folder_that_cannot_be_read_is_named(tmp_path):
    folder = tmp_path / "r_meg.ds"
    folder.mkdir()
    (folder / "r_meg.meg4").write_bytes(b"MEG41CP\0" + bytes(100))
    (folder / "r_meg.res4").write_bytes(struct.pack(">8s", b"MEG41RS") + bytes(100))
    with pytest.raises(ValueError, match="r_meg.ds is not a readable DS recording"):
        read_raw(folder)


def test_epochs_in_a_recordings_place_are_told_apart(tmp_path):
    raw = raw_of()
    events = np.array([[200 * i, 0, 1] for i in range(1, 6)])
    epochs = mne.Epochs(raw, events, tmin=0, tmax=0.5, baseline=None, preload=True, verbose="ERROR")
    epochs.export(tmp_path / "r_eeg.set", verbose="ERROR")
    with pytest.raises(ValueError, match="cut into epochs already.*recipe=epochs"):
        read_raw(tmp_path / "r_eeg.set")


def test_values_that_are_not_finite_are_named_with_channel_and_time(tmp_path):
    raw = raw_of()
    raw._data[3, 400:] = np.nan
    path = write_fif(raw, tmp_path)
    with pytest.raises(ValueError, match="1 of 14 channels; the first is F4 at 2 s"):
        load(read_raw(path), path)


# ---- the tables beside


@pytest.fixture
def recording(tmp_path):
    return write_fif(raw_of(), tmp_path)


def channels_table(path, **changes):
    columns = {"name": NAMES, "type": ["EEG"] * 14, "units": ["V"] * 14, "status": ["good"] * 14}
    write_tsv(path, columns | changes)
    return path


def test_the_table_of_channels_says_types_and_which_are_bad(recording, tmp_path):
    types = ["VEOG", "HEOG", "ECG", "EMG", "TRIG", "MISC", *["EEG"] * 8]
    status = ["good"] * 12 + ["bad"] * 2
    table = channels_table(tmp_path / "channels.tsv", type=types, status=status)
    raw = read_raw(recording, table)
    expected = ["eog", "eog", "ecg", "emg", "stim", "misc", *["eeg"] * 8]
    assert raw.get_channel_types() == expected and raw.info["bads"] == NAMES[-2:]


def test_types_of_meg_channels_are_those_of_the_file(tmp_path):
    path = tmp_path / "r_meg.fif"
    raw_of(kind="mag").save(path, verbose="ERROR")
    table = channels_table(tmp_path / "channels.tsv", type=["MEGGRADAXIAL"] * 13 + ["MISC"])
    assert set(read_raw(path, table).get_channel_types()) == {"mag"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": [*NAMES[:-1], "Iz"]}, "names 1 channels that .* has not, the first is 'Iz'"),
        ({"type": None}, "no column type, only name"),
    ],
)
def test_a_table_of_another_recording_is_refused(recording, tmp_path, columns, message):
    table = {"name": NAMES, "type": ["EEG"] * 14} | columns
    write_tsv(tmp_path / "channels.tsv", {k: v for k, v in table.items() if v is not None})
    with pytest.raises(ValueError, match=message):
        read_raw(recording, tmp_path / "channels.tsv")


def test_an_edf_header_without_units_takes_those_of_the_table(tmp_path):
    raw = raw_of()
    path = write_edf(raw, tmp_path)
    content = bytearray(path.read_bytes())
    content[256 + 15 * 96 : 256 + 15 * 104] = b" " * (15 * 8)  # 15: the annotations are a signal
    path.write_bytes(content)
    table = channels_table(tmp_path / "channels.tsv", units=["µV"] * 14)
    assert np.allclose(load(read_raw(path, table), path).get_data(), raw.get_data(), atol=1e-8)
    in_mv = channels_table(tmp_path / "channels.tsv", units=["mV"] * 14)
    assert np.allclose(read_raw(path, in_mv).get_data(), 1e3 * raw.get_data(), atol=2e-5)


def places(raw):
    return np.array([c["loc"][:3] for c in raw.info["chs"]])


@pytest.mark.parametrize("unit", ["m", "cm", "mm"])
@pytest.mark.parametrize(
    "system", ["CapTrak", "EEGLAB-HJ", "landmarks"], ids=["captrak", "nose first", "landmarks"]
)
def test_electrodes_are_placed_in_the_head_whatever_axes_and_unit(
    recording, tmp_path, unit, system
):
    raw = raw_of()
    there_m = places(raw)
    about = {"EEGCoordinateSystem": system, "EEGCoordinateUnits": unit}
    xyz = there_m.copy()
    if system == "EEGLAB-HJ":  # x to the nose, y to the left ear
        xyz = np.column_stack([there_m[:, 1], -there_m[:, 0], there_m[:, 2]])
    factor = {"m": 1, "cm": 100, "mm": 1000}[unit]
    if system == "landmarks":  # any axes: here shifted and turned
        turn = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
        about["EEGCoordinateSystem"] = "Other"
        marks = {"NAS": [0, 0.1, 0], "LPA": [-0.08, 0, 0], "RPA": [0.08, 0, 0]}
        xyz = there_m @ turn + 0.02
        about["AnatomicalLandmarkCoordinates"] = {
            k: (factor * (np.array(v) @ turn + 0.02)).tolist() for k, v in marks.items()
        }
    write_json(tmp_path / "coordsystem.json", about)
    write_tsv(
        tmp_path / "electrodes.tsv",
        {"name": NAMES} | dict(zip("xyz", factor * xyz.T, strict=True)),
    )
    bare = raw.copy().set_montage(None)
    path = tmp_path / "bare_eeg.fif"
    bare.save(path, verbose="ERROR")
    read = read_raw(path, None, tmp_path / "electrodes.tsv", tmp_path / "coordsystem.json")
    assert np.allclose(places(read), there_m, atol=1e-6)


def test_electrodes_in_the_brain_lie_where_their_table_says(tmp_path):
    path = tmp_path / "r_ieeg.vhdr"
    mne.export.export_raw(path, raw_of(kind="ecog"), verbose="ERROR")
    xyz_mm = np.random.default_rng(0).normal(0, 40, (14, 3))
    write_tsv(tmp_path / "e.tsv", {"name": NAMES} | dict(zip("xyz", xyz_mm.T, strict=True)))
    write_json(tmp_path / "c.json", {"iEEGCoordinateSystem": "ACPC", "iEEGCoordinateUnits": "mm"})
    table = channels_table(tmp_path / "channels.tsv", type=["ECOG"] * 14)
    raw = read_raw(path, table, tmp_path / "e.tsv", tmp_path / "c.json")
    assert raw.get_channel_types(unique=True) == ["ecog"]
    assert np.allclose(1000 * places(raw), xyz_mm, atol=1e-4)


def test_an_electrode_without_a_place_has_none_and_a_unit_must_be_known(recording, tmp_path):
    x = ["n/a", *range(1, 14)]
    write_tsv(tmp_path / "e.tsv", {"name": NAMES, "x": x, "y": x, "z": x})
    about = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}
    write_json(tmp_path / "c.json", about)
    bare = raw_of().set_montage(None)
    bare.save(tmp_path / "bare_eeg.fif", verbose="ERROR")
    raw = read_raw(tmp_path / "bare_eeg.fif", None, tmp_path / "e.tsv", tmp_path / "c.json")
    assert np.isnan(places(raw)[0]).all() and np.isfinite(places(raw)[1:]).all()
    write_json(tmp_path / "c.json", about | {"EEGCoordinateUnits": "inch"})
    with pytest.raises(ValueError, match="coordinates in 'inch': one of m, cm, mm"):
        read_raw(recording, None, tmp_path / "e.tsv", tmp_path / "c.json")
    with pytest.raises(ValueError, match="has no coordsystem.json"):
        read_raw(recording, None, tmp_path / "e.tsv", None)
