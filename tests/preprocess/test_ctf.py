"""A BIDS study of CTF folders becomes epochs: planted responses in fT, as through FIF."""

import mne
import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.preprocess.epochs import Epochs
from neurodecode.report.topography import topography
from neurodecode.stages import index, preprocess
from tests.data.ctf_folder import HEAD_MM, NAMES, WEIGHTS, write_ctf
from tests.data.meeg_study import (
    ERP_UV,
    GAIN,
    ONSETS_S,
    SHAPE,
    erp,
    raw_of,
    write_events,
    write_pictures,
)
from tests.data.small_study import write_json, write_tsv

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SFREQ_HZ = 200.0
TRIALS = pd.DataFrame({"onset_s": ONSETS_S, "duration_s": 0.5})
PLAIN = {"high_pass_hz": 0.5, "notch_hz": None}
DELAY_S = 0.1


def field_of(seed=0, **planted):
    return raw_of(seed, kind="mag", names=NAMES, **planted)


def trigger_of(n_samples, delay_s=DELAY_S):
    """Pulses of 20 ms, so much after the onsets of the events table."""
    pulses = np.zeros(n_samples)
    for onset_s in ONSETS_S:
        first = round((onset_s + delay_s) * SFREQ_HZ)
        pulses[first : first + 4] = 64
    return pulses


def ctf(folder, raw, **options):
    stem = f"sub-01_run-{len(list(folder.iterdir())):02d}"
    return write_ctf(folder / f"{stem}_meg.ds", raw.get_data(NAMES), SFREQ_HZ, **options)


def files_of(*paths, bad=()):
    rows = [
        {"run": f"run-{i:02d}", "kind": "signal", "file": path, "line_hz": np.nan}
        for i, path in enumerate(paths, 1)
    ]
    if bad:
        table = paths[0].parent / "channels.tsv"
        status = ["bad" if n in bad else "good" for n in NAMES]
        write_tsv(table, {"name": NAMES, "type": ["MEGGRADAXIAL"] * 14, "status": status})
        rows.append({"run": "run-01", "kind": "channels", "file": table})
    return pd.DataFrame(rows).assign(name="")


def responses(files, run="run-01", trials=TRIALS, **options):
    return Epochs(files, **PLAIN | options).run(run, trials).responses


# ---- the door


@pytest.fixture
def study(tmp_path):
    """A BIDS study of one subject with one run, its triggers later than its events."""
    root, stem = tmp_path / "bids", "sub-01_task-scenes_run-01"
    write_pictures(root)
    raw = field_of(noise_uv=0.01)
    folder = root / "sub-01" / "meg"
    trigger = trigger_of(len(raw.times), 0.0)
    write_ctf(folder / f"{stem}_meg.ds", raw.get_data(), SFREQ_HZ, trigger, n_trials=2)
    write_json(folder / f"{stem}_meg.json", {"SamplingFrequency": 200, "PowerLineFrequency": 60})
    write_events(folder / f"{stem}_events.tsv", ONSETS_S - DELAY_S)
    return root


def test_a_bids_study_goes_in_by_index_and_preprocess(study, tmp_path, store, artifact):
    recipe = {"root": str(study), "datatype": "meg", "suffix": "meg", "mask": {}, "confounds": {}}
    recipe |= {"task": "scenes", "stimulus_table": ""}
    made = run_stage(index.run, {"recipe": recipe}, {}, store)
    (signal,) = read_table(made.path("sub-01/files.tsv")).to_dict("records")
    assert signal["path"].endswith("run-01_meg.ds") and signal["n_channels"] == 18
    assert len(signal["sha256"]) == 64
    trials = read_table(made.path("trials.tsv"))
    (tmp_path / "split").mkdir()
    table = trials[["trial_id", "subject", "run", "stimulus_id"]].assign(split="train")
    table.to_csv(tmp_path / "split" / "split.tsv", sep="\t", index=False)
    method = {"_target_": "neurodecode.preprocess.epochs.Epochs", "stim_channel": "UPPT001"}
    upstream = {"index": made, "split": artifact(tmp_path / "split")}
    config = {"root": str(study), "method": method | PLAIN}
    found = run_stage(preprocess.run, config, upstream, store, each="sub-01")
    out, times_s = np.load(found.path("responses.npy")), np.load(found.path("space/times_s.npy"))
    gains = np.resize(GAIN, len(out))
    planted = ERP_UV * gains[:, None, None] * SHAPE[:, None] * erp(times_s)  # fT, by the triggers
    assert np.abs(out - planted).max() < 0.15 * ERP_UV  # the high-pass takes some of the slow part
    sensors = read_table(found.path("space/sensors.tsv"))
    assert set(sensors["type"]) == {"mag"} and set(sensors["unit"]) == {"fT"}
    assert np.abs(sensors[["x_mm", "y_mm", "z_mm"]] - HEAD_MM).to_numpy().max() < 0.01
    assert np.abs(np.load(found.path("space/positions_mm.npy")) - HEAD_MM).max() < 0.01

    samples = next(study.glob("sub-01/meg/*.ds/*.meg4"))
    samples.write_bytes(samples.read_bytes()[:-4] + b"\0\0\0\1")
    again = run_stage(index.run, {"recipe": recipe}, {}, store)
    assert read_table(again.path("sub-01/files.tsv"))["sha256"][0] != signal["sha256"]


def test_responses_are_those_of_the_same_signal_through_fif(tmp_path):
    raw = field_of()
    raw.save(tmp_path / "r_meg.fif", verbose="ERROR")
    through_fif = responses(files_of(tmp_path / "r_meg.fif"))
    through_ctf = responses(files_of(ctf(tmp_path, raw)))
    assert np.abs(through_ctf - through_fif).max() < 0.02  # fT: the step of the gains


def test_onsets_are_those_of_the_trigger_channel(tmp_path):
    raw = field_of()
    files = files_of(ctf(tmp_path, raw, trigger=trigger_of(len(raw.times))))
    late = TRIALS.assign(onset_s=ONSETS_S + DELAY_S)
    by_trigger = responses(files, stim_channel="UPPT001", stim_values=[64])
    assert (by_trigger == responses(files, trials=late)).all()
    assert (by_trigger != responses(files)).any()
    with pytest.raises(ValueError, match=r"no trigger \[7\]; its values are 64"):
        responses(files, stim_channel="UPPT001", stim_values=[7])


# ---- fields from outside


def outside_t(n_samples):
    """What the reference sensors see: a strong, slow drift and an oscillation of 7 Hz."""
    times_s = np.arange(n_samples) / SFREQ_HZ
    slow, fast = (np.sin(2 * np.pi * hz * times_s) for hz in (0.7, 7.0))
    return 1e-12 * np.array([slow, fast, slow - fast])


def test_what_reference_sensors_see_is_subtracted_to_the_order_asked_for(tmp_path):
    raw = field_of()
    clean = responses(files_of(ctf(tmp_path, raw)))
    disturbed, outside = raw.copy(), outside_t(len(raw.times))
    disturbed._data += WEIGHTS @ outside
    files = files_of(ctf(tmp_path, disturbed, grade=0, refs_t=outside))
    spoilt = responses(files)
    assert np.abs(spoilt - clean).max() > 500
    assert np.abs(responses(files, gradient_compensation=3) - clean).max() < 0.05
    assert (responses(files, gradient_compensation=0) == spoilt).all()
    with pytest.raises(ValueError, match="gradient_compensation=2: it holds weights.*for 0, 3"):
        responses(files, gradient_compensation=2)


def test_runs_compensated_to_different_orders_are_made_alike(tmp_path):
    raw, other = field_of(1), field_of(2)
    disturbed, outside = other.copy(), outside_t(len(raw.times))
    disturbed._data += WEIGHTS @ outside
    paths = ctf(tmp_path, raw), ctf(tmp_path, disturbed, grade=0, refs_t=outside)
    with pytest.raises(ValueError, match="run-01_meg.ds has .* of order 0, .* of 3: set"):
        Epochs(files_of(*paths), **PLAIN)
    out = responses(files_of(*paths), "run-02", gradient_compensation=3)
    assert np.abs(out - responses(files_of(ctf(tmp_path, other)))).max() < 0.05


# ---- geometry


def dipole_field(tmp_path):
    """A recording of what a current dipole makes, by mne's forward model."""
    bare = mne.io.read_raw(ctf(tmp_path, field_of()), verbose="ERROR")
    sphere = mne.make_sphere_model((0, 0, 0.04), head_radius=None, verbose="ERROR")
    place = {"rr": np.array([[0.03, 0.02, 0.08]]), "nn": np.array([[1.0, 0, 0]])}
    source = mne.setup_volume_source_space(pos=place, verbose="ERROR")
    model = mne.make_forward_solution(
        bare.info, None, source, sphere, eeg=False, ignore_ref=True, verbose="ERROR"
    )
    rows = [model["sol"]["row_names"].index(n) for n in NAMES]
    weights = 1e-8 * model["sol"]["data"][rows, 1]  # of 10 nAm towards the nose
    raw = field_of(noise_uv=0.01, onsets_s=[])
    raw._data += weights[:, None] * sum(erp(raw.times - o) for o in ONSETS_S)
    return raw


def test_a_bad_sensor_is_told_by_its_neighbours(tmp_path):
    raw = dipole_field(tmp_path)
    inner = 12  # has neighbours all around
    truth = responses(files_of(ctf(tmp_path, raw)))
    broken = raw.copy()
    broken._data[inner] = 1e-12
    out = responses(files_of(ctf(tmp_path, broken), bad=[NAMES[inner]]))
    assert np.abs(out - truth)[:, inner].max() < 0.2 * np.abs(truth[:, inner]).max()
    others = np.delete(np.arange(14), inner)
    assert (out[:, others] == truth[:, others]).all()


def test_the_sensors_are_drawn_where_they_lie(tmp_path):
    table = Epochs(files_of(ctf(tmp_path, field_of())), **PLAIN).space()["sensors.tsv"]
    for toward in ([1, 1], [1, -1], [-1, 1], [-1, -1]):  # right or left, nose or back
        values = (np.arange(14) == (HEAD_MM[:, :2] @ toward).argmax()).astype(float)
        image = topography(table, values, cmap="gray").axes[0].images[0]
        field = np.ma.filled(image.get_array(), 0)
        place = np.array(np.unravel_index(field.argmax(), field.shape))
        assert (np.sign(place - len(field) / 2)[::-1] == toward).all()


def test_without_the_heads_place_a_bad_sensor_is_dropped(tmp_path):
    lost = ctf(tmp_path, field_of(), marks=False)
    files = files_of(lost, bad=[NAMES[3]])
    with pytest.raises(ValueError, match="where the head lay in the helmet.*bad_channels=drop"):
        responses(files)
    assert responses(files, bad_channels="drop").shape[1] == 13
    table = Epochs(files, **PLAIN).space()["sensors.tsv"]
    assert topography(table, np.arange(14.0)) is not None


@pytest.mark.parametrize(
    "option",
    [{"ica_variance": 0.9, "eog_channels": NAMES[:1]}, {"autoreject": True}],
    ids=["components", "autoreject"],
)
def test_the_further_cleaning_takes_ctf(tmp_path, option):
    files = files_of(ctf(tmp_path, field_of()))
    out, plain = responses(files, **option), responses(files)
    assert np.isfinite(out).all() and out.shape == plain.shape and (out != plain).any()
