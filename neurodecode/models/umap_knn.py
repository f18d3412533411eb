"""UMAP, then k nearest neighbours [1]_: trials in two or three dimensions, classed by neighbours.

References
----------
.. [1] Bafana (2023). Dimensionality reduction before an LSTM-CNN of ECoG motor imagery. arXiv
   2311.13507. (UMAP: McInnes, Healy, Melville 2018, arXiv 1802.03426.)
"""

import contextlib
import warnings
from dataclasses import dataclass

import numpy as np

from neurodecode.core.ranges import Count, NotNegative, Positive
from neurodecode.core.seeds import child_seed
from neurodecode.models.broadband_power import relative_power
from neurodecode.models.optional import needed


@dataclass(frozen=True)
class UmapKnn:
    """Class trials by their neighbours in an embedding; see `neurodecode.models.trial_classifier`.

    Samples of all channels are standardised, embedded by UMAP, and classed by neighbours; scale and
    embedding are fitted on training rows, and test rows are placed in them.

    Parameters
    ----------
    n_dims : int
        Of the embedding.
    n_neighbors : int
        Trials whose classes vote.
    umap_neighbors : int
        UMAP's own neighbourhood; fewer where there are fewer rows.
    min_dist : float
        How close UMAP may put two rows.
    highpass_hz : float, optional
        Broadband power is what lies above; None: trials are taken as they are.
    lowpass_hz : float
        That power is smoothed with.
    fits_on_all : bool
        Published quirk: mean power, scale and embedding are fitted on test rows too.
    """

    n_dims: Count = 2
    n_neighbors: Count = 4
    umap_neighbors: Count = 15
    min_dist: NotNegative = 0.1
    highpass_hz: Positive | None = 50.0
    lowpass_hz: Positive = 10.0
    fits_on_all: bool = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Learn from training rows; see `neurodecode.models.trial_classifier`."""
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.preprocessing import StandardScaler

        known = x if also is None else np.concatenate([x, also])
        power = relative_power(known, sfreq_hz, self.highpass_hz, self.lowpass_hz)
        flat = lambda rows: power(rows).reshape(len(rows), -1)
        scaler = StandardScaler().fit(flat(known))
        rows = lambda asked: scaler.transform(flat(asked))
        reducer = self._reducer(len(known), seed)
        with _quiet():
            places = reducer.fit_transform(rows(known))
        votes = KNeighborsClassifier(min(self.n_neighbors, len(x))).fit(places[: len(x)], y)

        def predict(asked):
            if also is not None and np.array_equal(asked, also):
                placed = places[len(x) :]  # where the embedding that was fitted on them put them
            else:
                with _quiet():
                    placed = reducer.transform(rows(asked))
            scores = np.zeros((len(asked), n_classes))
            scores[:, votes.classes_] = votes.predict_proba(placed)
            return scores

        return predict

    def _reducer(self, n_rows, seed):
        with _quiet():
            umap = needed("umap", "umap-learn", "UMAP")
        return umap.UMAP(
            n_components=self.n_dims,
            n_neighbors=max(2, min(self.umap_neighbors, n_rows - 1)),
            min_dist=self.min_dist,
            init="random",
            random_state=child_seed(seed, "umap") % 2**31,
        )


@contextlib.contextmanager
def _quiet():
    """Within, UMAP does not remark that a seed means one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def channels_as_samples(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each channel's mean over the trials of a class as a row of its own: the published rows.

    Rows of one channel in two classes, and of two channels in one class, come from the same trials:
    whichever of them are held out, the others hold the same noise.

    Parameters
    ----------
    x : ndarray, shape (n_trials, n_channels, n_times)
    y : ndarray of int, shape (n_trials,)

    Returns
    -------
    rows : ndarray of float32, shape (n_classes * n_channels, 1, n_times)
    classes, channels : ndarray of int, shape (n_classes * n_channels,)
        Whose mean each row is.
    """
    found = np.unique(y)
    means = np.stack([x[y == k].mean(axis=0, dtype=np.float64) for k in found])
    n_channels = x.shape[1]
    rows = means.reshape(len(found) * n_channels, 1, -1).astype(np.float32)
    return rows, np.repeat(found, n_channels), np.tile(np.arange(n_channels), len(found))
