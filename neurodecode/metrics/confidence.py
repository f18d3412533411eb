"""How sure a retrieval is: similarities become probabilities by one temperature, fitted and judged.

    p(candidate | row) = softmax(similarity / temperature)

The temperature is the one under which the own pictures of trials that trained nothing are most
likely [1]_. Whether the probabilities can be believed is judged on trials that did not fit it.

References
----------
.. [1] Guo, Pleiss, Sun, Weinberger (2017). On calibration of modern neural networks. ICML.
"""

import numpy as np

LOWEST, HIGHEST = 1e-3, 1e2  # of the temperatures that are looked through; similarities are cosines
N_BINS = 10


def probabilities(similarity: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over the columns of similarities (n_rows, n_candidates) at a temperature."""
    from scipy.special import softmax

    return softmax(np.asarray(similarity, np.float64) / temperature, axis=1)


def fit_temperature(similarity: np.ndarray, own: np.ndarray) -> float:
    """Find the temperature under which the rows' own candidates are most likely.

    Parameters
    ----------
    similarity : ndarray, shape (n_rows, n_candidates)
    own : ndarray of int, shape (n_rows,)
        Column of each row's own candidate.

    Returns
    -------
    temperature : float
        Between 0.001 and 100; the upper end where similarities say nothing.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    similarity, rows = np.asarray(similarity, np.float64), np.arange(len(own))
    cost = lambda log: -log_softmax(similarity / np.exp(log), axis=1)[rows, own].mean()
    grid = np.linspace(np.log(LOWEST), np.log(HIGHEST), 47)
    best = int(np.argmin([cost(log) for log in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(np.exp(minimize_scalar(cost, bounds=around, method="bounded").x))


def judge_confidence(
    similarity: np.ndarray, own: np.ndarray, groups: np.ndarray, n_folds: int = 5
) -> dict:
    """Fit the temperature, and judge the first candidate's probability by cross-fitting.

    Parameters
    ----------
    similarity : ndarray, shape (n_rows, n_candidates)
    own : ndarray of int, shape (n_rows,)
    groups : ndarray, shape (n_rows,)
        What must not be cut apart: the stimulus. Each fold is judged at a temperature that the
        other folds fitted.
    n_folds : int
        Fewer where there are fewer groups.

    Returns
    -------
    judged : dict
        ``temperature`` of all rows, ``n``, ``accuracy`` (the first candidate is the own one),
        ``confidence`` (its mean probability), ``brier`` (mean squared error of that probability),
        ``brier_constant`` (of saying the accuracy every time) and ``ece``, see
        `calibration_error`. The last four are None with a single group.
    """
    from sklearn.model_selection import GroupKFold

    judged = {"temperature": fit_temperature(similarity, own), "n": len(own)}
    correct = (similarity.argmax(axis=1) == own).astype(float)
    judged |= {"accuracy": correct.mean(), "confidence": None}
    judged |= {"brier": None, "brier_constant": None, "ece": None}
    n_groups = len(np.unique(groups))
    if n_groups > 1:
        said = np.empty(len(own))
        for fit, test in GroupKFold(min(n_folds, n_groups)).split(own, groups=groups):
            temperature = fit_temperature(similarity[fit], own[fit])
            said[test] = probabilities(similarity[test], temperature).max(axis=1)
        judged |= {"confidence": said.mean(), "brier": ((said - correct) ** 2).mean()}
        judged |= {"brier_constant": correct.var(), "ece": calibration_error(said, correct)}
    return {k: v if v is None or k == "n" else float(v) for k, v in judged.items()}


def calibration_error(said: np.ndarray, correct: np.ndarray, n_bins: int = N_BINS) -> float:
    """Expected calibration error: how far probabilities lie from the share that was correct.

    Parameters
    ----------
    said : ndarray, shape (n_rows,)
        Probabilities.
    correct : ndarray, shape (n_rows,)
        0 or 1.
    n_bins : int
        Bins of equally many rows, by their probability.

    Returns
    -------
    error : float in [0, 1]
        Mean over rows of the distance in their bin. Above 0 also for perfect probabilities, since
        the share of a finite bin varies.
    """
    order = np.argsort(said, kind="stable")
    bins = np.array_split(order, min(n_bins, len(order)))
    return float(sum(abs(said[b].sum() - correct[b].sum()) for b in bins) / len(order))
