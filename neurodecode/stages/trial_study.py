"""What stage classify reads: trials with a class, cut into pieces, and their responses."""

from dataclasses import dataclass

import numpy as np

from neurodecode.core.errors import UserError
from neurodecode.rigour.trial_folds import Pieces, deal_units, label_units
from neurodecode.stages.align import times_of

MISSING = ("", "n/a", "nan", "None")


@dataclass(frozen=True)
class TrialStudy:
    """Trials of all subjects, one after the other, and what may be read of them.

    Parameters
    ----------
    table : DataFrame
        ``subject trial_id stimulus_id run`` (with its session) of every trial.
    labels : ndarray of int, shape (n_trials,)
    classes : list of str
        Names, in the order of their scale where they are numbers.
    responses : dict of str to ndarray
        Subject -> (n_trials, n_channels, n_times).
    nuisance : dict of str to ndarray
        Subject -> (n_trials, n_columns, 1).
    pieces : Pieces
    sfreq_hz : float
        NaN where responses have no time axis.
    """

    table: object
    labels: np.ndarray
    classes: list
    responses: dict
    nuisance: dict
    pieces: Pieces
    sfreq_hz: float

    @property
    def subjects(self):
        """Subjects in order."""
        return list(self.responses)

    def groups(self, by):
        """The group of each trial: its subject, or that with the run or the stimulus."""
        subject = self.table["subject"].to_numpy(str)
        if by == "subject":
            return subject
        own = self.table[{"run": "run", "stimulus": "stimulus_id"}[by]].to_numpy(str)
        return np.char.add(np.char.add(subject, " "), own)

    def dealt(self, n_draws, rng):
        """Labels dealt anew, keeping together what carries a class as one: (n_draws, n_trials)."""
        columns = [self.table[c].to_numpy(str) for c in ("stimulus_id", "subject", "run")]
        return deal_units(self.labels, *label_units(self.labels, *columns), n_draws, rng)

    def take(self, pieces, of="responses"):
        """Read pieces: float32, (n_pieces, n_channels, n_samples); nuisance has one sample."""
        sources, trial = getattr(self, of), self.pieces.trial[pieces]
        subject = self.table["subject"].to_numpy(str)[trial]
        first = {s: np.flatnonzero(self.table["subject"].to_numpy(str) == s)[0] for s in sources}
        made = None
        for name in dict.fromkeys(subject):
            rows = np.flatnonzero(subject == name)
            x, own = sources[name], trial[rows] - first[name]
            if of == "responses":
                view = np.lib.stride_tricks.sliding_window_view(x, self.pieces.n_samples, axis=2)
                cut = view[own, :, self.pieces.start[pieces][rows]]
            else:
                cut = x[own]
            if made is None:
                made = np.empty((len(pieces), *cut.shape[1:]), np.float32)
            made[rows] = cut
        return made


def read_study(inputs, label, window_s=None, step_s=None):
    """Read the trials of all subjects that have a class, whatever side of the split they are on.

    Parameters
    ----------
    inputs : View
        Of a stage that may open test rows; it must fit and choose within its own folds.
    label : str
        Column of the trials or of the stimuli with the class; "" or ``stimulus_id``: the stimulus.
    window_s, step_s : float, optional
        Length and distance of the windows a trial is cut into; None: whole trials, and windows
        that touch one another.

    Raises
    ------
    UserError
        Where there is no such column, or less than two classes.
    """
    import pandas as pd

    responses, nuisance, tables, named = {}, {}, [], []
    for subject in inputs.members("preprocess"):
        x, trials = inputs.responses(subject, rows="train+val+test")
        own = class_of(inputs, trials, label)
        known = ~np.isin(own, MISSING)
        if not known.any():
            raise UserError(
                f"classify.label={label}: {subject} has no trial with a class; leave it out "
                "(subjects=…)"
            )
        x = x if x.ndim == 3 else x[:, :, None]
        responses[subject], trials = x[known], trials[known].reset_index(drop=True)
        nuisance[subject] = _nuisance(inputs, subject, trials)
        run = (trials["session"].astype(str) + "_" + trials["run"].astype(str)).str.strip("_")
        about = trials[["trial_id", "stimulus_id"]].assign(subject=subject, run=run)
        tables.append(about)
        named.append(own[known])
    names = np.concatenate(named)
    classes = in_order(np.unique(names))
    if len(classes) < 2:
        raise UserError(
            f"classify.label={label}: all trials are of the class {', '.join(classes) or 'none'}; "
            "choose a column with two classes or more"
        )
    windows, sfreq_hz = _windows(inputs, responses, window_s, step_s)
    table = pd.concat(tables, ignore_index=True)
    labels = np.array([classes.index(name) for name in names])
    pieces = Pieces.of(len(labels), *windows)
    return TrialStudy(table, labels, classes, responses, nuisance, pieces, sfreq_hz)


def class_of(inputs, trials, label):
    """The name of each trial's class: of a column of the trials, or of the stimuli."""
    label = label or "stimulus_id"
    if label in trials:
        return trials[label].astype(str).to_numpy(str)
    stimuli = inputs.table("index", "stimuli.tsv")
    if label not in stimuli:
        raise UserError(
            f"classify.label={label}: neither the trials ({', '.join(trials.columns)}) nor the "
            f"stimuli ({', '.join(stimuli.columns)}) have such a column"
        )
    by_id = stimuli.set_index("stimulus_id")[label].astype(str)
    return trials["stimulus_id"].map(by_id).fillna("").to_numpy(str)


def in_order(names):
    """Class names by their number where all are numbers, else by the alphabet."""
    try:
        return sorted(map(str, names), key=float)
    except ValueError:
        return sorted(map(str, names))


def _windows(inputs, responses, window_s, step_s):
    """First samples and length of the pieces, and the sampling rate."""
    from neurodecode.models.over_time import sliding_windows

    times = {s: times_of(inputs, s) for s in responses}
    lengths = {s: x.shape[2] for s, x in responses.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"trials differ in length between subjects ({lengths} samples): give all the same "
            "window and rate in preprocess.method"
        )
    subject, n_times = next(iter(lengths.items()))
    times_s = times[subject]
    if times_s is None or n_times < 2:
        if window_s is not None:
            raise ValueError(
                "classify.window_s cuts trials along time, and these responses have no time axis: "
                "set it to null"
            )
        return ([0], n_times), float("nan")
    sfreq_hz = float((n_times - 1) / (times_s[-1] - times_s[0]))
    if window_s is None:
        return ([0], n_times), sfreq_hz
    laid = sliding_windows(times_s, window_s, step_s or window_s, where="classify")
    return (laid.starts, laid.n_samples), sfreq_hz


def _nuisance(inputs, subject, trials):
    """What else could tell trials apart: (n_trials, n_columns, 1)."""
    found = inputs.table("preprocess", "nuisance.tsv", subject).set_index("trial_id")
    numbers = found.loc[trials["trial_id"]].select_dtypes("number")
    return np.nan_to_num(numbers.to_numpy(np.float32))[:, :, None]
