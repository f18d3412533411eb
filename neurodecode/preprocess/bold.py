"""fMRI: a linear model of each run, with one response per trial.

A run is masked, expressed in percent of its mean, and modelled by its trials beside drifts,
confounds and intercept.
"""

from typing import Literal

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import NotNegative, Positive
from neurodecode.core.views import read_table
from neurodecode.data.readers import bold as reader
from neurodecode.preprocess.base import RunResponses
from neurodecode.signal.confounds import MOTION, choose_confounds, framewise_displacement
from neurodecode.signal.glm import nuisance_matrix, percent_change, zscore
from neurodecode.signal.hrf import trial_regressors
from neurodecode.signal.quality import average_over_trials, tsnr

STANDARDISE = {"percent": percent_change, "zscore": zscore, "none": lambda bold: bold}
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
        Terms of `neurodecode.signal.confounds.choose_confounds`.
    standardise : str
        Unit of the signal in each run: percent, zscore or none.
    smoothing_fwhm_mm : float or None
    """

    channels = "voxels"

    def __init__(
        self,
        files,
        estimator: dict,
        hrf: Literal["glover", "spm"] = "glover",
        high_pass_hz: NotNegative = 0.0078,
        confounds: list[str] | None = None,
        standardise: Literal["percent", "zscore", "none"] = "percent",
        smoothing_fwhm_mm: Positive | None = None,
    ):
        self.files, self.estimator, self.hrf = files, estimator, hrf
        self.high_pass_hz, self.standardise = high_pass_hz, standardise
        self.confounds = ["motion6"] if confounds is None else confounds
        self.smoothing_fwhm_mm = smoothing_fwhm_mm
        self.mask = _mask(files)
        self.shape = (int((np.asarray(self.mask.dataobj) > 0).sum()),)

    def run(self, name, trials):
        """Estimate the responses of one run's trials, (n_trials, n_voxels)."""
        bold, confounds, times_s = self._read(self.files[self.files["run"] == name])
        return RunResponses(
            self._betas(bold, confounds, times_s, trials),
            _nuisance(trials, bold, confounds, times_s),
            {"tsnr": tsnr(bold)},
        )

    def space(self):
        """The mask, where its voxels lie, and which of them the regions hold."""
        described = {"positions_mm.npy": reader.positions_mm(self.mask), "mask.nii.gz": self.mask}
        regions = self.files[self.files["kind"] == "roi"].drop_duplicates("name")
        return described | ({"rois.tsv": _regions(regions, self.mask)} if len(regions) else {})

    def quality(self, runs):
        """tSNR: the median over voxels of the mean over runs."""
        return {"tsnr": float(np.median(np.mean([r["tsnr"] for r in runs], axis=0)))}

    def _read(self, files):
        """Return the signal of one run, its confounds table (or None) and its volumes' times."""
        by_kind = files.set_index("kind")
        about = by_kind.loc["signal"]
        bold = reader.read_run(about["file"], self.mask, self.smoothing_fwhm_mm)
        times_s = about["start_s"] + about["tr_s"] * np.arange(len(bold))
        if "confounds" not in by_kind.index:
            return bold, None, times_s
        path = by_kind.loc["confounds", "file"]
        confounds = read_table(path)
        if len(confounds) != len(bold):
            raise ValueError(
                f"{path} has {len(confounds)} rows, the run {len(bold)} volumes: they are of "
                "different versions of the run"
            )
        return bold, confounds, times_s

    def _betas(self, bold, confounds, times_s, trials):
        regressors = trial_regressors(trials["onset_s"], trials["duration_s"], times_s, self.hrf)
        chosen = self._chosen(confounds)
        nuisance = nuisance_matrix(len(bold), times_s[1] - times_s[0], self.high_pass_hz, chosen)
        signal = STANDARDISE[self.standardise](bold)
        return build(self.estimator, bold=signal, regressors=regressors, nuisance=nuisance)

    def _chosen(self, confounds):
        if self.confounds and confounds is None:
            raise ValueError(
                "there is no confounds table: set preprocess.method.confounds=[], or name the "
                "tables in recipe.confounds"
            )
        return choose_confounds(confounds, self.confounds) if self.confounds else None


def _mask(files):
    """Read the mask all runs share; make one from the first run where the study has none."""
    paths = list(dict.fromkeys(files.loc[files["kind"] == "mask", "file"]))
    if paths:
        return reader.read_mask(paths)
    return reader.guess_mask(files.loc[files["kind"] == "signal", "file"].iloc[0])


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


def _regions(regions, mask):
    """List the channels of each region, from its mask in the first run that has one."""
    import pandas as pd

    inside = {r.name: reader.region_channels(r.file, mask) for r in regions.itertuples()}
    parts = [pd.DataFrame({"channel": c, "roi": name}) for name, c in inside.items()]
    return pd.concat(parts, ignore_index=True)
