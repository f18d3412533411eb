"""Nuisance signals of fMRIPrep by the strategies of nilearn, read by nilearn's own loader."""

import numpy as np

DRIFTS = "cosine"  # columns of fMRIPrep's own high-pass


def load_strategy(paths, strategy, options=None):
    """Load one of nilearn's denoising strategies for a run.

    fMRIPrep's cosines are left out: the linear model has drifts of its own, and a frequency that
    stands in the model twice would be taken out once all the same. A volume that nilearn would cut
    out (scrubbed, or before the steady state) stays in, with a regressor that is 1 in this volume
    only: in a linear model that is the same as cutting, and no trial loses its place in time [1]_.

    Parameters
    ----------
    paths : list of path
        The run's signal, beside which fMRIPrep wrote ``*_desc-confounds_timeseries.tsv`` and
        ``.json``; of a surface both hemispheres.
    strategy : str
        ``simple``, ``scrubbing``, ``compcor`` or ``ica_aroma`` of
        `nilearn.interfaces.fmriprep.load_confounds_strategy`.
    options : dict, optional
        Its further arguments, such as {fd_threshold: 0.3}.

    Returns
    -------
    confounds : ndarray, shape (n_volumes, n_confounds)
    n_scrubbed : int
        How many volumes have a regressor of their own.

    Raises
    ------
    ValueError
        If nilearn knows no such strategy or option, or finds no confounds that fit.

    References
    ----------
    .. [1] Satterthwaite et al. (2013), NeuroImage 64:240.
    """
    from nilearn.interfaces.fmriprep import load_confounds_strategy

    options, paths = dict(options or {}), [str(p) for p in paths]
    _check_options(options)
    try:
        found, kept = load_confounds_strategy(
            paths if len(paths) > 1 else paths[0], denoise_strategy=strategy, **options
        )
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"nilearn has no confounds of the strategy {strategy!r} for {paths[0]}: {error} "
            "(its *_desc-confounds_timeseries.tsv and .json must lie beside it, named as by "
            "fMRIPrep; the strategies are simple, scrubbing, compcor and ica_aroma)"
        ) from None
    # Sorted: nilearn hands them out in the order of a set.
    columns = sorted(c for c in found.columns if not c.startswith(DRIFTS))
    values = found[columns].to_numpy(float)
    if not np.isfinite(values).all():
        bad = [c for c, ok in zip(columns, np.isfinite(values).all(axis=0), strict=True) if not ok]
        raise ValueError(f"confounds {', '.join(bad)} of {paths[0]} have missing values")
    alone = spikes(kept, len(values))
    return np.hstack([values, alone]), alone.shape[1]


def spikes(kept, n_volumes):
    """Return a regressor for each volume not among `kept` (None: all are), one-hot columns."""
    left_out = [] if kept is None else np.setdiff1d(np.arange(n_volumes), kept)
    return np.eye(n_volumes)[:, left_out]


def _check_options(options):
    from inspect import signature

    from nilearn.interfaces.fmriprep import load_confounds

    known = set(signature(load_confounds).parameters) - {"img_files", "strategy"}
    if unknown := sorted(set(options) - known):
        raise ValueError(
            f"confound_options has {', '.join(unknown)}: nilearn's load_confounds takes "
            f"{', '.join(sorted(known))}"
        )
