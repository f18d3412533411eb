"""Split halves: odd and even repeats of a test stimulus, decoded and painted apart.

What two halves have in common comes from the brain, if nothing else is common to them. All halves
of all stimuli therefore get the same noise (`NOISE` names it): with noise of its own, a row's two
halves would be found in each other by their noise alone. The halves are no conditions: they stand
in no list of conditions, and no score, comparison or verdict reads them.
"""

import numpy as np

HALVES = ("half_1", "half_2")
ROWS = "halves.tsv"  # of predict: which trials each half averages
NOISE = "halves"  # what their noise is called in samples.tsv


def which_half(trials):
    """Deal the trials of each stimulus to two halves by turns, in their order.

    Parameters
    ----------
    trials : DataFrame
        With ``stimulus_id``, in the order in which they were recorded.

    Returns
    -------
    half : ndarray of int, shape (n_trials,)
        0 or 1; -1 for the only trial of a stimulus. Of an odd number the first half has one more.
    """
    by = trials.groupby("stimulus_id")["stimulus_id"]
    alone = by.transform("size").to_numpy() < 2
    return np.where(alone, -1, by.cumcount().to_numpy() % 2)


def both_rows(rows):
    """One table of the two halves' rows: row_id stimulus_id, n_repeats and trial_ids of each."""
    first, second = rows
    shared = first[["row_id", "stimulus_id"]]
    numbered = [
        one[["n_repeats", "trial_ids"]].add_suffix(f"_{k}") for k, one in enumerate(rows, 1)
    ]
    if first["row_id"].tolist() != second["row_id"].tolist():
        raise ValueError("the two halves are of different stimuli")
    return shared.join(numbered)


def noise_names(samples):
    """What each sample's noise is called: its row's id, or what a column ``noise`` says."""
    return samples["noise"] if "noise" in samples else samples["row_id"]


def acts_as(condition):
    """The condition that a half is treated like: the model's."""
    return "model" if condition in HALVES else condition


def there(inputs):
    """The halves that predict wrote, if any."""
    return HALVES if ROWS in inputs.files("predict") else ()


def captions_of(condition):
    """The file of predict in which a condition's captions stand: the halves have their own."""
    return "half_captions.tsv" if condition in HALVES else "captions.tsv"
