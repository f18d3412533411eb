"""What a generator is worth: likeness to held-out pictures, and distances of whole sets of them.

FID [1]_ and KID [2]_ compare two sets of pictures in the feature space of an Inception network. In
another space they are other numbers: here they are those of a target's pooled embedding, at unit
length, and must be called so. They are only to be compared with the same between two sets of true
pictures of the same sizes: FID grows as sets shrink, KID does not.

References
----------
.. [1] Heusel, M. et al. (2017). GANs trained by a two time-scale update rule converge to a local
   Nash equilibrium. NeurIPS.
.. [2] Binkowski, M. et al. (2018). Demystifying MMD GANs. ICLR.
"""

import time

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of two normal distributions fitted to features.

        |mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2))

    Parameters
    ----------
    a, b : ndarray, shape (n_a, dim), (n_b, dim)

    Raises
    ------
    ValueError
        If there are fewer than two rows.
    """
    _check(a, b)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # the eigenvalues of a product of two covariances are real and not below 0, but for rounding
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    apart = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(max(apart + np.trace(first) + np.trace(second) - 2 * roots, 0.0))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of features, unbiased: of equal ones about 0.

    The kernel is that of KID, `(x . y / dim + 1)^3`; all rows are compared, where published tables
    average over random subsets.

    Parameters
    ----------
    a, b : ndarray, shape (n_a, dim), (n_b, dim)
    """
    _check(a, b)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    kernel = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
    within = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
    return float(within(kernel(a, a)) + within(kernel(b, b)) - 2 * kernel(a, b).mean())


def likeness(made: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """SSIM and pixel correlation of pictures with the true ones, means over pictures.

    Parameters
    ----------
    made, true : ndarray of uint8, shape (n, h, w, 3)
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    as_float = lambda p: torch.from_numpy(p).permute(0, 3, 1, 2).float() / 255
    pairs = zip(made, true, strict=True)
    correlations = [
        _correlation(x.ravel().astype(float), y.ravel().astype(float)) for x, y in pairs
    ]
    return {
        "SSIM": float(ssim(as_float(made), as_float(true), data_range=1.0)),
        "PixCorr": float(np.mean(correlations)),
    }


def ms_per_picture(generator, tokens: np.ndarray) -> float:
    """Milliseconds a picture takes, once the generator is warm."""
    generator.generate(tokens[:1], [0])
    started = time.perf_counter()
    generator.generate(tokens, list(range(len(tokens))))
    return 1000 * (time.perf_counter() - started) / len(tokens)


def _correlation(x, y):
    """Pearson's correlation; 0 where a picture has one colour."""
    x, y = (p.ravel() - p.mean() for p in (x, y))
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size else 0.0


def _check(a, b):
    if min(len(a), len(b)) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features of shapes {a.shape} and {b.shape}: give two rows of one width")
