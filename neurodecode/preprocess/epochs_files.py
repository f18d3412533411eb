"""EEG, MEG and iEEG that were cut into epochs before, by mne: chosen channels, times and rate.

Responses are in µV (EEG, iEEG), fT (magnetometers, axial gradiometers) or fT/cm (planar
gradiometers).
"""

import numpy as np

from neurodecode.core.ranges import Positive
from neurodecode.data.readers.epochs import open_epochs
from neurodecode.preprocess import sensors
from neurodecode.preprocess.base import RunResponses


class StoredEpochs:
    """Epochs as they were saved; see `neurodecode.preprocess.base.Recording`.

    Signal-space projectors and an average reference that were stored but not applied stay so.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind file, one signal file a run.
    picks : list of str
        Channels; see `neurodecode.preprocess.sensors.chosen_channels`.
    resample_hz : float or None
        Rate of the responses; None: as stored.
    tmin_s, tmax_s : float or None
        First and last time that is kept, from the onset; None: all.
    baseline_s : list of float or None
        Start and end of the time whose mean is subtracted; None: as stored.

    Raises
    ------
    ValueError
        If files differ in channels, times or rate, or an option does not fit them.
    """

    channels = "sensors"

    def __init__(
        self,
        files,
        picks: list[str] | None = None,
        resample_hz: Positive | None = None,
        tmin_s: float | None = None,
        tmax_s: float | None = None,
        baseline_s: list[float | None] | None = None,
    ):
        self.files = files[files["kind"] == "signal"].set_index("run")["file"].to_dict()
        self.picks = ["eeg", "meg", "ieeg"] if picks is None else picks
        self.resample_hz = resample_hz
        stored_s = self._look_at_files()
        self.all_times_s = self._resampled(stored_s)
        self.kept = _within(self.all_times_s, tmin_s, tmax_s)
        self.times_s = self.all_times_s[self.kept]
        self.baseline = sensors.baseline_window(self.times_s, baseline_s)
        self.shape = (len(self.names), len(self.times_s))

    def run(self, name, trials):
        """Read the epochs of one run's trials, (n_trials, n_channels, n_times)."""
        responses = np.empty((len(trials), *self.shape), np.float32)
        for file, rows in trials.reset_index(drop=True).groupby("epochs_of", sort=False):
            responses[rows.index] = self._read(self.files[str(file)], rows["epoch"].to_numpy(int))
        nuisance = {"peak_to_peak": np.median(np.ptp(responses, axis=2), axis=1)}
        return RunResponses(responses, nuisance, {"peak_to_peak": nuisance["peak_to_peak"]})

    def space(self):
        """The sensors, the times of an epoch, and where sensors lie if all places are known."""
        return sensors.described(self.info, self.names, self.times_s)

    def quality(self, runs):
        """Median over trials of the amplitude, peak to peak."""
        return {"peak_to_peak": float(np.median(np.concatenate([r["peak_to_peak"] for r in runs])))}

    def _look_at_files(self):
        """Open every header: channels, times and rate must be the same; return the times."""
        first = None
        for path in self.files.values():
            epochs = open_epochs(path)
            chosen = sensors.chosen_channels(epochs.info, self.picks, path)
            if first is None:
                first, self.info, self.names, times_s = path, epochs.info, chosen, epochs.times
                types = dict(zip(self.info["ch_names"], self.info.get_channel_types(), strict=True))
                self.kinds = [types[n] for n in chosen]
            sensors.same_channels(chosen, self.names, path, first)
            if len(epochs.times) != len(times_s) or np.abs(epochs.times - times_s).max() > 1e-6:
                raise ValueError(
                    f"{path} has epochs of {_span(epochs.times)}, {first} of {_span(times_s)}: cut "
                    "all files alike"
                )
        return times_s

    def _resampled(self, times_s):
        """The times after resampling."""
        sfreq_hz = self.info["sfreq"]
        if self.resample_hz is None:
            return times_s
        if self.resample_hz > sfreq_hz:
            raise ValueError(
                f"preprocess.method.resample_hz={self.resample_hz:g} is above the rate of the "
                f"epochs, {sfreq_hz:g} Hz: choose a lower one, or null to keep it"
            )
        n_times = round(len(times_s) * self.resample_hz / sfreq_hz)
        return times_s[0] + np.arange(n_times) / self.resample_hz

    def _read(self, path, rows):
        epochs = open_epochs(path)[rows].load_data()
        epochs.pick(self.names, verbose="ERROR").reorder_channels(self.names)
        if self.resample_hz is not None:
            epochs.resample(self.resample_hz, verbose="ERROR")
        data = epochs.get_data(copy=False)[..., self.kept]
        if not np.isfinite(data).all():
            bad = int((~np.isfinite(data)).any(axis=(0, 2)).sum())
            raise ValueError(
                f"{path} holds values that are not finite in {bad} of {len(self.names)} channels: "
                "leave them out by preprocess.method.picks, or write the file anew"
            )
        return sensors.scaled(sensors.less_baseline(data, self.baseline), self.kinds)


def _within(times_s, tmin_s, tmax_s):
    """Which times lie between two others; None: the edge."""
    first, last = times_s[[0, -1]]
    half = 0.5 * (times_s[1] - times_s[0]) if len(times_s) > 1 else 0.0
    start, end = first if tmin_s is None else tmin_s, last if tmax_s is None else tmax_s
    if start < first - half or end > last + half or start > end:
        raise ValueError(
            f"preprocess.method.tmin_s={tmin_s} and tmax_s={tmax_s} are not within the stored "
            f"epochs, {first:g} to {last:g} s: choose times inside them, or null for the edge"
        )
    return (times_s >= start - 1e-9) & (times_s <= end + 1e-9)


def _span(times_s):
    return f"{times_s[0]:g} to {times_s[-1]:g} s in {len(times_s)} samples"
