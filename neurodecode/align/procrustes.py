"""Procrustes: rotate one subject's channel space onto another's.

    R = argmin ||X R - Y||^2 with orthonormal R = U V',   U S V' = svd(X' Y)           [1]_

References
----------
.. [1] Schoenemann (1966). A generalized solution of the orthogonal Procrustes problem.
.. [2] Haxby et al. (2011). A common, high-dimensional model of the representational space in
   human ventral temporal cortex. Neuron 72. (Hyperalignment.)
"""

import numpy as np

from neurodecode.align.base import affine, affine_state, centred


class Procrustes:
    """Align by a rotation (and reflection) of centred responses [1]_ [2]_.

    With more source than reference channels it is a projection followed by a rotation, with fewer
    an embedding: R then has orthonormal columns or rows.

    Parameters
    ----------
    scaling : bool
        Also stretch all channels by the one factor that fits best.
    """

    def __init__(self, scaling: bool = False):
        self.scaling = scaling

    def fit(self, source: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
        """Fit the rotation; see `Aligner`."""
        from scipy.linalg import svd

        x, y, *means = centred(source, reference)
        U, _, Vt = svd(x.T @ y, full_matrices=False)
        R = U @ Vt  # (n_source, n_reference)
        if self.scaling:
            turned = x @ R
            length = (turned**2).sum()
            R = R * ((turned * y).sum() / length if length > 0 else 1.0)
        return affine_state(R, *means)

    def transform(self, responses: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
        """Rotate trials; see `Aligner`."""
        return affine(responses, state)
