"""What a verdict knows of the pictures."""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.verdict.residuals import Features

FEWEST = 4  # pictures that a test needs


@dataclass(frozen=True)
class Study:
    """What is known of the test pictures, and of training pictures.

    Parameters
    ----------
    truth : ndarray, shape (n, dim)
    groups : ndarray of int, shape (n,), or None
        Number of each picture's category.
    features : Features or None
        Low-level features of all pictures.
    truth_train, groups_train : ndarray or None
    """

    truth: np.ndarray
    groups: np.ndarray | None
    features: Features | None
    truth_train: np.ndarray | None
    groups_train: np.ndarray | None

    def __getitem__(self, rows):
        """The study of some of its test pictures."""
        features = self.features and self.features[rows]
        known = (self.truth_train, self.groups_train)
        return Study(self.truth[rows], self.groups[rows], features, *known)
