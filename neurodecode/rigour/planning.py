"""How many test pictures, repeats and subjects: what interval, and what power, a study will have.

Retrieval is planned by one number, the separation d: how far a prediction's likeness to its own
picture lies above its likeness to others, in standard deviations of these. The hits of k among m
candidates, their spread and chance follow from it; two-way identification is the best of two. More
repeats raise d as they raise the reliability of the averaged response (Spearman & Brown). Any other
score is planned by its mean and spread, as they are.
"""

from dataclasses import dataclass

import numpy as np

POPULATIONS = ("stimuli", "subjects", "both")
MOST_STIMULI = 100_000


@dataclass(frozen=True)
class Ranked:
    """Hits among the `top` nearest of `candidates` pictures.

    Parameters
    ----------
    score : float
        What was reached, or is hoped for, above chance.
    top, candidates : int
    n_repeats : int
        Repeats averaged for it.
    reliability : float or None
        Correlation of two single trials with the same picture; None: repeats cannot be varied.
    dispersion : float
        Variance of the rows seen in a study, relative to that expected.

    Raises
    ------
    ValueError
        If the score does not lie between chance and 1, or a number makes no sense.
    """

    score: float
    top: int = 1
    candidates: int = 2
    n_repeats: int = 1
    reliability: float | None = None
    dispersion: float = 1.0

    def __post_init__(self):
        if not 1 <= self.top < self.candidates:
            raise ValueError(f"top {self.top} of {self.candidates} candidates: the top are fewer")
        if self.reliability is not None and not 0 < self.reliability < 1:
            raise ValueError(f"reliability={self.reliability}: expected more than 0, less than 1")
        chance = self.top / self.candidates
        if not chance < self.score < 1:
            raise ValueError(
                f"score={self.score:g} of top {self.top} of {self.candidates}: plan for a score "
                f"above chance ({chance:g}) and below 1"
            )

    def expected(self, n_stimuli, n_repeats):
        """Score, chance, and the variance of a row at the score and at chance."""
        m = min(self.candidates, n_stimuli)
        if m <= self.top:
            raise ValueError(f"{n_stimuli} test pictures: top {self.top} needs more than that")
        d = self.separation * self._gain(n_repeats)
        at = [_hits(x, self.top, m, n_stimuli) for x in (d, 0.0)]
        (score, variance), (_, by_chance) = at
        return score, self.top / m, variance * self.dispersion, by_chance

    @property
    def fewest(self):
        """Test pictures that make up the candidates."""
        return self.candidates

    @property
    def separation(self):
        """The d that gives the score."""
        from scipy.optimize import brentq

        gap = lambda d: _hits(d, self.top, self.candidates, self.candidates)[0] - self.score
        return brentq(gap, 0, 40)

    def _gain(self, n_repeats):
        if n_repeats == self.n_repeats:
            return 1.0
        if self.reliability is None:
            raise ValueError(
                f"repeats={n_repeats}, where the score is of {self.n_repeats}: say how far single "
                "trials repeat, reliability=… (a correlation)"
            )
        of = lambda n: n * self.reliability / (1 + (n - 1) * self.reliability)
        return np.sqrt(of(n_repeats) / of(self.n_repeats))


@dataclass(frozen=True)
class Averaged:
    """Any other mean score: its value, its chance and the standard deviation of a row.

    Parameters
    ----------
    score, chance, sd : float
    n_repeats : int
        Repeats averaged for it; they cannot be varied.
    """

    score: float
    chance: float
    sd: float
    n_repeats: int = 1

    fewest = 2

    def expected(self, n_stimuli, n_repeats):
        """As of `Ranked`."""
        if n_repeats != self.n_repeats:
            raise ValueError(
                f"repeats={n_repeats}: how this score grows with repeats is not known, only that "
                f"of {self.n_repeats}; plan a retrieval score, such as metric=top1"
            )
        return self.score, self.chance, self.sd**2, self.sd**2


@dataclass(frozen=True)
class People:
    """How subjects differ.

    Parameters
    ----------
    shared : float
        Share of a row's variance that all subjects have in common (hard and easy pictures).
    sd : float
        Standard deviation of subjects' true scores.
    population : {"stimuli", "subjects", "both"}
        Of whom the interval is to speak: of other stimuli for these subjects, of other subjects for
        these stimuli, or of others of both.
    """

    shared: float = 0.0
    sd: float = 0.0
    population: str = "stimuli"

    def __post_init__(self):
        if self.population not in POPULATIONS:
            raise ValueError(f"population={self.population}: one of {', '.join(POPULATIONS)}")
        if not 0 <= self.shared <= 1 or self.sd < 0:
            raise ValueError("expected shared from 0 to 1 and subject_sd of 0 or more")

    def variance(self, row, n_stimuli, n_subjects):
        """Variance of the mean score over subjects, by subjects and by stimuli in common."""
        private = row * (1 - self.shared) / (n_stimuli * n_subjects)
        common = row * self.shared / n_stimuli
        between = self.sd**2 / n_subjects
        if self.population == "stimuli":
            return 0.0, private + common
        return between + private, common if self.population == "both" else 0.0


def plan(kind, people, n_stimuli, n_repeats, n_subjects, level=0.95, alpha=0.05):
    """Expect the half width of the interval, and the power to tell the score from chance.

    Parameters
    ----------
    kind : Ranked or Averaged
    people : People
    n_stimuli, n_repeats, n_subjects : int
    level : float
        Coverage of the interval.
    alpha : float
        Of the one-sided permutation test.

    Returns
    -------
    line : dict
        stimuli, repeats, subjects, score, chance, half_width, power.

    Raises
    ------
    ValueError
        If one subject is to speak of others.
    """
    if people.population != "stimuli" and n_subjects < 2:
        raise ValueError(f"subjects={n_subjects}: one cannot speak of others; population=stimuli")
    score, chance, row, by_chance = kind.expected(n_stimuli, n_repeats)
    parts = people.variance(row, n_stimuli, n_subjects)
    null = by_chance / (n_stimuli * n_subjects)
    share = isinstance(kind, Ranked)
    half = _half_width(score, parts, n_stimuli, n_subjects, level, share and not parts[0])
    return {
        "stimuli": n_stimuli,
        "repeats": n_repeats,
        "subjects": n_subjects,
        "score": float(score),
        "chance": float(chance),
        "half_width": float(half),
        "power": float(_power(score, sum(parts), chance, null, alpha, share)),
    }


def least_stimuli(kind, people, n_repeats, n_subjects, within=None, power=None, **how):
    """Find the fewest test pictures that give an interval, or a power, or both.

    As many as there are candidates, at least.

    Parameters
    ----------
    within : float or None
        Half width that is wanted.
    power : float or None
    how
        level and alpha, as of `plan`.

    Returns
    -------
    line : dict or None
        As of `plan`; None where more pictures do not help (subjects differ by more than that).
    """

    def enough(n_stimuli):
        line = plan(kind, people, n_stimuli, n_repeats, n_subjects, **how)
        narrow = within is None or line["half_width"] <= within
        return line if narrow and (power is None or line["power"] >= power) else None

    low = high = max(8, kind.fewest)
    while not enough(high):
        low, high = high, 2 * high
        if low > MOST_STIMULI:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return enough(high)


def components(values, subjects, stimuli):
    """Estimate what a table of scores says of `People`.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
    subjects, stimuli : array_like, shape (n_rows,)

    Returns
    -------
    found : dict
        ``score``; ``row``, the variance of rows within subjects; ``shared``, from the stimuli that
        all subjects saw (0 of one subject); ``sd`` of subjects, cleared of the noise in their
        means (0 of one subject).
    """
    import pandas as pd

    table = pd.DataFrame({"who": np.asarray(subjects), "what": np.asarray(stimuli), "v": values})
    by_subject = table.groupby("who")["v"]
    row, means = float(by_subject.var(ddof=1).mean()), by_subject.mean()
    wide = table.pivot_table(index="what", columns="who", values="v").dropna()
    found = {"score": float(means.mean()), "row": row, "shared": 0.0, "sd": 0.0}
    if len(means) > 1:
        if len(wide) > 1 and row > 0:
            covariance = np.cov(wide.to_numpy().T)
            off = covariance[~np.eye(len(covariance), dtype=bool)].mean()
            found["shared"] = float(np.clip(off / row, 0, 1))
        noise = row * (1 - found["shared"]) / by_subject.size().mean()
        found["sd"] = float(np.sqrt(max(means.var(ddof=1) - noise, 0)))
    return found


def _hits(d, top, m, n):
    """Mean and variance of a row's expected hits in sets of m out of n pictures."""
    from scipy.stats import binom, norm

    x = np.linspace(-8, 8, 1601)
    weight = norm.pdf(x)
    weight /= weight.sum()
    hit = binom.cdf(top - 1, m - 1, norm.sf(x + d))
    mean = weight @ hit
    # of all other pictures as candidates a row hits or misses; of a few, sets average that out
    return mean, weight @ (hit - mean) ** 2 + weight @ (hit * (1 - hit)) * (m - 1) / (n - 1)


def _half_width(score, parts, n_stimuli, n_subjects, level, share):
    from scipy.stats import norm, t

    by_subject, by_stimulus = parts
    variance = by_subject + by_stimulus
    if by_subject:
        free = by_subject**2 / (n_subjects - 1) + by_stimulus**2 / (n_stimuli - 1)
        return t.ppf((1 + level) / 2, variance**2 / free) * np.sqrt(variance)
    z = norm.ppf((1 + level) / 2)
    if not share:
        return z * np.sqrt(variance)
    worth = score * (1 - score) / variance if variance > 0 else n_stimuli
    return z / (1 + z**2 / worth) * np.sqrt(variance + z**2 / (4 * worth**2))


def _power(score, variance, chance, null, alpha, share):
    """Chance that the score lies beyond the upper `alpha` of scores by chance."""
    from scipy.stats import norm

    if not share:
        gap = abs(score - chance)  # less may be better
        return norm.sf(norm.isf(alpha, 0, np.sqrt(null)), gap, np.sqrt(variance))
    limit = _beta(chance, null).isf(alpha)
    return _beta(score, variance).sf(limit)


def _beta(mean, variance):
    """A distribution between 0 and 1 with this mean and (less than the largest) variance."""
    from scipy.stats import beta

    worth = max(mean * (1 - mean) / max(variance, 1e-12) - 1, 1e-3)
    return beta(mean * worth, (1 - mean) * worth)
