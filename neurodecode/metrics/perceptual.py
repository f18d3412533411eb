"""Image metrics of published tables: how alike two pictures are to a trained network.

AlexNet(2), AlexNet(5), InceptionV3 and CLIP ViT-L/14 by two-way identification, EffNet-B1 and SwAV
by the mean correlation distance of their features [1]_. Pictures go through the published chain:
256 x 256, then the network's own size, bilinear, its normalisation, no crop.

References
----------
.. [1] Ozcelik & VanRullen, Natural scene reconstruction from fMRI, Sci. Rep. 13 (2023).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from neurodecode.core.ranges import Count
from neurodecode.metrics.identification import two_way_scores
from neurodecode.metrics.pixel import published_size
from neurodecode.metrics.score import Score, pearson
from neurodecode.metrics.trunks import TRUNKS


def distance_scores(row, similarity):
    """Score the correlation distance 1 - r, lower is better; chance from the mismatched pairs."""
    return [Score(f"{row}_distance", 1 - similarity, better="lower")]


def identification_scores(row, similarity):
    """Score two-way identification, ties half and `compat`."""
    return two_way_scores(f"{row}_two_way", similarity)


PUBLISHED_AS = {
    "alexnet": identification_scores,
    "inception": identification_scores,
    "clip": identification_scores,
    "effnet": distance_scores,
    "swav": distance_scores,
}


@dataclass(frozen=True)
class NetworkMetric:
    """The published image metric of one network, by Pearson correlation of its features.

    Distinct pictures are looked at once, so that equal pictures have equal features: a tie stays a
    tie. Features that do not vary correlate with nothing (r = 0).

    Parameters
    ----------
    network : str
        Whose: `neurodecode.metrics.trunks` has their nodes and sizes.
    weights : str or None
        File of its weights, or the folder that holds it under its published name; None: the one in
        torch hub's cache (CLIP: the Hugging Face hub's).
    download : bool
        Fetch the published file where it is in no cache.
    antialias : bool
        In resizing. Published tables were made without: torchvision 0.15 and 0.16 had it off.
    batch : int
        Pictures looked at at once.
    device : str
        ``cpu`` or ``cuda``.
    """

    network: Literal["alexnet", "inception", "clip", "effnet", "swav"]
    weights: str | None = None
    download: bool = False
    antialias: bool = False
    batch: Count = 32
    device: str = "cpu"

    space = "picture"
    needs = "pictures"

    @property
    def names(self):
        """Of its rows."""
        nodes, one = TRUNKS[self.network].nodes, np.eye(2)
        return tuple(s.name for row in nodes for s in PUBLISHED_AS[self.network](row, one))

    def available(self):
        """Say why the network's weights cannot be used, or None where they can."""
        return self._found[1]

    def files(self):
        """List the local files that the scores depend on; nothing is fetched for it."""
        path, _ = TRUNKS[self.network].find(self.weights)
        return [path] if path else []

    def prepare(self, pictures):
        """Look at pictures.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (n, height, width, 3)

        Returns
        -------
        features : dict of str to ndarray of float32, shape (n, n_features)
            By row, such as ``alexnet2``.
        """
        first, place = distinct(pictures)
        parts = [
            self._look(pictures[first[i : i + self.batch]])
            for i in range(0, len(first), self.batch)
        ]
        return {row: np.concatenate([part[row] for part in parts])[place] for row in parts[0]}

    def __call__(self, truth, predicted):
        """Score what `prepare` gave of the true and of the predicted pictures."""
        scores = PUBLISHED_AS[self.network]
        return [s for row in truth for s in scores(row, pearson(truth[row], predicted[row]))]

    def _look(self, pictures):
        ready = published_size(pictures, self.antialias, TRUNKS[self.network].size_px)
        return TRUNKS[self.network].read(self._module, ready, self.device)

    @cached_property
    def _found(self):
        trunk = TRUNKS[self.network]
        path, reason = trunk.find(self.weights)
        if path is None and self.download and not self.weights:
            try:
                trunk.download()
            except Exception as error:  # urllib, torch hub and the Hugging Face hub have their own
                told = " ".join(str(error).split())[:200]
                return None, f"{reason}; download failed ({type(error).__name__}: {told})"
            path, reason = trunk.find()
        hint = f", or name a file: evaluate.metrics.{self.network}.weights=…, or let it be "
        hint += f"fetched: evaluate.metrics.{self.network}.download=true"
        return path, reason + hint if reason and not self.weights else reason

    @cached_property
    def _module(self):
        path, reason = self._found
        if path is None:
            raise FileNotFoundError(f"{self.network}: {reason}")
        return TRUNKS[self.network].load(path, self.device)


def distinct(pictures):
    """Number the pictures that differ.

    Returns
    -------
    first : ndarray of int, shape (n_distinct,)
        Where each is found first.
    place : ndarray of int, shape (n,)
        Which of them each picture is.
    """
    known, place, first = {}, [], []
    for number, picture in enumerate(pictures):
        digest = hashlib.blake2b(np.ascontiguousarray(picture).tobytes()).digest()
        if digest not in known:
            known[digest] = len(first)
            first.append(number)
        place.append(known[digest])
    return np.array(first, int), np.array(place, int)
