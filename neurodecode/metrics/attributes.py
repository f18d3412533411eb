"""Read a picture's attributes with a small network that knows nothing of the decoding target.

A reconstruction is right when a judge who never saw the brain, nor the embedding the decoder was
trained towards, names the same shape, colour, place ... The judge is a convolutional network
trained on rendered scenes and their labels alone; its own accuracy belongs beside every score.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from neurodecode.core.claims import built_to_fit, read_tensors
from neurodecode.core.documents import read_json
from neurodecode.core.ranges import Count
from neurodecode.weights import weights_folder

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class AttributeReader:
    """Names the attributes of 64 x 64 scenes.

    Parameters
    ----------
    path : str
        ``shipped:reader``, or a folder with ``config.json`` and ``model.safetensors``.
    batch : int
        Pictures read at once.

    Attributes
    ----------
    attributes : dict of str to list of str
        The attributes and the values of each, in the order of `config.json`.
    """

    def __init__(self, path: str = "shipped:reader", batch: Count = 256):
        folder = weights_folder(path)
        if folder is None:
            raise FileNotFoundError(f"no folder {path!r}: expected shipped:reader or a path")
        config = _config(Path(folder) / CONFIG)
        weights = read_tensors(Path(folder) / WEIGHTS, "torch")
        self.attributes: dict[str, list[str]] = config["attributes"]
        self.batch, self._size_px = batch, config["size_px"]
        make = lambda: network(config["widths"], self.attributes, self._size_px)
        self._network = built_to_fit(make, weights, f"{Path(folder) / CONFIG}")
        self._network.load_state_dict(weights)
        self._network.eval().requires_grad_(False)

    def read(self, pictures: np.ndarray) -> pd.DataFrame:
        """Name the attributes of pictures.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (n, height, width, 3)
            Other sizes than the reader's own are resampled (bilinear, antialiased).

        Returns
        -------
        names : DataFrame, n rows
            One column per attribute: the value with the highest probability.
        """
        logits = self.logits(pictures)
        return pd.DataFrame(
            {
                name: np.array(values, dtype=object)[logits[name].argmax(axis=1)]
                for name, values in self.attributes.items()
            }
        )

    def logits(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Score every value of every attribute: {attribute: (n, n_values) float32}."""
        import torch

        if pictures.dtype != np.uint8 or pictures.ndim != 4:
            raise ValueError(
                f"pictures of {pictures.dtype} {pictures.shape}: expected uint8, "
                "(n, height, width, 3)"
            )
        starts = range(0, max(len(pictures), 1), self.batch)
        with torch.inference_mode():
            parts = [self._network(self._prepare(pictures[i : i + self.batch])) for i in starts]
        columns = np.cumsum([len(values) for values in self.attributes.values()])[:-1]
        return dict(
            zip(self.attributes, np.split(torch.cat(parts).numpy(), columns, axis=1), strict=True)
        )

    def accuracy(self, pictures: np.ndarray, truth: pd.DataFrame) -> dict[str, float]:
        """The share of pictures whose attribute is named right: {attribute: share in [0, 1]}."""
        names = self.read(pictures)
        return {
            name: float((names[name].to_numpy() == truth[name].to_numpy()).mean())
            for name in self.attributes
        }

    def _prepare(self, pictures):
        import torch
        import torch.nn.functional as F

        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
        if x.shape[-2:] == (self._size_px, self._size_px):
            return x
        return F.interpolate(x, (self._size_px, self._size_px), mode="bilinear", antialias=True)


def _config(path):
    """Read what the reader names and how large it is; ValueError where that cannot be."""
    config = read_json(path)
    attributes, widths, size_px = (config.get(k) for k in ("attributes", "widths", "size_px"))
    texts = lambda values: isinstance(values, list) and all(isinstance(v, str) for v in values)
    sizes = [size_px, *widths] if isinstance(widths, list) else [None]
    known = isinstance(attributes, dict) and attributes and all(map(texts, attributes.values()))
    if not known or len(sizes) > 12 or not all(type(n) is int and 0 < n <= 4096 for n in sizes):
        raise ValueError(
            f"{path} is not of a reader of attributes: expected attributes (names and their "
            "values), widths and size_px"
        )
    return config


def network(widths: list[int], attributes: dict[str, list[str]], size_px: int):
    """A plain convolutional classifier.

    Each width halves the picture (a strided and a plain 3 x 3 convolution, each with batch
    normalisation and ReLU); what remains is flattened, so that place is not pooled away, and goes
    through one hidden layer to the logits of all attributes side by side.

    Returns
    -------
    network : torch.nn.Sequential
        (n, 3, size_px, size_px) in [-1, 1] -> (n, total number of values).
    """
    from torch import nn

    layers, before = [], 3
    for width in widths:
        for stride, inputs in ((2, before), (1, width)):
            layers += [nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    cells = (size_px // 2 ** len(widths)) ** 2
    n_values = sum(len(values) for values in attributes.values())
    layers += [nn.Flatten(), nn.Linear(before * cells, 128), nn.ReLU(), nn.Linear(128, n_values)]
    return nn.Sequential(*layers)
