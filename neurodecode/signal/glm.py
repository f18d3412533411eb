"""One response per trial: single-trial general linear models, all trials and voxels at once.

Symbols: Y (n_volumes, n_voxels) the signal of a run, X (n_volumes, n_trials) one regressor per
trial, N (n_volumes, n_nuisance) drifts, confounds and intercept. By the theorem of Frisch, Waugh
and Lovell, the betas of X in the model [X N] are those of X in Y once N is projected out of both.
"""

import numpy as np

AR_BINS = 100  # voxels are whitened in groups of equal rho, rounded as nilearn does


def lsa(bold, regressors, nuisance, ar1: bool = False):
    """Estimate all trials in one model (least squares, all) [1]_.

    Parameters
    ----------
    bold : ndarray, shape (n_volumes, n_voxels)
        Signal of one run.
    regressors : ndarray, shape (n_volumes, n_trials)
        Expected response of each trial.
    nuisance : ndarray, shape (n_volumes, n_nuisance)
        Drifts, confounds and intercept, from `nuisance_matrix`.
    ar1 : bool
        Whiten with a first-order autoregression per voxel, estimated from the residuals.

    Returns
    -------
    betas : ndarray, shape (n_trials, n_voxels)
        Float64, in the unit of `bold`; 0 where a voxel is constant.

    Raises
    ------
    ValueError
        If the run cannot tell its trials apart (too few volumes, or two equal regressors), or does
        not hold the response of one.

    References
    ----------
    .. [1] Rissman, Gazzaley, D'Esposito (2004), NeuroImage 23:752.
    """
    return _estimate(_lsa, bold, regressors, nuisance, ar1)


def lss(bold, regressors, nuisance, ar1: bool = False):
    """Estimate each trial in a model of its own, against the sum of all others [1]_.

    Stabler than `lsa` where trials follow each other quickly. In closed form: with x the trial's
    regressor and o the others' sum, both clean of N,
    ``beta = (x'Y o'o - o'Y x'o) / (x'x o'o - (x'o)^2)``. Parameters, returns and errors as in
    `lsa`; with `ar1` the noise is that of the model with all trials.

    References
    ----------
    .. [1] Mumford, Turner, Ashby, Poldrack (2012), NeuroImage 59:2636.
    """
    return _estimate(_lss, bold, regressors, nuisance, ar1)


def nuisance_matrix(n_volumes, tr_s, high_pass_hz=0.01, confounds=None):
    """Stack cosine drifts (all below `high_pass_hz`), z-scored confounds and the intercept.

    Parameters
    ----------
    n_volumes : int
    tr_s : float
        Seconds between volumes.
    high_pass_hz : float
        Cut-off; 0 leaves only the intercept.
    confounds : ndarray, shape (n_volumes, n_confounds), or None
        Constant columns are left out: the intercept already holds them.

    Returns
    -------
    nuisance : ndarray, shape (n_volumes, n_drifts + n_confounds + 1)
    """
    if not 0 <= high_pass_hz < 0.5 / tr_s:
        raise ValueError(
            f"high_pass_hz is {high_pass_hz}: with a TR of {tr_s} s it must lie between 0 and "
            f"{0.5 / tr_s:.3g} (half the sampling rate)"
        )
    order = int(2 * n_volumes * tr_s * high_pass_hz)
    phase = np.pi * (np.arange(n_volumes)[:, None] + 0.5) / n_volumes
    drifts = np.sqrt(2 / n_volumes) * np.cos(phase * np.arange(1, order + 1))
    parts = [drifts, np.ones((n_volumes, 1))]
    if confounds is not None:
        varying = confounds[:, np.ptp(confounds, axis=0) > 0]
        parts.insert(1, (varying - varying.mean(axis=0)) / varying.std(axis=0))
    return np.hstack(parts)


def percent_change(bold):
    """Express a run as percent of each voxel's mean: ``100 (y / mean - 1)``; float64.

    A voxel whose mean is not positive (outside the head) becomes 0. Raises ValueError if no
    voxel has a positive mean: the run was centred before.
    """
    bold = np.asarray(bold, float)
    mean = bold.mean(axis=0)
    inside = mean > 0
    # A centred run has means that are only rounding errors beside its fluctuations.
    if not inside.any() or np.median(mean[inside]) < 1e-3 * np.median(bold.std(axis=0)[inside]):
        raise ValueError(
            "the signal varies around 0, so that a percentage of its mean has no sense: it was "
            "centred before; use preprocess.method.standardise=zscore or none"
        )
    return np.where(inside, 100 * (bold / np.where(inside, mean, 1) - 1), 0.0)


def zscore(bold):
    """Express a run in standard deviations of each voxel's time course; 0 where it is constant."""
    bold = np.asarray(bold, float)
    varies = np.ptp(bold, axis=0) > 0
    std = np.where(varies, bold.std(axis=0), 1)
    return np.where(varies, (bold - bold.mean(axis=0)) / std, 0.0)


def _estimate(solve, bold, regressors, nuisance, ar1):
    bold = np.asarray(bold, float)
    if not ar1:
        return solve(bold, regressors, nuisance)
    rho = _autocorrelation(bold, regressors, nuisance)
    betas = np.empty((regressors.shape[1], bold.shape[1]))
    for r in np.unique(rho):
        voxels = rho == r
        betas[:, voxels] = solve(*(_whiten(m, r) for m in (bold[:, voxels], regressors, nuisance)))
    return betas


def _lsa(bold, regressors, nuisance):
    X, Y = _without(nuisance, regressors, bold)
    betas, _, rank, _ = np.linalg.lstsq(X, Y, rcond=None)
    if rank < X.shape[1]:
        n_volumes, n_trials = X.shape
        raise ValueError(
            f"{n_trials} trials cannot be told apart in {n_volumes} volumes with "
            f"{nuisance.shape[1]} nuisance regressors (rank {rank}): two trials may share an "
            "onset; use preprocess=lss, or fewer confounds"
        )
    return betas


def _lss(bold, regressors, nuisance):
    X, Y = _without(nuisance, regressors, bold)
    total = X.sum(axis=1)
    xy = X.T @ Y  # (n_trials, n_voxels)
    oy = total @ Y - xy
    xx = np.einsum("vt,vt->t", X, X)
    xo = total @ X - xx
    oo = total @ total - 2 * (total @ X) + xx
    determinant = xx * oo - xo**2
    # The others' sum adds nothing where there are none, or where it is the trial itself.
    alone = determinant <= 1e-10 * xx * np.maximum(oo, xx)
    both = (xy * oo[:, None] - oy * xo[:, None]) / np.where(alone, 1, determinant)[:, None]
    return np.where(alone[:, None], xy / xx[:, None], both)


def _without(nuisance, regressors, bold):
    """Project the nuisance out of regressors and signal; refuse what leaves nothing over."""
    n_volumes, n_nuisance = nuisance.shape
    if n_nuisance + 2 > n_volumes:
        raise ValueError(
            f"{n_nuisance} nuisance regressors for {n_volumes} volumes leave no room for a trial: "
            "use fewer confounds or a lower high_pass_hz"
        )
    U, s, _ = np.linalg.svd(nuisance / np.linalg.norm(nuisance, axis=0), full_matrices=False)
    Q = U[:, s > 1e-10 * s[0]]  # confounds may repeat each other
    X, Y = (m - Q @ (Q.T @ m) for m in (regressors, bold))
    left = np.linalg.norm(X, axis=0)
    lost = np.flatnonzero(left < 1e-3 * np.median(left))
    if len(lost):
        raise ValueError(
            f"the run holds no response to {len(lost)} of its {len(left)} trials (the first is "
            f"number {lost[0] + 1}): its onset is too near the end, or a confound equals it"
        )
    return X, Y


def _autocorrelation(bold, regressors, nuisance):
    """Return rho per voxel by the Yule-Walker equation on the residuals of all trials, (n_voxels,).

    Rounded towards 0 in steps of .01, as nilearn does, so that voxels can be whitened in groups.
    """
    X, Y = _without(nuisance, regressors, bold)
    residuals = Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    n = len(residuals)
    power = np.einsum("tv,tv->v", residuals, residuals) / n
    lagged = np.einsum("tv,tv->v", residuals[:-1], residuals[1:]) / (n - 1)
    rho = np.divide(lagged, power, out=np.zeros_like(power), where=power > 0)
    return np.trunc(rho * AR_BINS) / AR_BINS


def _whiten(series, rho):
    whitened = series.copy()
    whitened[1:] -= rho * series[:-1]
    return whitened
