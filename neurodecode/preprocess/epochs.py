"""EEG, MEG and iEEG: continuous recordings filtered and cleaned, then cut at every trial's onset.

Responses are in µV (EEG, iEEG), fT (magnetometers, axial gradiometers) or fT/cm (planar
gradiometers).
"""

from typing import Literal

import numpy as np

from neurodecode.core.ranges import Level, NotNegative, Positive, Seed, Share
from neurodecode.data.readers import meeg as reader
from neurodecode.preprocess import cleaning, sensors
from neurodecode.preprocess.base import RunResponses
from neurodecode.preprocess.triggers import match_triggers, trigger_onsets_s

HIGH_HZ = 30.0  # muscles are louder than the brain above
ABOUT = ("channels", "electrodes", "coordsystem")


class Epochs:
    """Epochs of M/EEG recordings; see `neurodecode.preprocess.base.Recording`.

    The order of work in each run: gradient compensation, projectors, line noise, independent
    components of the eyes, bad channels, reference, amplitude of a band, filters, epochs,
    autoreject, baseline.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind name file, and line_hz if it is known.
    picks : list of str
        Channels; see `neurodecode.preprocess.sensors.chosen_channels`.
    high_pass_hz, low_pass_hz : float or None
        Edges of the pass band, by mne's zero-phase FIR filter; None: no such filter.
    notch_hz : float, "auto" or None
        Line frequency, removed with its harmonics; auto: that of the sidecar, if it says one.
    resample_hz : float or None
        Rate of the responses; None: as recorded. Where the rate divides and the low-pass leaves
        nothing to alias, every k-th sample is taken and onsets stay exact; otherwise they are
        rounded to the new samples.
    reference : "average", list of str or None
        Of electrodes.
    montage : str or None
        mne's name of a standard layout, for EEG that comes without positions.
    bad_channels : str
        What becomes of channels that channels.tsv calls bad: interpolate, drop (in all runs if bad
        in one, so that the channels stay the same) or keep.
    projectors : bool
        Whether the signal-space projectors that a FIF file holds are applied, as mne does when it
        cuts epochs. An average reference among them is not: `reference` decides on that.
    gradient_compensation : int or None
        Order to which CTF's reference sensors are subtracted (0: not at all); None: as recorded.
    tmin_s, tmax_s : float
        First and last time of an epoch, from the onset.
    baseline_s : list of float or None
        Start and end of the time whose mean is subtracted; null in it: the epoch's edge.
    overlap : bool
        Whether an epoch may hold the onset of another trial.
    envelope_hz : list of float or None
        A band whose amplitude (of its analytic signal) stands for the signal: high gamma.
    ica_variance : float or None
        Share of variance that independent components explain; None: no such analysis.
    ica_correlation : float
        Components that correlate with an eye channel by so much are removed.
    eog_channels : list of str or None
        Channels that see the eyes; None: those of type EOG, or else frontal electrodes.
    autoreject : bool
        Repair single trials by autoreject.
    seed : int
        Of the components and of autoreject's folds.
    stim_channel : str or None
        Trigger channel that tells the onsets; None: events.tsv does.
    stim_values : list of int or None
        Triggers that count; None: all.
    stim_tolerance_s : float
        Most that a trigger may lie from the onset in events.tsv.

    Raises
    ------
    ValueError
        If an option does not fit the recordings, or runs differ in their channels or rate.
    """

    channels = "sensors"

    def __init__(
        self,
        files,
        picks: list[str] | None = None,
        high_pass_hz: Positive | None = 0.1,
        low_pass_hz: Positive | None = 40.0,
        notch_hz: Positive | Literal["auto"] | None = "auto",
        resample_hz: Positive | None = 100.0,
        reference: Literal["average"] | list[str] | None = "average",
        montage: str | None = None,
        bad_channels: Literal["interpolate", "drop", "keep"] = "interpolate",
        projectors: bool = True,
        gradient_compensation: Literal[0, 1, 2, 3] | None = None,
        tmin_s: float = -0.2,
        tmax_s: float = 0.8,
        baseline_s: list[float | None] | None = (-0.2, 0.0),
        overlap: bool = False,
        envelope_hz: list[Positive] | None = None,
        ica_variance: Level | None = None,
        ica_correlation: Share = 0.7,
        eog_channels: list[str] | None = None,
        autoreject: bool = False,
        seed: Seed = 0,
        stim_channel: str | None = None,
        stim_values: list[int] | None = None,
        stim_tolerance_s: NotNegative = 0.25,
    ):
        self.picks = ["eeg", "meg", "ieeg"] if picks is None else picks
        self.high_pass_hz, self.low_pass_hz, self.notch_hz = high_pass_hz, low_pass_hz, notch_hz
        self.resample_hz, self.reference, self.montage = resample_hz, reference, montage
        self.bad_channels, self.overlap, self.envelope_hz = bad_channels, overlap, envelope_hz
        self.projectors, self.gradient_compensation = projectors, gradient_compensation
        self.ica_variance, self.ica_correlation = ica_variance, ica_correlation
        self.eog_channels, self.autoreject, self.seed = eog_channels, autoreject, seed
        self.stim_channel, self.stim_values = stim_channel, stim_values
        self.stim_tolerance_s = stim_tolerance_s

        _check_band(envelope_hz)
        self.files = {run: _paths(rows) for run, rows in files.groupby("run", sort=False)}
        signals = files[files["kind"] == "signal"].set_index("run")
        self.line_hz = dict(signals["line_hz"].dropna()) if "line_hz" in signals else {}
        self._look_at_runs()
        if not tmin_s < tmax_s:
            raise ValueError(f"preprocess.method.tmin_s={tmin_s:g} must be below tmax_s={tmax_s:g}")
        rate_hz = self.resample_hz or self.info["sfreq"]
        self.offsets = np.arange(round(tmin_s * rate_hz), round(tmax_s * rate_hz) + 1)
        self.times_s = self.offsets / rate_hz
        self.baseline = sensors.baseline_window(self.times_s, baseline_s)
        self.shape = (len(self.names), len(self.times_s))

    def run(self, name, trials):
        """Cut the epochs of one run's trials, (n_trials, n_channels, n_times)."""
        path = self.files[name]["signal"]
        raw = self._open(name)
        sfreq_hz, line_hz = raw.info["sfreq"], self.line_hz.get(name)
        onsets_s = self._onsets_s(raw, trials, path)
        rate_hz, step = self._sampling(sfreq_hz)
        rows = np.round(onsets_s * rate_hz).astype(int)[:, None] + step * self.offsets
        n_samples = round(len(raw.times) * rate_hz / sfreq_hz)
        self._check_epochs(trials, onsets_s, rows, n_samples, path)

        reader.load(self._with_eyes(raw), path)
        cleaning.compensate(raw, self.gradient_compensation, path)
        nuisance = _loudness(raw, self.names, onsets_s, self.times_s)
        eyes = cleaning.eye_channels(raw.info, self.eog_channels)
        nuisance |= _eye_amplitude(raw, eyes, onsets_s, self.times_s)
        quality = {"bad": self.bad[name], "line_noise_db": _line_noise_db(raw, self.names, line_hz)}
        quality["components"] = self._clean(raw, eyes, line_hz, path)
        if rate_hz != sfreq_hz:
            raw.resample(rate_hz, method="polyphase", verbose="ERROR")
        epochs = raw.get_data(self.names)[:, rows].transpose(1, 0, 2)
        if self.autoreject:
            info = raw.copy().pick(self.names).info
            with info._unlock():  # EpochsArray takes the rate of the epochs from here
                info["sfreq"] = 1 / (self.times_s[1] - self.times_s[0])
            epochs, rejected = cleaning.repair_epochs(epochs, info, self.times_s[0], self.seed)
            nuisance["rejected"] = rejected.astype(float)
        epochs = sensors.scaled(sensors.less_baseline(epochs, self.baseline), self.kinds)
        peak_to_peak = np.ptp(epochs, axis=2)  # (n_trials, n_channels)
        nuisance["peak_to_peak"] = np.median(peak_to_peak, axis=1)
        quality["peak_to_peak"] = np.median(peak_to_peak, axis=0)
        return RunResponses(epochs.astype(np.float32), nuisance, quality)

    def space(self):
        """The sensors, the times of an epoch, and where sensors lie if all places are known."""
        return sensors.described(self.info, self.names, self.times_s)

    def quality(self, runs):
        """Bad channels, line noise, amplitude of each kind of channel, components removed."""
        line_db = [r["line_noise_db"] for r in runs if r["line_noise_db"] is not None]
        loud = np.median([r["peak_to_peak"] for r in runs], axis=0)
        kinds = np.array(self.kinds)
        return {
            "share_bad_channels": float(np.mean([r["bad"] for r in runs])),
            "line_noise_db": float(np.median(line_db)) if line_db else None,
            "components_removed": float(np.mean([r["components"] for r in runs])),
        } | {f"peak_to_peak_{k}": float(np.median(loud[kinds == k])) for k in dict.fromkeys(kinds)}

    def _look_at_runs(self):
        """Open every header: find the channels, which must be the same, and which are bad."""
        self.info, bad, self.bad = None, set(), {}
        for name, paths in self.files.items():
            raw = self._open(name)
            chosen = sensors.chosen_channels(raw.info, self.picks, paths["signal"])
            self._check_rates(raw.info["sfreq"], len(raw.times), paths["signal"])
            if self.info is None:
                self.info, self.names, first = raw.info, chosen, paths["signal"]
                order = raw.compensation_grade
            sensors.same_channels(chosen, self.names, paths["signal"], first)
            if not self.resample_hz and raw.info["sfreq"] != self.info["sfreq"]:
                raise ValueError(
                    f"{paths['signal']} is sampled at {raw.info['sfreq']:g} Hz, {first} at "
                    f"{self.info['sfreq']:g} Hz: set preprocess.method.resample_hz"
                )
            if self.gradient_compensation is None and raw.compensation_grade != order:
                raise ValueError(
                    f"{paths['signal']} has gradient compensation of order "
                    f"{raw.compensation_grade}, {first} of {order}: set "
                    "preprocess.method.gradient_compensation, to 3 for instance"
                )
            self.bad[name] = len(set(chosen) & set(raw.info["bads"])) / len(chosen)
            bad |= set(raw.info["bads"])
        if self.bad_channels == "drop":
            self.names = [n for n in self.names if n not in bad]
        if not self.names:
            raise ValueError(
                f"every channel of picks={self.picks} is bad in one of {len(self.files)} runs: set "
                "preprocess.method.bad_channels=interpolate"
            )
        types = dict(zip(self.info["ch_names"], self.info.get_channel_types(), strict=True))
        self.kinds = [types[n] for n in self.names]

    def _open(self, name):
        """Open one run, its tables applied; channels are placed by the montage if by nothing."""
        paths = self.files[name]
        raw = reader.read_raw(paths["signal"], *(paths.get(kind) for kind in ABOUT))
        types = zip(raw.ch_names, raw.get_channel_types(), strict=True)
        scalp = [n for n, kind in types if kind == "eeg"]
        if self.montage and np.isnan(sensors.positions_mm(raw.info, scalp)).all():
            raw.set_montage(_montage(self.montage), match_case=False, on_missing="ignore")
        return raw

    def _with_eyes(self, raw):
        """Keep the channels that take part: of the kinds asked for, references, and the eyes."""
        types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
        named = self.reference if isinstance(self.reference, list) else []
        beside = {"eog"} if self.gradient_compensation is None else {"eog", "ref_meg"}
        wanted = {n for n in raw.ch_names if types[n] in {*self.kinds, *beside}}
        wanted |= set(named) | set(self.eog_channels or [])
        if self.bad_channels == "keep":
            raw.info["bads"] = []
        bad = set(raw.info["bads"])  # of the eyes' channels, which nothing interpolates, none stays
        lost = {n for n in bad if self.bad_channels == "drop" or types[n] == "eog"}
        return raw.pick([n for n in raw.ch_names if n in wanted - lost], verbose="ERROR")

    def _clean(self, raw, eyes, line_hz, path):
        """Clean and filter one loaded run in place; return how many components were removed."""
        cleaning.project(raw, self.projectors)
        lines = self._lines_hz(raw.info["sfreq"], line_hz)
        if len(lines):
            raw.notch_filter(lines, picks="all", verbose="ERROR")
        removed = 0
        if self.ica_variance:
            options = self.ica_variance, self.ica_correlation, eyes, self.seed
            removed = cleaning.remove_eye_components(raw, *options, path)
        cleaning.interpolate(raw, path)
        cleaning.set_reference(raw, self.reference, path)
        if self.envelope_hz:
            raw.filter(*self.envelope_hz, picks=self.names, verbose="ERROR")
            raw.apply_hilbert(picks=self.names, envelope=True, verbose="ERROR")
        if self.high_pass_hz or self.low_pass_hz:
            raw.filter(self.high_pass_hz, self.low_pass_hz, picks=self.names, verbose="ERROR")
        return removed

    def _lines_hz(self, sfreq_hz, known_hz):
        """Line frequency and harmonics below the low-pass's end and the Nyquist frequency."""
        line_hz = known_hz if self.notch_hz == "auto" else self.notch_hz
        if not line_hz:
            return np.array([])
        passes_hz = _stop_hz(self.low_pass_hz) if self.low_pass_hz else np.inf
        if self.envelope_hz:
            passes_hz = 1.25 * self.envelope_hz[1]
        return np.arange(line_hz, min(passes_hz, 0.98 * sfreq_hz / 2), line_hz)

    def _sampling(self, sfreq_hz):
        """The rate at which epochs are cut, and which sample of it is taken: every k-th."""
        if not self.resample_hz:
            return sfreq_hz, 1
        step = round(sfreq_hz / self.resample_hz)
        exact = abs(step * self.resample_hz - sfreq_hz) < 1e-6 * sfreq_hz
        quiet = self.low_pass_hz and _stop_hz(self.low_pass_hz) <= self.resample_hz / 2
        return (sfreq_hz, step) if exact and quiet else (self.resample_hz, 1)

    def _onsets_s(self, raw, trials, path):
        onsets_s = trials["onset_s"].to_numpy(float)
        if self.stim_channel is None:
            return onsets_s
        triggers_s = trigger_onsets_s(raw, self.stim_channel, self.stim_values, path)
        return match_triggers(onsets_s, triggers_s, self.stim_tolerance_s, path)

    def _check_rates(self, sfreq_hz, n_samples, path):
        """Refuse filters and rates that this recording cannot have."""
        key, top = "preprocess.method", sfreq_hz / 2
        if self.resample_hz and self.resample_hz > sfreq_hz:
            raise ValueError(
                f"{key}.resample_hz={self.resample_hz:g} is above the rate of {path}, "
                f"{sfreq_hz:g} Hz: choose a lower one, or null to keep it"
            )
        edges = {"high_pass_hz": self.high_pass_hz, "low_pass_hz": self.low_pass_hz}
        edges |= {"envelope_hz": max(self.envelope_hz)} if self.envelope_hz else {}
        for name, edge_hz in edges.items():
            if edge_hz and edge_hz >= top:
                raise ValueError(
                    f"{key}.{name}={edge_hz:g} is not below half the rate of {path}, "
                    f"{sfreq_hz:g} Hz: choose less than {top:g} Hz"
                )
        if self.low_pass_hz and self.resample_hz and self.low_pass_hz > self.resample_hz / 2:
            raise ValueError(
                f"{key}.low_pass_hz={self.low_pass_hz:g} is above half of resample_hz="
                f"{self.resample_hz:g}: lower it to {self.resample_hz / 2:g} Hz or less, or "
                "resample to more"
            )
        if self.high_pass_hz and self.low_pass_hz and self.high_pass_hz >= self.low_pass_hz:
            raise ValueError(
                f"{key}.high_pass_hz={self.high_pass_hz:g} is not below low_pass_hz="
                f"{self.low_pass_hz:g}: nothing would pass"
            )
        filter_s = _filter_s(self.high_pass_hz) if self.high_pass_hz else 0
        if filter_s > n_samples / sfreq_hz:
            raise ValueError(
                f"{path} lasts {n_samples / sfreq_hz:g} s, and {key}.high_pass_hz="
                f"{self.high_pass_hz:g} needs {filter_s:.0f} s: raise it, or set it to null"
            )

    def _check_epochs(self, trials, onsets_s, rows, n_samples, path):
        """Refuse epochs that reach outside the recording, or into the next trial."""
        outside = np.flatnonzero((rows[:, 0] < 0) | (rows[:, -1] >= n_samples))
        first, last = self.times_s[[0, -1]]
        if len(outside):
            trial = outside[0]
            raise ValueError(
                f"{path}: the epochs of {len(outside)} of {len(trials)} trials reach outside the "
                f"recording; the first is trial {trial + 1}, onset {onsets_s[trial]:g} s with "
                f"{first:g} to {last:g} s around it: shorten the epochs "
                "(preprocess.method.tmin_s, tmax_s), or set the stimulus of this event to n/a"
            )
        gaps_s = np.diff(np.sort(onsets_s))
        reach_s = max(last, -first)
        if not self.overlap and len(gaps_s) and gaps_s.min() < reach_s - 1e-6:
            raise ValueError(
                f"{path}: epochs of {first:g} to {last:g} s are longer than the gap between "
                f"trials, {gaps_s.min():g} s at the least ({int((gaps_s < reach_s).sum())} of "
                f"{len(gaps_s)} gaps): shorten them (preprocess.method.tmin_s, tmax_s), or allow "
                "it by overlap=true"
            )


def _paths(rows):
    """Kind -> path of the files of one run."""
    return {f.kind: f.file for f in rows[::-1].itertuples()}


def _check_band(edges_hz):
    if edges_hz is not None and not (len(edges_hz) == 2 and edges_hz[0] < edges_hz[1]):
        raise ValueError(
            f"preprocess.method.envelope_hz={edges_hz}: give the two edges of a band in Hz, "
            "such as [70, 150], or null"
        )


def _montage(name):
    import mne

    known = mne.channels.get_builtin_montages()
    if name not in known:
        raise ValueError(
            f"preprocess.method.montage={name!r} is none of mne's standard layouts: "
            f"{', '.join(known)}"
        )
    return mne.channels.make_standard_montage(name)


def _stop_hz(low_pass_hz):
    """Where mne's low-pass lets nothing through any more."""
    return low_pass_hz + max(0.25 * low_pass_hz, 2.0)


def _filter_s(high_pass_hz):
    """How long mne's high-pass is."""
    return 3.3 / min(max(0.25 * high_pass_hz, 2.0), high_pass_hz)


def _windows(raw, names, onsets_s, times_s):
    """Yield the signal of each trial as recorded, (n_channels, n_samples), without its mean."""
    data, sfreq_hz = raw.get_data(names), raw.info["sfreq"]
    for onset_s in onsets_s:
        first, last = np.round((onset_s + times_s[[0, -1]]) * sfreq_hz).astype(int)
        window = data[:, max(first, 0) : last + 1]
        yield window - window.mean(axis=1, keepdims=True)


def _loudness(raw, names, onsets_s, times_s):
    """Amplitude above 30 Hz in each trial, median over channels: muscles."""
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    names = [n for n in names if n in raw.ch_names]
    units = np.array([sensors.unit_of(types[n])[1] for n in names])
    rms = []
    for window in _windows(raw, names, onsets_s, times_s):
        spectrum = np.fft.rfft(window * np.hanning(window.shape[1]), axis=1)
        high = np.fft.rfftfreq(window.shape[1], 1 / raw.info["sfreq"]) >= HIGH_HZ
        power = (np.abs(spectrum[:, high]) ** 2).sum(axis=1) / window.shape[1] ** 2
        rms.append(np.median(units * np.sqrt(2 * power)))
    return {"high_frequency": np.array(rms)}


def _eye_amplitude(raw, eyes, onsets_s, times_s):
    """Peak to peak of the channels that see the eyes, in µV: the largest of them."""
    eyes = [n for n in eyes if n in raw.ch_names]
    if not eyes:
        return {}
    windows = _windows(raw, eyes, onsets_s, times_s)
    return {"eog": np.array([1e6 * np.ptp(w, axis=1).max() for w in windows])}


def _line_noise_db(raw, names, line_hz):
    """Power at the line frequency over that around it, in dB, median over channels."""
    from scipy.signal import welch

    sfreq_hz = raw.info["sfreq"]
    if not line_hz or line_hz + 5 >= sfreq_hz / 2:
        return None
    names = [n for n in names if n not in raw.info["bads"]]
    n_samples = min(len(raw.times), int(4 * sfreq_hz))
    spectra = [welch(raw.get_data([n])[0], sfreq_hz, nperseg=n_samples) for n in names]
    f_hz, power = spectra[0][0], np.array([p for _, p in spectra])
    apart_hz = np.abs(f_hz - line_hz)
    at, around = apart_hz <= 0.5, (apart_hz > 1) & (apart_hz <= 5)
    ratio = power[:, at].mean(axis=1) / np.maximum(power[:, around].mean(axis=1), 1e-300)
    return float(10 * np.log10(np.maximum(np.median(ratio), 1e-300)))
