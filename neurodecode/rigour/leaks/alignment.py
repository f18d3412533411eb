"""Find the part of one picture that looks like another: shift and scale of both axes."""

import numpy as np

from neurodecode.rigour.leaks.pixels import correlation

LOWEST, HIGHEST = np.array([[0.85, -0.12] * 2, [1.18, 0.12] * 2], np.float32)  # parts tried


def align(a, b, clear, warp, n_steps):
    """Find the part of `a` that looks like `b`, by Gauss-Newton steps.

    Parameters
    ----------
    a, b, clear : ndarray, shape (n, side, side)
        `clear` weights the pixels of b.
    warp : ndarray, shape (n, 4)
        Scale and start of the part along the rows, and along the columns, in shares of `a`.
    n_steps : int

    Returns
    -------
    warp : ndarray, shape (n, 4)
    correlation : ndarray, shape (n,)
        Of the pixels that both have.
    """
    side = a.shape[1]
    place = ((np.arange(side) + 0.5) / side).astype(np.float32)
    for _ in range(n_steps):
        part, seen = warped(a, warp)
        seen = seen * clear
        slopes = np.stack(np.gradient(part, axis=(1, 2))) * side
        # b = gain part + offset + slope along rows (scale place + start) + the same along columns
        ones, y, x = np.ones_like(part), place[:, None], place
        columns = [part, ones, slopes[0] * y, slopes[0], slopes[1] * x, slopes[1]]
        design = np.stack(columns, axis=-1).reshape(len(a), -1, 6)
        weighted = design * seen.reshape(len(a), -1, 1)
        normal = np.einsum("npi,npj->nij", weighted, design, optimize=True)
        ridge = 1e-4 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / 6
        normal += ridge * np.eye(6, dtype=np.float32)
        right = np.einsum("npi,np->ni", weighted, b.reshape(len(a), -1), optimize=True)
        solved = np.linalg.solve(normal, right[..., None])[..., 0]
        gain = np.where(np.abs(solved[:, :1]) > 0.1, solved[:, :1], 1.0)
        # slopes are those of the part: a step within it is a step within a times its scale
        step = np.clip(solved[:, 2:] / gain, -0.03, 0.03) * warp[:, [0, 0, 2, 2]]
        warp = np.clip(warp + step, LOWEST, HIGHEST)
    part, seen = warped(a, warp)
    return warp, correlation(part, b, seen * clear)


def warped(a, warp):
    """Return the parts of pictures that `warp` names, and which of their pixels lie within."""
    side = a.shape[1]
    rows, within_rows = _sampling(warp[:, 0], warp[:, 1], side)
    columns, within_columns = _sampling(warp[:, 2], warp[:, 3], side)
    part = rows @ a @ columns.transpose(0, 2, 1)
    return part, within_rows[:, :, None] * within_columns[:, None, :]


def _sampling(scale, start, side):
    """Linear interpolation along one axis as matrices (n, side, side); which points lie within."""
    place = (np.arange(side, dtype=np.float32) + 0.5) / side
    at = (place * scale[:, None] + start[:, None]) * side - 0.5  # (n, side)
    at = at.astype(np.float32)
    pixel = np.arange(side, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(np.clip(at, 0, side - 1)[..., None] - pixel))
    return weights, ((at >= -0.5) & (at <= side - 0.5)).astype(np.float32)
