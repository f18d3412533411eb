"""Distances of sets agree with an independent implementation and say what they should."""

import numpy as np
import pytest
import torch

from neurodecode.zoo.figures import frechet_distance, kernel_distance, likeness

N, DIM = 80, 12


def features(seed, shift=0.0):
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(9).standard_normal((DIM, DIM))
    return (rng.standard_normal((N, DIM)) @ mix + shift).astype(np.float32)


class Passed(torch.nn.Module):
    """Features that are given as pictures: (n, 1, 1, dim) bytes stay what they are."""

    num_features = DIM

    def forward(self, x):
        return x.reshape(len(x), -1).double()


def as_pictures(values):
    return torch.from_numpy(values).reshape(-1, 1, 1, DIM)


def test_the_distances_are_those_of_torchmetrics_in_the_same_space():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    a, b = features(0), features(1, shift=0.5)
    fid = FrechetInceptionDistance(feature=Passed(), normalize=False, input_img_size=(1, 1, DIM))
    fid.set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=Passed(), subsets=1, subset_size=N)
    for metric in (fid, kid):
        metric.update(as_pictures(a), real=True)
        metric.update(as_pictures(b), real=False)
    assert np.isclose(frechet_distance(a, b), fid.compute().item(), rtol=1e-3)
    assert np.isclose(kernel_distance(a, b), kid.compute()[0].item(), rtol=1e-3)


def test_equal_distributions_are_near_and_a_shift_counts_by_its_square():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 4000, 4))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, b) < 0.02 and abs(kernel_distance(a, b)) < 0.02
    assert frechet_distance(a, a + [3, 0, 0, 0]) == pytest.approx(9, rel=1e-6)
    assert frechet_distance(a, 2 * a) == pytest.approx(np.trace(np.cov(a.T)), rel=0.01)


def test_pictures_are_most_like_themselves():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    assert likeness(pictures, pictures) == {"SSIM": pytest.approx(1), "PixCorr": pytest.approx(1)}
    assert likeness(255 - pictures, pictures)["PixCorr"] == pytest.approx(-1)
    assert likeness(np.zeros_like(pictures), pictures)["PixCorr"] == 0


def test_one_row_has_no_spread():
    with pytest.raises(ValueError, match="give two rows"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
