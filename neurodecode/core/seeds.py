"""Random streams by name: the same seed and names give the same numbers, whatever ran before."""

import hashlib
import json

import numpy as np


def child_seed(seed, *names):
    """Derive a seed from a parent seed and a path of names.

    Parameters
    ----------
    seed : int
        The experiment's seed.
    *names : str or int
        What the numbers are for, e.g. ``"bootstrap", "sub-01"``.

    Returns
    -------
    child : int
        In [0, 2**63), so that torch, numpy and safetensors metadata all accept it.
    """
    text = json.dumps([int(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def child_rng(seed, *names):
    """Return a numpy Generator seeded with :func:`child_seed`."""
    return np.random.default_rng(child_seed(seed, *names))
