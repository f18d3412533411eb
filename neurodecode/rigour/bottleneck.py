"""How much of the brain does a decoder need: its score against the brain dimensions let through.

After BrainBits [1]_: a decoder that scores as well from a few numbers as from the whole brain tells
more of its generator than of the brain. Here the decoder, any function of responses, is left as it
is and what it is shown is narrowed. The dimensions come from reduced-rank regression [2]_ on
training rows: ridge from centred responses X to centred targets Y, its fitted values F, and

    X = U s V',   F = U f U'Y,   f = s^2 / (s^2 + alpha),   f U'Y = P S Q'   (S falling)

``z = X V s^-1 P`` are the dimensions, uncorrelated on the training rows. The first predicts most of
the targets' variance, the second most of what is left, and so on. What passes the first d of them
is ``mean + z_d z_d'X``: what the responses are expected to be given those d numbers, and the
training mean in all else. For ridge on the same rows this is its own reduced-rank solution, and all
dimensions together predict as the full responses do.

References
----------
.. [1] Mayo et al., BrainBits: how much of the brain are generative reconstruction methods using?,
   NeurIPS 2024, arXiv:2411.02783 (there the bottleneck is learned with the decoder).
.. [2] Izenman, Reduced-rank regression for the multivariate linear model, J. Multivariate Analysis
   5 (1975).
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.rigour.bootstrap import percentile_interval

# Penalties, relative to the mean squared length of a centred training row.
FRACTIONS = tuple(10.0 ** (k / 2) for k in range(-8, 9))


@dataclass(frozen=True)
class Bottleneck:
    """Ordered brain dimensions, made by `fit`.

    Parameters
    ----------
    mean : ndarray, shape (n_channels,)
        Mean training response; with a time axis, channels and times are flattened.
    weights : ndarray, shape (n_channels, n_dims)
        Centred responses times weights are the dimensions, of unit norm over the training rows.
    patterns : ndarray, shape (n_dims, n_channels)
        What a unit of each dimension looks like in the responses.
    share : ndarray, shape (n_dims,)
        Share of the predicted variance of the targets; falls.
    alpha : float
        Penalty chosen.
    """

    mean: np.ndarray
    weights: np.ndarray
    patterns: np.ndarray
    share: np.ndarray
    alpha: float

    @classmethod
    def fit(cls, responses, targets, fractions=FRACTIONS, max_components=3000):
        """Find the brain dimensions that predict the targets, most telling first.

        Parameters
        ----------
        responses : ndarray, shape (n_rows, n_channels) or (n_rows, n_channels, n_times)
            Training rows only, as the decoder sees them. Repeats of a stimulus are best averaged
            beforehand: the penalty is chosen by generalised cross-validation, which takes rows for
            independent.
        targets : ndarray, shape (n_rows, ...)
            Embeddings of the rows; trailing axes are flattened.
        fractions : sequence of float
            Candidate penalties, relative to the mean squared length of a centred response.
        max_components : int
            Where rows and channels both exceed this, ridge works in that many leading principal
            components (randomised SVD); otherwise in all of them.

        Raises
        ------
        ValueError
            If rows do not match, are fewer than three, or either side is constant.
        """
        x, y = _matrices(responses, targets)
        mean = x.mean(axis=0)
        u, s, vt = _svd(x - mean, max_components)
        y = y - y.mean(axis=0)
        uy = u.T @ y
        alphas = np.asarray(fractions, float) * (s**2).sum() / len(x)
        scores = [_gcv(s, uy, (y**2).sum(), len(x), alpha) for alpha in alphas]
        alpha = alphas[int(np.argmin(scores))]
        p, strength, _ = np.linalg.svd((s**2 / (s**2 + alpha))[:, None] * uy, full_matrices=False)
        p = p[:, strength > 1e-7 * strength[0]]
        strength = strength[: p.shape[1]]
        return cls(
            mean=mean,
            weights=vt.T @ (p / s[:, None]),
            patterns=(p.T * s) @ vt,
            share=strength**2 / (strength**2).sum(),
            alpha=float(alpha),
        )

    @property
    def n_dims(self):
        """Number of dimensions that can be let through."""
        return len(self.patterns)

    def through(self, responses, n_dims=None):
        """Let the first `n_dims` dimensions through; all else is at the training mean.

        Parameters
        ----------
        responses : ndarray, shape (n_rows, n_channels) or (n_rows, n_channels, n_times)
        n_dims : int or None
            0: every row is the training mean. None: no bottleneck, the responses as they are.

        Returns
        -------
        passed : ndarray, same shape and dtype
        """
        responses = np.asarray(responses)
        if n_dims is None:
            return responses.copy()
        if not 0 <= n_dims <= self.n_dims:
            raise ValueError(
                f"n_dims={n_dims}: the bottleneck has {self.n_dims} dimensions; "
                "give 0 to that many, or None for the responses as they are"
            )
        flat = responses.reshape(len(responses), -1)
        if flat.shape[1] != len(self.mean):
            raise ValueError(
                f"responses of shape {responses.shape} have {flat.shape[1]} numbers a row, the "
                f"bottleneck was fitted on {len(self.mean)}: use the channels and times of training"
            )
        z = (flat - self.mean) @ self.weights[:, :n_dims]  # (n_rows, n_dims)
        passed = self.mean + z @ self.patterns[:n_dims]
        return passed.reshape(responses.shape).astype(responses.dtype, copy=False)


def steps(n_dims, per_octave=4):
    """List the numbers of dimensions to try: 0, 1, 2 … `n_dims`, evenly on a log scale from 1."""
    octaves = np.log2(n_dims)
    grid = 2 ** np.linspace(0, octaves, int(np.ceil(per_octave * octaves)) + 1)
    return sorted({0, n_dims, *(int(d) for d in np.rint(grid))})


def knee(n_dims, scores, level=0.975):
    """How many dimensions give `level` of what the whole brain gains: where the curve bends.

    The gain is counted from the score at the fewest dimensions (0: a decoder that is shown the
    training mean) to the best score of the curve; between two steps the curve is a straight line,
    and where it falls it is taken to stay at its best so far.

    A score that saturates bends earlier: two-way identification near 1 needs few dimensions. The
    correlation of prediction and truth does not, and grows about as the root of the number of
    equally strong dimensions let through, so that .975 of it is .95 of the explained variance.

    Parameters
    ----------
    n_dims : sequence of int, shape (n_steps,)
        Rising.
    scores : ndarray, shape (n_steps,)
        Higher is better.
    level : float
        Between 0 and 1.

    Returns
    -------
    n_dims : float
        NaN where no step scores above the first.
    """
    n_dims = np.asarray(n_dims, float)
    best = np.maximum.accumulate(np.asarray(scores, float))
    if best.shape != n_dims.shape or not (np.diff(n_dims) > 0).all():
        raise ValueError(
            f"{len(n_dims)} numbers of dimensions and {len(best)} scores: give one score for each "
            "number, fewest dimensions first"
        )
    if not best[-1] > best[0]:
        return np.nan
    target = best[0] + level * (best[-1] - best[0])
    after = max(int(np.argmax(best >= target)), 1)
    low, high = best[after - 1 : after + 1]
    return float(
        n_dims[after - 1] + (target - low) / (high - low) * (n_dims[after] - n_dims[after - 1])
    )


def knee_interval(n_dims, draws, confidence=0.95, level=0.975):
    """Percentile interval of the knee over draws of the curve, shape (n_draws, n_steps).

    Draws of test stimuli, the same at all steps. Draws that gain nothing do not count; both ends
    are NaN where that is more than half of them.
    """
    knees = np.array([knee(n_dims, draw, level) for draw in draws])
    if np.isnan(knees).mean() > 0.5:
        return np.nan, np.nan
    low, high = percentile_interval(knees, confidence)
    return float(low), float(high)


def _matrices(responses, targets):
    x = np.asarray(responses, float).reshape(len(responses), -1)
    y = np.asarray(targets, float).reshape(len(targets), -1)
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(
            f"{len(x)} responses and {len(y)} targets: the bottleneck needs one target for each "
            "response, and at least three"
        )
    for name, values in (("responses", x), ("targets", y)):
        if not np.ptp(values, axis=0).any():
            raise ValueError(f"all {name} are alike: there is no dimension to order")
    return x, y


def _svd(x, max_components):
    """Thin SVD of a centred matrix by its smaller Gram matrix; directions of no variance go."""
    if min(x.shape) > max_components:
        from sklearn.utils.extmath import randomized_svd

        return randomized_svd(x, max_components, n_iter=3, random_state=0)
    wide = x.shape[0] < x.shape[1]
    squares, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    squares, vectors = squares[::-1], vectors[:, ::-1]
    kept = squares > 1e-12 * squares[0] * max(x.shape)
    s, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    if wide:
        return vectors, s, (vectors.T @ x) / s[:, None]
    return (x @ vectors) / s, s, vectors.T


def _gcv(s, uy, total, n_rows, alpha):
    """Generalised cross-validation error of ridge with an intercept."""
    f = s**2 / (s**2 + alpha)
    residual = total - ((2 * f - f**2) * (uy**2).sum(axis=1)).sum()
    return residual / (1 - (f.sum() + 1) / n_rows) ** 2
