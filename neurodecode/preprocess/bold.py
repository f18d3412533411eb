"""fMRI: a linear model of each run, with one response per trial.

A run is read on the grid of its format (voxels of a mask, vertices, grayordinates), expressed in
percent of its mean, and modelled by its trials beside drifts, confounds and intercept.
"""

from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import NotNegative, Positive
from neurodecode.core.views import read_table
from neurodecode.data.readers import reader_of
from neurodecode.data.readers.confounds import load_strategy
from neurodecode.data.readers.surface import paths_of
from neurodecode.preprocess.base import RunResponses
from neurodecode.signal.confounds import MOTION, choose_confounds, framewise_displacement
from neurodecode.signal.glm import nuisance_matrix, percent_change, zscore
from neurodecode.signal.hrf import trial_regressors
from neurodecode.signal.quality import average_over_trials, tsnr

STANDARDISE = {"percent": percent_change, "zscore": zscore, "none": lambda bold: bold}
STRATEGY = "nilearn:"  # before the name of one of nilearn's confound strategies
RESPONSE_S = 8.0  # a trial's nuisance is averaged from its onset to this long after its end


class SingleTrials:
    """Single-trial betas of BOLD runs; see `neurodecode.preprocess.base.Recording`.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind name file tr_s start_s.
    estimator : dict
        `_target_` of the linear model, such as `neurodecode.signal.glm.lsa`.
    hrf : str
        Canonical hemodynamic response: glover or spm.
    high_pass_hz : float
        Slower drifts are modelled; 0: only the mean.
    confounds : list of str
        Terms of `neurodecode.signal.confounds.choose_confounds`, or ``nilearn:simple`` and others
        of `neurodecode.data.readers.confounds.load_strategy`.
    confound_options : dict or None
        Further arguments of nilearn's loader, such as {fd_threshold: 0.3}.
    standardise : str
        Unit of the signal in each run: percent, zscore or none.
    smoothing_fwhm_mm : float or None
        Of volumes only.
    """

    def __init__(
        self,
        files,
        estimator: dict,
        hrf: Literal["glover", "spm"] = "glover",
        high_pass_hz: NotNegative = 0.0078,
        confounds: list[str] | None = None,
        confound_options: dict | None = None,
        standardise: Literal["percent", "zscore", "none"] = "percent",
        smoothing_fwhm_mm: Positive | None = None,
    ):
        self.files, self.estimator, self.hrf = files, estimator, hrf
        self.high_pass_hz, self.standardise = high_pass_hz, standardise
        self.confounds = ["motion6"] if confounds is None else confounds
        self.confound_options = confound_options or {}
        if self.confound_options and not self._strategies():
            raise ValueError(
                f"confound_options={self.confound_options} are of nilearn's loader, and confounds="
                f"{self.confounds} names no strategy of it, such as nilearn:scrubbing"
            )
        first = files.loc[files["kind"] == "signal", "file"].iloc[0]
        self.grid = reader_of(first).open_grid(files, smoothing_fwhm_mm)
        self.channels, self.shape = self.grid.channels, (self.grid.n_channels,)

    def run(self, name, trials):
        """Estimate the responses of one run's trials, (n_trials, n_voxels)."""
        files = self.files[self.files["run"] == name]
        paths = paths_of(files[files["kind"] == "signal"])
        bold, confounds, times_s = self._read(files, paths)
        chosen, n_scrubbed = self._chosen(confounds, paths)
        quality = {"tsnr": tsnr(bold)} | ({"scrubbed": n_scrubbed} if self._strategies() else {})
        betas = self._betas(bold, chosen, times_s, trials)
        return RunResponses(betas, _nuisance(trials, bold, confounds, times_s), quality)

    def space(self):
        """Where the channels lie, and which of them the regions hold."""
        regions = self.files[self.files["kind"] == "roi"].drop_duplicates("name")
        return self.grid.space() | ({"rois.tsv": self._regions(regions)} if len(regions) else {})

    def quality(self, runs):
        """tSNR: the median over channels of the mean over runs; and volumes scrubbed, if any is."""
        found = {"tsnr": float(np.median(np.mean([r["tsnr"] for r in runs], axis=0)))}
        scrubbed = [r["scrubbed"] for r in runs if "scrubbed" in r]
        return found | ({"n_scrubbed_volumes": sum(scrubbed)} if scrubbed else {})

    def _read(self, files, paths):
        """Return the signal of one run, its confounds table (or None) and its volumes' times."""
        by_kind = files.drop_duplicates("kind").set_index("kind")
        about, bold = by_kind.loc["signal"], self.grid.read(paths)
        times_s = about["start_s"] + about["tr_s"] * np.arange(len(bold))
        if "confounds" not in by_kind.index:
            return bold, None, times_s
        path = by_kind.loc["confounds", "file"]
        confounds = read_table(path)
        if len(confounds) != len(bold):
            raise ValueError(
                f"{path} has {len(confounds)} rows, the run {len(bold)} volumes: they are of "
                "different versions of the run; name those of this one in recipe.confounds"
            )
        return bold, confounds, times_s

    def _betas(self, bold, confounds, times_s, trials):
        regressors = trial_regressors(trials["onset_s"], trials["duration_s"], times_s, self.hrf)
        tr_s = times_s[1] - times_s[0]
        nuisance = nuisance_matrix(len(bold), tr_s, self.high_pass_hz, confounds)
        signal = STANDARDISE[self.standardise](bold)
        return build(self.estimator, bold=signal, regressors=regressors, nuisance=nuisance)

    def _strategies(self):
        return [t.removeprefix(STRATEGY) for t in self.confounds if t.startswith(STRATEGY)]

    def _chosen(self, confounds, paths):
        """Gather the confounds of a run, (n_volumes, n_confounds) or None, and count the spikes."""
        if not self.confounds:
            return None, 0
        if confounds is None:
            raise ValueError(
                "there is no confounds table: set preprocess.method.confounds=[], or name the "
                "tables in recipe.confounds"
            )
        terms = [t for t in self.confounds if not t.startswith(STRATEGY)]
        files, options = list(paths.values()), self.confound_options
        loaded = [load_strategy(files, s, options) for s in self._strategies()]
        parts = [choose_confounds(confounds, terms), *(values for values, _ in loaded)]
        return np.hstack(parts), max((n for _, n in loaded), default=0)

    def _regions(self, regions):
        """List the channels of each region, from its files in the first run that has them."""
        import pandas as pd

        parts = []
        for row in regions.itertuples():
            name, _, hemisphere = row.name.partition("/")
            channels = self.grid.region(row.file, hemisphere)
            parts.append(pd.DataFrame({"channel": channels, "roi": name}))
        return pd.concat(parts, ignore_index=True)


def _nuisance(trials, bold, confounds, times_s):
    """Average what else could tell trials apart: a decoder must beat it."""
    series = {"global_signal": bold.mean(axis=1, dtype=float)}
    if confounds is not None:
        series["framewise_displacement"] = framewise_displacement(confounds)
        series |= {m: confounds[m].to_numpy(float) for m in MOTION if m in confounds}
    ends_s = trials["onset_s"] + trials["duration_s"] + RESPONSE_S
    means = average_over_trials(
        np.column_stack(list(series.values())), times_s, trials["onset_s"], ends_s
    )
    return dict(zip(series, means.T, strict=True))
