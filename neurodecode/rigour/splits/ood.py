"""Hold out what is unlike training: stimuli of a named kind, or the farthest from all others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurodecode.core.ranges import PartShare
from neurodecode.rigour.splits.by_stimulus import check_choices, check_sides, with_val
from neurodecode.rigour.splits.distance import check_embeddings, kernel_width, mean_kernel
from neurodecode.rigour.splits.ties import check_untied, count_groups, take_groups, tied_groups


@dataclass(frozen=True)
class OutOfDistributionSplit:
    """Test on stimuli unlike those of training.

    Parameters
    ----------
    column : str or None
        Column of stimuli.tsv that tells what is out of distribution; None: the stimuli of least
        mean kernel (Gaussian, median distance wide) with all stimuli of the study.
    values : tuple of str
        Values of that column that are tested, all of them.
    test_fraction : float
        Share of each subject's stimuli that is tested where no column is named.
    val_fraction, ties, class_column
        As in `StimulusSplit`; val is drawn from what is not tested, and so resembles training.
    """

    holds_out: ClassVar[str] = "stimuli"

    column: str | None = None
    values: tuple[str, ...] = ("ood",)
    test_fraction: PartShare = 0.1
    val_fraction: PartShare = 0.1
    ties: tuple[str, ...] = ("stimulus_id",)
    class_column: str | None = None

    @property
    def reads(self):
        """What the rule reads beside the tables: embeddings, unless a column names the stimuli."""
        return "embeddings" if self.column is None else ""

    def __call__(self, trials, stimuli, rng, embeddings=None):
        """Label every trial; `embeddings` (n_stimuli, dim) are in the order of `stimuli`."""
        ties = tuple(self.ties)
        check_choices(trials, stimuli, self.test_fraction, self.val_fraction, ties)
        group = tied_groups(trials, ties)
        if self.column is None:
            embeddings = check_embeddings(embeddings, stimuli, "OutOfDistributionSplit")
            test = farthest(trials, stimuli, group, embeddings, self.test_fraction, ties)
        else:
            test = of_values(trials, stimuli, self.column, self.values)
            check_untied(trials, group, test, ties, "out-of-distribution")
        labels = with_val(trials, group, test, self.val_fraction, ties, rng)
        check_sides(trials, labels, self.val_fraction, self.class_column)
        return labels


def of_values(trials, stimuli, column, values):
    """Tell the trials whose stimulus has one of the values: ndarray of bool, shape (n_trials,)."""
    if column not in stimuli:
        raise ValueError(f"{column!r} is not a column of stimuli.tsv {list(stimuli.columns)}")
    own = stimuli.set_index("stimulus_id")[column].astype(str)
    unknown = sorted(set(values) - set(own))
    if unknown:
        some = sorted(set(own))[:8]
        raise ValueError(f"no stimulus has {column} {unknown[0]!r}: there are {some}")
    return trials["stimulus_id"].map(own).isin(list(values)).to_numpy()


def farthest(trials, stimuli, group, embeddings, fraction, ties):
    """Take groups of trials whose stimuli lie farthest from all others; mask over trials."""
    nearness = dict(zip(stimuli["stimulus_id"], mean_nearness(embeddings), strict=True))
    counts = count_groups(trials, group)
    mean = trials["stimulus_id"].map(nearness).groupby(group).mean()
    order = np.argsort(mean[counts.index].to_numpy(), kind="stable")
    return np.isin(group, take_groups(counts, order, fraction, "test", ties))


def mean_nearness(embeddings):
    """Return each stimulus' mean kernel with all of them: high in the crowd, low at the rim."""
    return mean_kernel(embeddings, embeddings, kernel_width(embeddings))
