"""From what a decoder said of a trial to what may be believed: a mean and a variance.

On held-out trials, a decoder's answer y to each component z of the code (variance 1 over pictures)
is described by a line with two kinds of noise:

    y = intercept + slope z + noise,        var(noise) = trial / n_repeats + lasting

`trial` is what repeats of a picture differ by, `lasting` what the decoder gets wrong of it every
time. Bayes' rule with z ~ N(0, 1) then gives the belief after n_repeats averaged trials:

    mean = slope (y - intercept) / (slope^2 + var(noise)),   variance = var(noise) / (same)

A decoder that says nothing (slope 0) leaves mean 0 and variance 1: what is known without a brain.
"""

import numpy as np

FEWEST_PAIRS = 10  # degrees of freedom from which repeats tell what share of the noise is trial's


def calibrate(said: np.ndarray, true: np.ndarray, stimulus: np.ndarray) -> dict[str, np.ndarray]:
    """Describe a decoder by single trials that it was not trained on.

    Parameters
    ----------
    said, true : ndarray, shape (n_trials, n_components)
        The decoder's answers, and the code of what was shown.
    stimulus : array, shape (n_trials,)
        What was shown; trials with the same value are repeats.

    Returns
    -------
    calibration : dict of ndarray, shape (n_components,)
        ``intercept``, ``slope`` (not below 0), ``trial`` and ``lasting`` (variances). Without
        enough repeats all noise counts as lasting, the cautious choice.
    """
    said, true = np.asarray(said, np.float64), np.asarray(true, np.float64)
    centred = true - true.mean(axis=0)
    slope = (centred * said).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-12)
    slope = np.maximum(slope, 0.0)
    intercept = (said - slope * true).mean(axis=0)
    noise = ((said - intercept - slope * true) ** 2).mean(axis=0)
    share = _share_of_trials(said - slope * true, np.asarray(stimulus), noise)
    parts = {"intercept": intercept, "slope": slope}
    parts |= {"trial": share * noise, "lasting": (1 - share) * noise}
    return {name: part.astype(np.float32) for name, part in parts.items()}


def _share_of_trials(errors, stimulus, noise):
    """Share of the noise, over all components, by which repeats differ among themselves."""
    _, which, count = np.unique(stimulus, return_inverse=True, return_counts=True)
    n_pairs = (count - 1).sum()
    if n_pairs < FEWEST_PAIRS or not noise.sum() > 0:
        return 0.0
    means = np.zeros((len(count), errors.shape[1]))
    np.add.at(means, which, errors)
    within = ((errors - (means / count[:, None])[which]) ** 2).sum() / n_pairs
    return float(np.clip(within / noise.sum(), 0, 1))


def believe(
    said: np.ndarray,
    calibration: dict[str, np.ndarray],
    n_repeats: np.ndarray,
    caution: np.ndarray | float = 1.0,
) -> np.ndarray:
    """What a decoder's answers let one believe of the code.

    Parameters
    ----------
    said : ndarray, shape (n_rows, n_components)
        Answers to averages of trials.
    calibration : dict
        Of `calibrate`.
    n_repeats : ndarray of int, shape (n_rows,)
        Trials averaged in each row.
    caution : float or ndarray, shape (n_components,)
        The noise is taken to be this many times what `calibrate` found.

    Returns
    -------
    belief : ndarray of float32, shape (n_rows, 2, n_components)
        Means and variances; the variances lie above 0 and are at most 1.
    """
    c = {name: np.asarray(part, np.float64) for name, part in calibration.items()}
    noise = (c["trial"] / np.asarray(n_repeats)[:, None] + c["lasting"]) * caution
    noise = np.maximum(noise, 1e-6 * np.maximum(c["slope"] ** 2, 1e-6))  # nothing is ever certain
    total = c["slope"] ** 2 + noise
    mean = c["slope"] * (said - c["intercept"]) / total
    return np.stack([mean, noise / total], axis=1).astype(np.float32)
