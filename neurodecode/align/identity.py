"""No alignment: every subject keeps its own channels; and the anatomical baseline of the others."""

import numpy as np

BLOCK = 2048  # reference channels looked at together: a whole cortex against another is 1.7 GB


class Identity:
    """Leave responses as they are; the network's input layer of each subject does the rest."""

    learns = False  # nothing, so no pairs of answers need be read for it

    def fit(self, source: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
        """There is nothing to fit."""
        return {}

    def transform(self, responses: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
        """Return the responses, in the subject's own channels."""
        return responses


def nearest_channels(positions_mm: np.ndarray, reference_mm: np.ndarray) -> np.ndarray:
    """For each reference channel the source channel that lies nearest: what anatomy alone can do.

    Parameters
    ----------
    positions_mm : ndarray, shape (n_source, 3)
    reference_mm : ndarray, shape (n_reference, 3)
        In the same space.

    Returns
    -------
    nearest : ndarray of int, shape (n_reference,)
        Of several equally near the first.
    """
    own = (positions_mm**2).sum(axis=1)
    nearest = np.empty(len(reference_mm), int)
    for start in range(0, len(reference_mm), BLOCK):
        block = slice(start, start + BLOCK)
        squares = own - 2 * reference_mm[block] @ positions_mm.T
        nearest[block] = squares.argmin(axis=1)  # the reference's own square is the same for all
    return nearest
