"""What controls are told instead of the brain's answer: nuisance, a category, a mean, noise."""

from dataclasses import asdict, dataclass

import numpy as np

from neurodecode.core.lazy import Lazy, slices

NOT_NUISANCE = ("trial_id", "run")  # columns of nuisance.tsv that only say which trial it is


@dataclass(frozen=True)
class Nuisance:
    """Motion, global signal, order, eyes … of one subject's trials, as features of a decoder.

    Parameters
    ----------
    columns : list of str
        Of nuisance.tsv: those that are known and vary in the training rows.
    mean, std : list of float
        Over the training rows.
    """

    columns: list[str]
    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, inputs, subject, trials):
        """Choose and scale the columns by training rows."""
        table = _nuisance_table(inputs, subject, trials)
        numbers = table.drop(columns=[c for c in NOT_NUISANCE if c in table])
        numbers = numbers.select_dtypes("number").astype(float)
        known = [c for c in numbers if np.isfinite(numbers[c]).all() and np.ptp(numbers[c]) > 0]
        values = numbers[known].to_numpy()
        return cls(known, values.mean(axis=0).tolist(), values.std(axis=0).tolist())

    def features(self, inputs, subject, trials):
        """Return the standardised columns and their squares, (n_trials, 2 n_columns).

        What is missing in other rows counts as the mean.
        """
        table = _nuisance_table(inputs, subject, trials)
        values = (table[self.columns].to_numpy(float) - self.mean) / np.array(self.std)
        values = np.nan_to_num(values)
        return np.hstack([values, values**2 - 1]).astype(np.float32)


def _nuisance_table(inputs, subject, trials):
    table = inputs.table("preprocess", "nuisance.tsv", subject).set_index("trial_id")
    return table.loc[trials["trial_id"]].reset_index()


@dataclass(frozen=True)
class Told:
    """What the decoders that read no brain are told of a trial instead.

    Parameters
    ----------
    inputs : View
    nuisance : dict of str to Nuisance
        Of each subject.
    category : Series
        Category by stimulus id, as embed tells it.
    categories : list of str
        Those of the training stimuli.
    """

    inputs: object
    nuisance: dict
    category: object
    categories: list[str]

    @classmethod
    def of(cls, inputs, trials, stimuli, seen):
        """Look at the training trials {subject: trials} of the stimuli numbered `seen`."""
        category = categories_of(inputs)
        nuisance = {s: Nuisance.of(inputs, s, own) for s, own in trials.items()}
        return cls(inputs, nuisance, category, sorted(set(category.loc[stimuli[seen]])))

    @classmethod
    def again(cls, inputs):
        """What train was told, for new trials."""
        made = inputs.json("train", "controls.json")
        nuisance = {s: Nuisance(**of) for s, of in made["nuisance"].items()}
        return cls(inputs, nuisance, categories_of(inputs), made["categories"])

    def settings(self):
        """What `again` needs."""
        nuisance = {s: asdict(n) for s, n in self.nuisance.items()}
        return {"categories": self.categories, "nuisance": nuisance}

    def read(self, name, subject, trials):
        """What a control reads of trials, float32 (n_trials, n_features)."""
        if name == "nuisance_only":
            return self.nuisance[subject].features(self.inputs, subject, trials)
        return one_hot(self.category.loc[trials["stimulus_id"]], self.categories)


def categories_of(inputs):
    """The category of every stimulus, as embed tells it: a Series by stimulus id."""
    table = inputs.table("embed", "categories.tsv")
    return table.set_index("stimulus_id")["category"].astype(str)


def control_answers(fitted):
    """Return ``{name: answers}`` of the controls that are fitted, from their arrays."""
    from neurodecode.models.answers import below, ridge_answers

    return {
        "nuisance_only": ridge_answers(below(fitted, "nuisance_only/")),
        "category_oracle": category_answers(below(fitted, "category_oracle/")),
    }


def one_hot(categories, names):
    """Tell categories as rows of an identity matrix, float32; unknown ones are all zeros."""
    return (np.asarray(categories)[:, None] == np.asarray(names)[None]).astype(np.float32)


def category_means(categories, names, tables):
    """Average each table (n_stimuli, ...) over the stimuli of each category: (n_names, ...)."""
    weights = one_hot(categories, names)
    weights /= weights.sum(axis=0)
    return {name: _weighted_sums(weights, table) for name, table in tables.items()}


def _weighted_sums(weights, table):
    if not isinstance(table, Lazy):
        return np.tensordot(weights.T, table, axes=1)
    return sum(np.tensordot(weights[part].T, table[part], axes=1) for part in slices(table))


def category_answers(means):
    """Return the decoder that is told the category: answers (one-hot rows, subject) -> arrays.

    A category that training never saw gets the mean over categories.
    """

    def answers(told, subject):
        unknown = told.sum(axis=1, keepdims=True) == 0
        weights = np.where(unknown, 1 / told.shape[1], told).astype(np.float32)
        return {name: np.tensordot(weights, mean, axes=1) for name, mean in means.items()}

    return answers


def matched_noise(responses, rng):
    """Draw Gaussian noise with the mean and the covariance of `responses` (n_rows, ...).

    Each row is a random mixture of all centred rows: exact without a covariance of all channels.
    """
    mean = responses.mean(axis=0)
    mixture = rng.standard_normal((len(responses), len(responses))) / np.sqrt(len(responses) - 1)
    drawn = mean + np.tensordot(mixture, responses - mean, axes=1)
    return drawn.astype(responses.dtype)


def other_stimulus(stimulus_id, rng):
    """A row of another stimulus for every row; each row is used once.

    Rows are sorted by stimulus, in random order, and shifted by as many rows as the most frequent
    stimulus has: nobody keeps its own.
    """
    names, stimulus = np.unique(np.asarray(stimulus_id, str), return_inverse=True)
    most = np.bincount(stimulus).max()
    if 2 * most > len(stimulus):
        raise ValueError(
            f"of {len(stimulus)} test rows {most} show the same stimulus: the brain cannot be "
            "shuffled across stimuli; test more stimuli"
        )
    order = np.argsort(rng.permutation(len(names))[stimulus], kind="stable")
    other = np.empty(len(order), np.int64)
    other[order] = np.roll(order, -most)
    return other


def other_of_category(stimulus_id, categories, rng):
    """A row of another stimulus of the same category for every row.

    Returns
    -------
    other : ndarray of int, shape (n_rows,)
    alone : int
        Rows of categories that cannot be shuffled, since one stimulus has more than half of their
        rows: they take a row of any other stimulus, and so lose their category too.
    """
    stimulus_id, alone = np.asarray(stimulus_id, str), 0
    other = other_stimulus(stimulus_id, rng)
    for name in np.unique(categories):
        rows = np.flatnonzero(categories == name)
        most = np.unique(stimulus_id[rows], return_counts=True)[1].max()
        if 2 * most > len(rows):
            alone += len(rows)
        else:
            other[rows] = rows[other_stimulus(stimulus_id[rows], rng)]
    return other, alone
