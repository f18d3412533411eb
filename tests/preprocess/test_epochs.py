"""Continuous recordings become epochs: as by mne's own steps, with what was planted, run by run."""

import mne
import numpy as np
import pandas as pd
import pytest

from neurodecode.core.build import check_targets
from neurodecode.core.errors import ConfigError
from neurodecode.preprocess import cleaning
from neurodecode.preprocess.epochs import Epochs
from neurodecode.preprocess.triggers import match_triggers
from tests.data.meeg_study import ERP_UV, N_TRIALS, NAMES, ONSETS_S, SHAPE, erp, raw_of
from tests.data.small_study import write_tsv

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
PLAIN = {"high_pass_hz": 0.5, "reference": None}
TRIALS = pd.DataFrame({"onset_s": ONSETS_S, "duration_s": 0.5})


@pytest.fixture
def files(tmp_path):
    """``files(raw, …, bad=[…])``: write one run for each recording, and list their files."""

    def make(*raws, bad=(), line_hz=50.0):
        rows = []
        for number, raw in enumerate(raws, 1):
            stem = tmp_path / f"sub-01_run-{number:02d}"
            signal = stem.with_name(f"{stem.name}_raw.fif")
            raw.save(signal, overwrite=True, verbose="ERROR")
            rows.append({"kind": "signal", "file": signal, "line_hz": line_hz})
            if bad:
                status = ["bad" if n in bad[number - 1] else "good" for n in raw.ch_names]
                table = stem.with_name(f"{stem.name}_channels.tsv")
                types = [t.upper() for t in raw.get_channel_types()]
                write_tsv(table, {"name": raw.ch_names, "type": types, "status": status})
                rows.append({"kind": "channels", "file": table})
            for row in rows:
                row.setdefault("run", f"run-{number:02d}")
        return pd.DataFrame(rows).assign(name="")

    return make


def responses(files, trials=TRIALS, run="run-01", **options):
    return Epochs(files, **PLAIN | options).run(run, trials).responses


def by_hand(raw, low_hz=40.0, decim=2, reference=None):
    """The same steps by mne's own epochs."""
    raw = raw.copy().filter(0.5, low_hz, verbose="ERROR")
    if reference:
        raw.set_eeg_reference(reference, verbose="ERROR")
    samples = np.round(ONSETS_S * raw.info["sfreq"]).astype(int)
    events = np.column_stack([samples, 0 * samples, 1 + 0 * samples])
    span = {"tmin": -0.2, "tmax": 0.8, "baseline": None, "decim": decim, "preload": True}
    return mne.Epochs(raw, events, **span, verbose="ERROR").apply_baseline((-0.2, 0), verbose=False)


@pytest.mark.parametrize("reference", [None, "average", ["Cz", "Pz"]])
def test_epochs_are_those_of_mne_done_by_hand(files, reference):
    raw = raw_of()
    made = Epochs(files(raw, line_hz=np.nan), **PLAIN | {"reference": reference})
    expected = by_hand(raw, reference=reference)
    out = made.run("run-01", TRIALS).responses
    assert out.dtype == np.float32 and out.shape == (N_TRIALS, *made.shape)
    assert np.allclose(made.times_s, expected.times) and made.names == expected.ch_names
    assert np.abs(out - 1e6 * expected.get_data()).max() < 1e-3


def test_another_rate_is_resampled_as_by_mne(files):
    raw = raw_of()
    out = responses(files(raw, line_hz=np.nan), resample_hz=120.0)
    other = raw.copy().filter(0.5, 40.0, verbose="ERROR")
    other.resample(120.0, method="polyphase", verbose="ERROR")
    rows = np.round(ONSETS_S * 120).astype(int)[:, None] + np.arange(-24, 97)
    cut = other.get_data()[:, rows].transpose(1, 0, 2)
    expected = 1e6 * (cut - cut[..., :25].mean(axis=-1, keepdims=True))
    assert out.shape == (12, 14, 121) and np.abs(out - expected).max() < 1e-3


@pytest.mark.parametrize(("n_samples", "fits"), [(4401, 2641), (4404, 2642)])
def test_the_last_epoch_may_end_with_the_recording_at_another_rate(files, n_samples, fits):
    found = files(raw_of().crop(0, (n_samples - 1) / 200), line_hz=np.nan)
    last = lambda n: pd.DataFrame({"onset_s": [(n - 1) / 120 - 0.8], "duration_s": 0.5})
    assert np.isfinite(responses(found, last(fits), resample_hz=120.0)).all()
    with pytest.raises(ValueError, match="reach outside the recording"):
        responses(found, last(fits + 1), resample_hz=120.0)


@pytest.mark.parametrize("resample_hz", [None, 100.0, 128.0])
def test_a_planted_response_comes_back_in_microvolts_and_on_time(files, resample_hz):
    made = Epochs(files(raw_of(noise_uv=1e-3)), **PLAIN | {"resample_hz": resample_hz})
    mean = made.run("run-01", TRIALS).responses.mean(axis=0)
    planted = ERP_UV * SHAPE[:, None] * erp(made.times_s)
    # the high-pass takes some of the slow part
    assert np.abs(mean - planted).max() < 0.12 * ERP_UV
    assert made.times_s[mean[-1].argmax()] == pytest.approx(0.15, abs=0.008)


def test_magnetometers_come_out_in_femtotesla(files):
    made = Epochs(files(raw_of(kind="mag", noise_uv=1e-3)), **PLAIN)
    mean = made.run("run-01", TRIALS).responses.mean(axis=0)
    assert mean.max() == pytest.approx(ERP_UV, rel=0.1)
    table = made.space()["sensors.tsv"]
    assert set(table["unit"]) == {"fT"} and set(table["type"]) == {"mag"}


def test_a_run_does_not_change_when_another_does(files):
    raws = [raw_of(seed=1), raw_of(seed=2)]
    first = files(*raws)
    options = {"reference": "average", "ica_variance": 0.99}
    before = responses(first, **options)
    other = raw_of(seed=3)
    other._data *= 5
    after = responses(files(raws[0], other), **options)
    assert (before == after).all()


def test_order_of_trials_is_that_asked_for(files):
    found = files(raw_of())
    turned = TRIALS.iloc[::-1].reset_index(drop=True)
    assert (responses(found, turned)[::-1] == responses(found)).all()


def test_sensors_and_times_are_described(files):
    made = Epochs(files(raw_of()), **PLAIN)
    space = made.space()
    table = space["sensors.tsv"]
    assert table["name"].tolist() == NAMES and set(table["unit"]) == {"µV"}
    y_mm = dict(zip(table["name"], table["y_mm"], strict=True))
    assert y_mm["Oz"] < -60 < 60 < y_mm["Fp1"]
    assert np.allclose(space["positions_mm.npy"], table[["x_mm", "y_mm", "z_mm"]], atol=1e-3)
    assert np.allclose(space["times_s.npy"], np.arange(-20, 81) / 100)
    bare = raw_of().set_montage(None)
    assert "positions_mm.npy" not in Epochs(files(bare), **PLAIN).space()
    placed = Epochs(files(bare), **PLAIN, montage="colin27_1005").space()
    assert np.allclose(placed["positions_mm.npy"], space["positions_mm.npy"], atol=1e-2)


# ---- every option


@pytest.mark.parametrize(
    "change",
    [
        {"picks": ["O*", "P*"]},
        {"high_pass_hz": 2.0},
        {"high_pass_hz": None},
        {"low_pass_hz": 20.0},
        {"low_pass_hz": None},
        {"notch_hz": 30.0},
        {"resample_hz": None},
        {"reference": "average"},
        {"reference": ["Cz"]},
        {"tmin_s": -0.3},
        {"tmax_s": 0.5},
        {"baseline_s": None},
        {"baseline_s": [None, -0.1]},
        {"envelope_hz": [60.0, 90.0]},
        {"ica_variance": 0.99, "ica_correlation": 0.3},
    ],
    ids=str,
)
def test_every_choice_changes_the_responses(files, change):
    found = files(raw_of())
    plain, changed = responses(found), responses(found, **change)
    assert plain.shape != changed.shape or np.abs(plain - changed).max() > 0.1


def amplitude_at(hz, out):
    frequencies = np.fft.rfftfreq(out.shape[2], 1 / 200)
    return np.abs(np.fft.rfft(out, axis=2))[..., np.abs(frequencies - hz).argmin()].mean()


@pytest.mark.parametrize(
    ("notch", "known_hz", "left"),
    [("auto", 50.0, False), (50.0, np.nan, False), (None, 50.0, True), ("auto", np.nan, True)],
)
def test_line_noise_is_removed_where_its_frequency_is_known(files, notch, known_hz, left):
    raw = raw_of()
    raw._data += 20e-6 * np.sin(2 * np.pi * 50 * raw.times)
    made = Epochs(
        files(raw, line_hz=known_hz), **PLAIN, notch_hz=notch, low_pass_hz=None, resample_hz=None
    )
    found = made.run("run-01", TRIALS)
    assert (amplitude_at(50.0, found.responses) > 100) == left
    noise_db = made.quality([found.quality])["line_noise_db"]
    assert noise_db is None if np.isnan(known_hz) else noise_db > 20


def test_the_amplitude_of_a_band_stands_for_the_signal(files):
    raw = raw_of(noise_uv=0.01, onsets_s=[])
    burst = sum(erp(raw.times - o) for o in ONSETS_S) * np.sin(2 * np.pi * 70 * raw.times)
    raw._data += 5e-6 * burst
    made = Epochs(
        files(raw), high_pass_hz=None, low_pass_hz=20.0, reference=None, envelope_hz=[55.0, 85.0]
    )
    mean = made.run("run-01", TRIALS).responses.mean(axis=(0, 1))
    assert made.times_s[mean.argmax()] == pytest.approx(0.15, abs=0.011)
    assert mean.max() == pytest.approx(5, rel=0.15)


# ---- projectors


def with_projectors(raw, seed=0):
    """Store two projectors in the recording, and return them as (n_channels, 2)."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal((len(raw.ch_names), 2)))[0]
    rows = [{"nrow": 1, "ncol": len(axes), "row_names": None, "col_names": raw.ch_names}] * 2
    stored = [mne.Projection(active=False, data=r | {"data": a[None]}, desc=f"SSP {i}", kind=1)
              for i, (r, a) in enumerate(zip(rows, axes.T, strict=True))]  # fmt: skip
    raw.add_proj(stored, verbose="ERROR")
    return axes


@pytest.mark.parametrize("kind", ["eeg", "mag"])
def test_projectors_in_the_file_are_applied_if_wanted(files, kind):
    raw = raw_of(kind=kind)
    plain = responses(files(raw))
    axes = with_projectors(raw)
    found = files(raw)
    expected = plain - np.einsum("ck,dk,ndt->nct", axes, axes, plain)
    assert np.abs(expected - plain).max() > 2
    assert np.abs(responses(found) - expected).max() < 1e-3
    assert np.abs(responses(found, projectors=False) - plain).max() < 1e-3
    applied = raw.copy().apply_proj(verbose="ERROR")
    for wanted in (True, False):  # what is done stays
        out = responses(files(applied), projectors=wanted)
        assert np.abs(out - expected).max() < 1e-3


def test_a_reference_is_set_after_projection_and_not_by_a_projector(files):
    raw = raw_of()
    plain = responses(files(raw))
    raw.set_eeg_reference("average", projection=True, verbose="ERROR")
    assert np.abs(responses(files(raw)) - plain).max() < 1e-3
    axes = with_projectors(raw)
    expected = plain - np.einsum("ck,dk,ndt->nct", axes, axes, plain)
    expected -= expected.mean(axis=1, keepdims=True)
    assert np.abs(responses(files(raw), reference="average") - expected).max() < 1e-3


def test_a_bad_channel_takes_no_part_in_projection(files):
    raw = raw_of()
    axes = with_projectors(raw)
    raw._data[3] = 1e-3 * np.random.default_rng(0).standard_normal(len(raw.times))
    good = [i for i in range(14) if i != 3]
    out = responses(files(raw, bad=[NAMES[3:4]]), bad_channels="drop")
    kept, _ = np.linalg.qr(axes[good])
    plain = responses(files(raw.copy().del_proj()))[:, good]
    expected = plain - np.einsum("ck,dk,ndt->nct", kept, kept, plain)
    assert np.abs(out - expected).max() < 1e-2


def test_repairing_single_trials_does_not_project_what_was_not_to_be(files):
    raw = raw_of(noise_uv=2.0)
    plain = responses(files(raw), autoreject=True)
    with_projectors(raw)
    assert np.abs(responses(files(raw), autoreject=True, projectors=False) - plain).max() < 1e-3


# ---- bad channels and eyes


def test_a_bad_channel_is_interpolated_as_by_mne(files):
    raw = raw_of()
    broken = raw.copy()
    broken._data[NAMES.index("Cz")] = 1e-3 * np.random.default_rng(0).standard_normal(
        len(raw.times)
    )
    out = responses(files(broken, bad=[["Cz"]], line_hz=np.nan))
    repaired = broken.copy()
    repaired.info["bads"] = ["Cz"]
    repaired.interpolate_bads(origin=(0.0, 0.0, 0.04), verbose="ERROR")
    assert np.abs(out - 1e6 * by_hand(repaired).get_data()).max() < 1e-3
    assert np.abs(responses(files(broken, bad=[["Cz"]]), bad_channels="keep")).max() > 500


def test_a_channel_bad_in_one_run_is_dropped_from_all(files):
    found = files(raw_of(1), raw_of(2), raw_of(3), bad=[["Cz"], [], ["Oz", "Cz"]])
    made = Epochs(found, **PLAIN, bad_channels="drop")
    assert made.names == [n for n in NAMES if n not in ("Cz", "Oz")]
    assert made.run("run-02", TRIALS).responses.shape == (N_TRIALS, *made.shape)
    runs = [made.run(f"run-0{i}", TRIALS).quality for i in (1, 2, 3)]
    assert made.quality(runs)["share_bad_channels"] == pytest.approx((1 + 0 + 2) / 3 / 14)


def test_a_bad_channel_of_the_eyes_is_left_out(files):
    raw, _ = with_blinks()
    made = Epochs(files(raw, bad=[["VEOG"]]), **PLAIN)
    run = made.run("run-01", TRIALS)
    frontal = files(with_blinks(eog=False)[0])
    assert np.allclose(run.responses, responses(frontal))
    assert np.allclose(
        run.nuisance["eog"], Epochs(frontal, **PLAIN).run("run-01", TRIALS).nuisance["eog"]
    )


def with_blinks(seed=0, eog=True):
    """A recording with blinks seen by frontal electrodes, the blinks alone, and the clean one."""
    rng = np.random.default_rng(seed)
    clean = raw_of(seed, noise_uv=2.0)
    blinks = sum(erp(clean.times - at_s + 0.15) for at_s in rng.uniform(1, 24, 15))
    frontal = np.array([1, 1, 0.5, 0.5, 0.4, 0.1, 0.1, 0.1, *[0.02] * 6])
    raw = clean.copy()
    raw._data += 150e-6 * frontal[:, None] * blinks
    if eog:
        info = mne.create_info(["VEOG"], 200.0, "eog")
        eye = mne.io.RawArray(
            200e-6 * blinks[None] + 1e-6 * rng.standard_normal(5000), info, verbose="ERROR"
        )
        raw.add_channels([eye], force_update_info=True)
    return raw, clean


@pytest.mark.parametrize("eog", [True, False], ids=["EOG", "frontal electrodes"])
def test_blinks_are_removed_by_independent_components(files, eog):
    raw, clean = with_blinks(eog=eog)
    found = files(raw)
    spoilt, truth = responses(found), responses(files(clean))
    found = files(raw)
    made = Epochs(found, **PLAIN, ica_variance=0.999)
    run = made.run("run-01", TRIALS)
    before, after = (np.abs(x - truth)[:, :2].max() for x in (spoilt, run.responses))
    assert before > 100 and after < 0.2 * before
    assert made.quality([run.quality])["components_removed"] >= 1
    assert run.nuisance["eog"].max() > 100


def test_channels_that_see_the_eyes_may_be_named(files):
    found = files(with_blinks(eog=False)[0])
    named = responses(found, ica_variance=0.999, eog_channels=["Oz"], ica_correlation=0.8)
    frontal = responses(found, ica_variance=0.999)
    assert np.abs(named - frontal).max() > 50
    with pytest.raises(ValueError, match="no channel VEOG.*eog_channels"):
        responses(found, ica_variance=0.999, eog_channels=["VEOG"])
    no_eyes = files(raw_of(names=["Cz", "Pz", "Oz"]))
    with pytest.raises(ValueError, match="of type EOG and none above the eyes"):
        responses(no_eyes, ica_variance=0.99)


def test_only_as_similar_components_are_removed_as_asked(files):
    found = files(with_blinks()[0])
    removed = [
        Epochs(found, **PLAIN, ica_variance=0.999, ica_correlation=r)
        .run("run-01", TRIALS)
        .quality["components"]
        for r in (0.999, 0.7, 0.01)
    ]
    assert removed[0] <= removed[1] < removed[2]


def test_another_seed_begins_the_components_elsewhere(files):
    found = files(with_blinks()[0])
    one, same, other = (
        responses(found, ica_variance=0.999, ica_correlation=0.2, seed=seed) for seed in (0, 0, 1)
    )
    assert (one == same).all() and (one != other).any()
    with pytest.raises(ValueError, match="ica_variance=0.5 is too low"):
        responses(found, ica_variance=0.5)


def test_single_trials_are_repaired_by_autoreject(files):
    raw = raw_of(noise_uv=2.0)
    at = slice(*np.round(200 * (ONSETS_S[3] + np.array([0.1, 0.6]))).astype(int))
    raw._data[NAMES.index("Pz"), at] += 300e-6 * np.sin(np.linspace(0, 60, at.stop - at.start))
    found = files(raw)
    spoilt = responses(found)
    made = Epochs(found, **PLAIN, autoreject=True)
    run = made.run("run-01", TRIALS)
    pz = NAMES.index("Pz")
    assert np.ptp(spoilt[3, pz]) > 200 and (
        np.ptp(run.responses[3, pz]) < 50 or run.nuisance["rejected"][3] == 1
    )
    assert set(run.nuisance["rejected"]) <= {0.0, 1.0} and run.nuisance["rejected"].mean() < 0.5


def test_autoreject_that_is_not_installed_says_so(files, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "autoreject", None)
    with pytest.raises(ValueError, match=r"pip install 'neurodecode-pictures\[autoreject\]'"):
        responses(files(raw_of()), autoreject=True)


def test_nuisance_tells_loud_trials(files):
    raw = raw_of()
    at = slice(*np.round(200 * (ONSETS_S[5] + np.array([0.0, 0.8]))).astype(int))
    raw._data[:, at] += 30e-6 * np.sin(2 * np.pi * 60 * raw.times[at])
    nuisance = Epochs(files(raw), **PLAIN).run("run-01", TRIALS).nuisance
    assert nuisance["high_frequency"].argmax() == 5 and set(map(len, nuisance.values())) == {12}
    assert {"peak_to_peak", "high_frequency", "eog"} == set(nuisance)


# ---- onsets by the trigger channel


def with_triggers(delay_s=0.1, values=(64,), extra_s=(1.0,), onsets_s=ONSETS_S):
    raw = raw_of()
    info = mne.create_info(["UPPT001"], 200.0, "stim")
    pulses = np.zeros(len(raw.times))
    for i, onset_s in enumerate([*(np.asarray(onsets_s) + delay_s), *extra_s]):
        first = round(onset_s * 200)
        pulses[first : first + 4] = np.resize(values, i + 1)[-1]
    stim = mne.io.RawArray(pulses[None], info, verbose="ERROR")
    return raw.add_channels([stim], force_update_info=True)


def test_onsets_are_those_of_the_trigger_channel(files):
    found = files(with_triggers(delay_s=0.1))
    late = TRIALS.assign(onset_s=ONSETS_S + 0.1)
    by_trigger = responses(found, stim_channel="UPPT001")
    assert (by_trigger == responses(found, late)).all()
    assert (by_trigger != responses(found)).any()


def test_a_recording_that_was_cut_out_of_a_longer_one_keeps_its_clock(files):
    raw = with_triggers(delay_s=0.1)
    later = raw.copy().crop(0.5)  # its first sample has a number other than 0
    trials = TRIALS.assign(onset_s=ONSETS_S - 0.5)
    kept = responses(files(later), trials, stim_channel="UPPT001")
    assert np.allclose(kept, responses(files(raw), stim_channel="UPPT001"), atol=0.5)


def test_only_the_values_asked_for_are_triggers(files):
    raw = with_triggers(values=(64, 32))
    assert responses(files(raw), stim_channel="UPPT001", stim_values=[32, 64]).shape[0] == 12
    with pytest.raises(ValueError, match="6 of 12 events are not in the stim channel: it has 7"):
        responses(files(raw), stim_channel="UPPT001", stim_values=[64])
    with pytest.raises(ValueError, match=r"no trigger \[7\]; its values are 32, 64"):
        responses(files(raw), stim_channel="UPPT001", stim_values=[7])


def test_events_that_are_not_in_the_stim_channel_are_counted(files):
    raw = with_triggers(delay_s=0.4, extra_s=())
    with pytest.raises(ValueError, match="12 of 12 events are not in the stim channel: it has 12"):
        responses(files(raw), stim_channel="UPPT001")
    assert len(responses(files(raw), stim_channel="UPPT001", stim_tolerance_s=0.5)) == 12
    with pytest.raises(ValueError, match="has no channel 'STI 014'.*is one of UPPT001"):
        responses(files(raw), stim_channel="STI 014")


def test_two_trials_cannot_share_a_trigger():
    assert match_triggers([1.0, 2.0], [0.9, 1.5, 2.1], 0.25, "r").tolist() == [0.9, 2.1]
    with pytest.raises(ValueError, match="trials 1 and 2 share the trigger at 1.05 s"):
        match_triggers([1.0, 1.1], [1.05, 3.0], 0.25, "r")


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_pass_hz": 100.0, "resample_hz": None}, "low_pass_hz=100 is not below half the rate"),
        ({"envelope_hz": [70.0, 150.0]}, "envelope_hz=150 is not below half the rate"),
        ({"envelope_hz": [70.0]}, r"envelope_hz=\[70.0\]: give the two edges of a band"),
        ({"envelope_hz": [90.0, 70.0]}, r"envelope_hz=\[90.0, 70.0\]: give the two edges"),
        ({"low_pass_hz": 60.0}, "low_pass_hz=60 is above half of resample_hz=100"),
        ({"high_pass_hz": 50.0}, "high_pass_hz=50 is not below low_pass_hz=40"),
        ({"resample_hz": 250.0}, "resample_hz=250 is above the rate of .*, 200 Hz"),
        ({"high_pass_hz": 0.01}, "lasts 25 s, and preprocess.method.high_pass_hz=0.01 needs 330 s"),
        ({"baseline_s": [-0.5, 0.0]}, r"baseline_s=\[-0.5, 0.0\] is not within the epoch, -0.2"),
        ({"baseline_s": [0.1, 0.0]}, "is not within the epoch"),
        ({"baseline_s": [0.0]}, "two times in s are expected"),
        ({"tmin_s": 0.9}, "tmin_s=0.9 must be below tmax_s=0.8"),
        ({"picks": ["Iz"]}, "has no channel 'Iz': picks holds kinds"),
        ({"picks": ["meg"]}, "has none of the channels.* are of type eeg"),
        (
            {"tmax_s": 1.6},
            "longer than the gap between trials, 1.505 s at the least .*overlap=true",
        ),
        ({"tmin_s": -3.1, "overlap": True}, "of 1 of 12 trials reach outside.*trial 1, onset 3 s"),
        ({"tmax_s": 6.0, "overlap": True}, "reach outside the recording.*trial 12, onset 19.555 s"),
        ({"reference": ["M1"]}, "no good channel M1, named in preprocess.method.reference"),
        ({"montage": "10-20"}, "montage='10-20' is none of mne's standard layouts"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(files, options, message):
    bare = raw_of().set_montage(None) if "montage" in options else raw_of()
    with pytest.raises(ValueError, match=message) as error:
        responses(files(bare), **options)
    assert "sub-01_run-01" in str(error.value) or "preprocess.method" in str(error.value)


def test_epochs_may_overlap_if_that_is_said(files):
    assert responses(files(raw_of()), tmax_s=2.0, overlap=True).shape[2] == 221


@pytest.mark.parametrize(
    "change",
    [
        {"resample_hz": 0},
        {"notch_hz": -50},
        {"ica_variance": 1.5},
        {"stim_tolerance_s": -1},
        {"envelope_hz": [0, 9]},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_before_anything_is_read(change):
    node = {"_target_": "neurodecode.preprocess.epochs.Epochs"}
    check_targets(node | {"resample_hz": 50, "notch_hz": "auto", "ica_variance": 0.9}, "method")
    with pytest.raises(
        ConfigError, match=rf"method\.{next(iter(change))}.*: expected (more than 0|0 or more)"
    ):
        check_targets(node | change, "method")


def test_runs_with_other_channels_are_refused_by_name(files):
    fewer = raw_of().drop_channels(["Cz", "Oz"])
    with pytest.raises(
        ValueError,
        match="run-02.* has other channels than .*run-01.*: 12 instead of 14; without Cz, Oz",
    ):
        Epochs(files(raw_of(), fewer), **PLAIN)
    assert Epochs(files(raw_of(), fewer), **PLAIN, picks=["O1", "P*"]).shape[0] == 4
    turned = raw_of().reorder_channels(NAMES[::-1])
    found = files(raw_of(), turned)
    assert np.allclose(responses(found), responses(found, run="run-02"), atol=1e-4)


def test_runs_of_two_rates_need_one(files):
    slower = raw_of().resample(150.0, verbose="ERROR")
    found = files(raw_of(), slower)
    with pytest.raises(ValueError, match="150 Hz, .* at 200 Hz: set preprocess.method.resample_hz"):
        Epochs(found, **PLAIN | {"resample_hz": None})
    apart = responses(found) - responses(found, run="run-02")
    assert np.abs(apart).max() < 3  # the slower one lost what is above 75 Hz, of which 40 remain


def test_missing_positions_are_asked_for_where_they_are_needed(files):
    bare = raw_of().set_montage(None)
    found = files(bare, bad=[["Cz"]])
    with pytest.raises(
        ValueError, match="to interpolate Cz the positions of all sensors are needed"
    ):
        responses(found)
    assert responses(found, montage="colin27_1005").shape[1] == 14
    assert responses(found, bad_channels="drop").shape[1] == 13
    with pytest.raises(ValueError, match="autoreject needs the positions"):
        responses(files(bare), autoreject=True)


def test_electrodes_in_the_brain_are_not_interpolated(files):
    found = files(raw_of(kind="ecog"), bad=[["Cz"]])
    with pytest.raises(ValueError, match="Cz are bad and lie inside the skull.*bad_channels=drop"):
        responses(found)
    with pytest.raises(ValueError, match="every channel of picks"):
        Epochs(files(raw_of(), bad=[NAMES]), **PLAIN, bad_channels="drop")


def test_without_bad_channels_nothing_is_interpolated():
    bare = raw_of().set_montage(None)
    assert cleaning.interpolate(bare, "r") is bare
