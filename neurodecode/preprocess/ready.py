"""Responses that are there already: read row by row, checked, and nothing estimated.

A layout says in the column ``responses_row`` of its events which row a trial is, from 0: of its
run's file, or of the one file that holds all runs.
"""

import hashlib
from typing import Literal

import numpy as np

from neurodecode.core.claims import check_npy
from neurodecode.core.views import read_table
from neurodecode.data.layouts.folder import ROW, WHOLE
from neurodecode.data.readers import bold
from neurodecode.data.readers.responses import open_responses
from neurodecode.preprocess.base import RunResponses
from neurodecode.signal.by_run import zscore_by_run


class Ready:
    """Rows of ``.npy`` files; see `neurodecode.preprocess.base.Recording`.

    Parameters
    ----------
    files : DataFrame
        Of one subject: run kind name file.
    standardise : str
        none, or zscore: each channel, at each time, to mean 0 and variance 1 over the trials of a
        run, whatever they show. It takes away what differs between runs; fair where every run
        shows about the same mixture of stimuli.
    window_s : list of float or None
        First and last time kept, in s from the onset, both included; None: all.
    """

    def __init__(
        self,
        files,
        standardise: Literal["none", "zscore"] = "none",
        window_s: list[float] | None = None,
    ):
        own = dict(zip(files["kind"], files["file"], strict=True))
        signals = files[files["kind"] == "signal"]
        self.paths = dict(zip(signals["run"], signals["file"], strict=True))
        n_channels, *axis = _one_shape(self.paths.values())
        times_s = _times(own.get("times"), own["signal"], tuple(axis))
        self.standardise = standardise
        self.inside = _inside(window_s, times_s)
        self.described = _described(own, n_channels)
        if times_s is not None:
            self.described["times_s.npy"] = times_s[self.inside]
        self.shape = (n_channels, *([] if times_s is None else [int(self.inside.sum())]))
        known = {"mask": "voxels", "sensors": "sensors"}
        self.channels = next((known[kind] for kind in known if kind in own), "channels")

    def run(self, name, trials):
        """Read the rows of one run's trials, float32."""
        path = self.paths.get(name) or self.paths[WHOLE]
        rows = _rows(trials)
        values = open_responses(path)[rows]
        values = values if self.inside is None else values[:, :, self.inside]
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
            values = np.array(values, np.float32)
        _check(path, values, rows)
        nuisance = {"mean_response": values.reshape(len(values), -1).mean(axis=1, dtype=float)}
        if self.standardise == "zscore":
            values = zscore_by_run(values, np.zeros(len(values)))
        return RunResponses(values, nuisance)

    def space(self):
        """Mask, positions, times and sensors, as far as the folder has them."""
        return self.described

    def quality(self, runs):
        """Nothing is known of how the responses were made."""
        return {}


def _one_shape(paths):
    """The shape of a response, the same in all files of a subject."""
    shapes = {path: open_responses(path).shape[1:] for path in paths}
    first, *others = shapes.items()
    for path, shape in others:
        if shape != first[1]:
            raise ValueError(
                f"{path} has responses of shape {shape}, {first[0]} of {first[1]}: a subject has "
                "the same channels and times in all runs"
            )
    return first[1]


def _rows(trials):
    if ROW not in trials:
        raise ValueError(
            f"the layout of the study gives no column {ROW}: responses that are there already "
            "need it, as in recipe=folder"
        )
    return trials[ROW].to_numpy()


def _check(path, values, rows):
    """Refuse values that are not finite, and rows that are the same to the last bit."""
    flat = values.reshape(len(values), -1)
    bad = ~np.isfinite(values)
    if bad.any():
        row, channel = np.argwhere(bad)[0][:2]
        n_channels = len(np.unique(np.nonzero(bad)[1]))
        raise ValueError(
            f"{path} holds {int(bad.sum())} values of {bad.size} that are not finite, in "
            f"{n_channels} channels; the first is in row {rows[row]}, channel {channel}: leave "
            "these channels out, or set them to 0 in all trials (a channel that never varies "
            "is not used)"
        )
    seen = {}
    for row, value in zip(rows, flat, strict=True):
        other = seen.setdefault(hashlib.sha256(value).digest(), row)
        if other != row:
            raise ValueError(
                f"{path}: rows {other} and {row} are the same to the last bit: a trial "
                "was written twice, or missing ones were filled in; take them out, and their "
                "lines of trials.tsv"
            )


def _times(path, signal, axis):
    """The times of the last axis, (n_times,) in s; None where there is none."""
    if not axis:
        return None
    if path is None:
        raise ValueError(
            f"{signal} has {axis[0]} times, and no times_s.npy beside it says when they are: write "
            "one, (n_times,), in s from the onset"
        )
    times_s = _read_numbers(path)
    if times_s.shape != axis or not (np.diff(times_s) > 0).all():
        raise ValueError(
            f"{path} has shape {times_s.shape}: it must hold {axis[0]} increasing times, in s from "
            f"the onset, as {signal} has"
        )
    return times_s


def _inside(window_s, times_s):
    """Which times are kept; None where there are none."""
    if window_s is None:
        return None if times_s is None else np.ones(len(times_s), bool)
    if times_s is None:
        raise ValueError(
            f"preprocess.method.window_s is {window_s}, but responses have no time axis: null"
        )
    if len(window_s) != 2 or not window_s[0] <= window_s[1]:
        raise ValueError(f"preprocess.method.window_s is {window_s}: give [first, last] in s")
    inside = (times_s >= window_s[0] - 1e-9) & (times_s <= window_s[1] + 1e-9)
    if not inside.any():
        raise ValueError(
            f"preprocess.method.window_s={window_s} holds no time: they go from {times_s[0]:g} to "
            f"{times_s[-1]:g} s"
        )
    return inside


def _described(own, n_channels):
    """What the folder says of its channels: file name below ``space/`` -> array, table, image."""
    described = {}
    if "mask" in own:
        mask = bold.read_mask([own["mask"]])
        n_voxels = int(np.asarray(mask.dataobj).sum())
        _same_number(own["mask"], n_voxels, "voxels", n_channels)
        described |= {"mask.nii.gz": mask, "positions_mm.npy": bold.positions_mm(mask)}
    if "positions" in own:
        positions_mm = _read_numbers(own["positions"])
        if positions_mm.ndim != 2 or positions_mm.shape[1] != 3:
            raise ValueError(f"{own['positions']} has shape {positions_mm.shape}: (n_channels, 3)")
        _same_number(own["positions"], len(positions_mm), "positions", n_channels)
        described["positions_mm.npy"] = positions_mm
    if "sensors" in own:
        described["sensors.tsv"] = read_table(own["sensors"])
        _same_number(own["sensors"], len(described["sensors.tsv"]), "sensors", n_channels)
    return described


def _same_number(path, n, what, n_channels):
    if n != n_channels:
        raise ValueError(
            f"{path} has {n} {what}, responses.npy {n_channels} channels: they must correspond"
        )


def _read_numbers(path):
    check_npy(path)
    numbers = np.load(path, allow_pickle=False)
    if numbers.dtype.kind not in "fiu" or not np.isfinite(numbers).all():
        raise ValueError(f"{path} holds what is no finite number: correct it")
    return numbers.astype(np.float32)
