"""Ridge alignment: predict each reference channel from all source channels.

    W = argmin ||X W - Y||^2 + alpha ||W||^2

Unlike a rotation it shrinks what does not repeat between subjects, and may discard dimensions.

References
----------
.. [1] Bazeille, DuPre, Richard, Poline, Thirion (2021). An empirical evaluation of functional
   alignment using inter-subject decoding. NeuroImage 245.
"""

import numpy as np

from neurodecode.align.base import affine, affine_state, centred


class RidgeAligner:
    """Align by a ridge regression; its penalty is chosen by leaving out each stimulus in turn [1]_.

    Parameters
    ----------
    fractions : list of float
        Candidate penalties, relative to the mean squared length of a centred response.
    """

    def __init__(self, fractions: list[float] = (0.01, 0.1, 1.0, 10.0)):
        if not fractions or min(fractions) <= 0:
            raise ValueError(f"fractions are {list(fractions)}: give at least one, all above 0")
        self.fractions = list(fractions)

    def fit(self, source: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
        """Fit the regression; see `Aligner`."""
        from sklearn.linear_model import RidgeCV

        x, y, *means = centred(source, reference)
        alphas = np.array(self.fractions) * max((x**2).sum(axis=1).mean(), np.finfo(float).tiny)
        model = RidgeCV(alphas, fit_intercept=False).fit(x, y)
        return affine_state(np.atleast_2d(model.coef_).T, *means) | {
            "alpha": np.array(model.alpha_)
        }

    def transform(self, responses: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
        """Predict the reference's channels; see `Aligner`."""
        return affine(responses, state)
