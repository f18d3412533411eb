"""Sums of products and systems of them, in float64, on the processor or on a GPU.

Both change what they are given in place: a system of 15,000 unknowns takes 1.7 GiB, and there is no
room for a second one. Arrays are in Fortran's order; of a sum only the lower triangle is meant.
"""

from collections.abc import Callable, Iterable

import numpy as np

COLUMNS = 256  # that are brought back together


class OnProcessor:
    """By LAPACK: half of the operations where a matrix is symmetric, and no copy."""

    def sum_products(self, blocks: Iterable[np.ndarray], total: np.ndarray) -> None:
        """Fill the total, (p, p), with the sum of rows' rows over blocks of rows, (n, p)."""
        from scipy.linalg.blas import dsyrk

        total[:] = 0
        for rows in blocks:
            dsyrk(1.0, rows.T, beta=1.0, c=total, lower=1, overwrite_c=1)

    def solver(self, system: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
        """What solves a system, which is lost; None if it is not positive definite."""
        from scipy.linalg.lapack import dpotrf, dpotrs

        factor, failed = dpotrf(system, lower=1, overwrite_a=1, clean=0)
        return None if failed else lambda b: dpotrs(factor, b, lower=1, overwrite_b=1)[0]

    def times(self, total: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The symmetric total times some columns."""
        from scipy.linalg.blas import dsymm

        return dsymm(1.0, total, columns, lower=1)


class OnDevice:
    """By torch: matrices go to the device for each operation, and what is asked for comes back."""

    def __init__(self, device: str):
        self.device = device
        self._of, self._total = None, None

    def sum_products(self, blocks: Iterable[np.ndarray], total: np.ndarray) -> None:
        """As of `OnProcessor`."""
        import torch

        there = torch.zeros(total.shape, dtype=torch.float64, device=self.device)
        for rows in map(self._there, blocks):
            there.addmm_(rows.T, rows)
        for first in range(0, len(total), COLUMNS):
            some = slice(first, first + COLUMNS)
            total[:, some] = there[:, some].cpu().numpy()

    def solver(self, system: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
        """As of `OnProcessor`."""
        import torch

        factor, failed = torch.linalg.cholesky_ex(self._there(system))
        if failed:
            return None
        return lambda b: torch.cholesky_solve(self._there(b), factor).cpu().numpy()

    def times(self, total: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """As of `OnProcessor`."""
        if self._of is not total:  # the same for all targets and penalties of a fold
            self._of, self._total = total, None
            lower = self._there(total).tril()
            self._total = lower + lower.tril(-1).T
        return (self._total @ self._there(columns)).cpu().numpy()

    def _there(self, array):
        import torch

        return torch.as_tensor(np.asarray(array), device=self.device)


def solvers_of(device: str) -> OnProcessor | OnDevice:
    """Where systems are solved when a model is trained on a device."""
    return OnProcessor() if device == "cpu" else OnDevice(device)
