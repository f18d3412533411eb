"""Which nuisance signals to regress out: choices by name over a table of fMRIPrep's columns."""

import numpy as np

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
HEAD_RADIUS_MM = 50.0  # Power et al. (2012): rotations become arc lengths on such a sphere


def choose_confounds(table, terms):
    """Gather the nuisance signals named by `terms`.

    Parameters
    ----------
    table : DataFrame, one row per volume
        Confounds of one run, with the column names of fMRIPrep.
    terms : list of str
        Any of ``motion6`` (translations and rotations), ``motion24`` (these, their backward
        differences, and the squares of both [1]_), ``global``, ``csf_wm``, ``acompcor`` (first
        five anatomical components), ``outliers`` (columns ``motion_outlier*``); everything else
        is the name of a column.

    Returns
    -------
    confounds : ndarray, shape (n_volumes, n_confounds)
        A value missing in the first volume (a difference without predecessor) is 0.

    Raises
    ------
    ValueError
        For an unknown term or column, or values missing after the first volume.

    References
    ----------
    .. [1] Friston et al. (1996), Magnetic Resonance in Medicine 35:346.
    """
    columns = [TERMS.get(term, _column(term))(table) for term in terms]
    return np.hstack([np.zeros((len(table), 0)), *columns])


def framewise_displacement(table):
    """Return Power's framewise displacement in mm, (n_volumes,); NaN without motion columns.

    ``|dx| + |dy| + |dz| + 50 mm (|da| + |db| + |dc|)`` between a volume and the one before
    (rotations in radians); 0 for the first.
    """
    if not set(MOTION) <= set(table.columns):
        return np.full(len(table), np.nan)
    steps = np.abs(_differences(_take(table, MOTION)))
    return steps[:, :3].sum(axis=1) + HEAD_RADIUS_MM * steps[:, 3:].sum(axis=1)


def _motion24(table):
    motion = _take(table, MOTION)
    both = np.hstack([motion, _differences(motion)])
    return np.hstack([both, both**2])


def _acompcor(table):
    names = sorted(c for c in table.columns if c.startswith("a_comp_cor_"))[:5]
    if not names:
        raise ValueError("the confounds table has no column a_comp_cor_00 …: drop 'acompcor'")
    return _take(table, names)


def _outliers(table):
    """There may be none: a run without a jump has no such column."""
    return _take(table, [c for c in table.columns if c.startswith("motion_outlier")])


def _column(name):
    return lambda table: _take(table, [name])


TERMS = {
    "motion6": lambda table: _take(table, MOTION),
    "motion24": _motion24,
    "global": lambda table: _take(table, ["global_signal"]),
    "csf_wm": lambda table: _take(table, ["csf", "white_matter"]),
    "acompcor": _acompcor,
    "outliers": _outliers,
}


def _take(table, names):
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ValueError(
            f"the confounds table has no column {', '.join(missing)}; terms: {', '.join(TERMS)}; "
            f"columns: {', '.join(map(str, table.columns[:12]))} …"
        )
    values = table[list(names)].to_numpy(float, copy=True)
    if len(values):
        values[0] = np.nan_to_num(values[0])
    if not np.isfinite(values).all():
        bad = [n for n, ok in zip(names, np.isfinite(values).all(axis=0), strict=True) if not ok]
        raise ValueError(f"confounds {', '.join(bad)} have missing values after the first volume")
    return values


def _differences(series):
    return np.diff(series, axis=0, prepend=series[:1])
