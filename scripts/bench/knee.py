"""Does the knee of the bottleneck curve find the number of dimensions that was planted?

    python scripts/bench/knee.py --studies 40

Simulated studies: d* signals of equal strength, in responses of 300 channels with noise of its own,
and in 64-dimensional targets with as much that the brain does not carry. A decoder (ridge; a small
network) is trained on the full responses of 600 rows, then shown the responses of 200 test rows
with 0, 1, 2 … brain dimensions let through. The score is the correlation of predicted and true
embedding over dimensions, row by row. Printed: the score of the full responses, the knee relative
to d*, how often it lies within 20 %, and its 95 % interval (medians of both ends).
"""

import argparse

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.rigour.bootstrap import resample_counts, weighted_mean
from neurodecode.rigour.bottleneck import Bottleneck, knee, knee_interval, steps

N_TRAIN, N_TEST, N_CHANNELS, N_TARGETS = 600, 200, 300, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=40, help="per cell")
    parser.add_argument("--planted", type=int, nargs="+", default=[4, 7, 12, 22, 30, 40])
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.15, 0.2, 0.3, 0.5])
    parser.add_argument("--decoder", choices=sorted(DECODERS), default="ridge")
    args = parser.parse_args()
    print(f"decoder {args.decoder}, {args.studies} studies a cell")
    print("planted   snr  score  knee/planted (median, quartiles)  within 20 %  interval/planted")
    for planted in args.planted:
        for snr in args.snr:
            print(cell(planted, snr, args.studies, DECODERS[args.decoder]), flush=True)


def cell(planted, snr, n_studies, train):
    found = []
    for study in range(n_studies):
        rng = child_rng(study, "bottleneck", str(planted), str(snr))
        found.append(one_study(planted, snr, train, rng))
    score, ratio, low, high = np.array(found).T
    q1, median, q3 = np.quantile(ratio, [0.25, 0.5, 0.75])
    within = (np.abs(ratio - 1) <= 0.2).mean()
    return (
        f"{planted:7d} {snr:5.2f} {score.mean():6.3f}  {median:12.2f}  ({q1:.2f} to {q3:.2f})"
        f" {within:17.2f}   {np.nanmedian(low):.2f} to {np.nanmedian(high):.2f}"
    )


def one_study(planted, snr, train, rng):
    """The full score, and knee and its interval relative to the planted dimension."""
    responses, targets = simulate(planted, snr, rng)
    training, test = slice(0, N_TRAIN), slice(N_TRAIN, None)
    bottleneck = Bottleneck.fit(responses[training], targets[training])
    predict = train(responses[training], targets[training])
    grid = steps(bottleneck.n_dims)
    truth = targets[test] - targets[training].mean(axis=0)
    scores = np.array(
        [correlation(predict(bottleneck.through(responses[test], d)), truth) for d in grid]
    )
    counts = resample_counts(N_TEST, 200, rng)
    interval = knee_interval(grid, weighted_mean(scores.T, counts))
    curve = scores.mean(axis=1)
    return curve[-1], *(np.array([knee(grid, curve), *interval]) / planted)


def simulate(planted, snr, rng):
    """Responses and targets of all rows; `snr` is sd(signal) / sd(noise) of a channel."""
    n = N_TRAIN + N_TEST
    latent = rng.standard_normal((n, planted))
    to_channels, to_targets = (
        np.linalg.qr(rng.standard_normal((size, planted)))[0].T * np.sqrt(size / planted)
        for size in (N_CHANNELS, N_TARGETS)
    )
    responses = snr * latent @ to_channels + rng.standard_normal((n, N_CHANNELS))
    return responses, latent @ to_targets + rng.standard_normal((n, N_TARGETS))


def correlation(predicted, truth):
    """Correlate row by row; 0 for a prediction of nothing."""
    scale = np.linalg.norm(predicted, axis=1) * np.linalg.norm(truth, axis=1)
    product = (predicted * truth).sum(axis=1)
    return np.divide(product, scale, out=np.zeros(len(scale)), where=scale > 1e-9)


def ridge(responses, targets):
    """Train ridge; predictions are relative to the mean training target."""
    from sklearn.linear_model import RidgeCV

    center = targets.mean(axis=0)
    model = RidgeCV(np.logspace(0, 6, 13)).fit(responses, targets - center)
    mean = model.predict(responses.mean(axis=0)[None])
    return lambda x: model.predict(x) - mean


def network(responses, targets):
    """Train a network of one hidden layer; as `ridge`."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=(128,), alpha=10.0, learning_rate_init=3e-3, max_iter=60, random_state=0
    )
    model.fit(responses, targets - targets.mean(axis=0))
    mean = model.predict(responses.mean(axis=0)[None])
    return lambda x: model.predict(x) - mean


DECODERS = {"ridge": ridge, "network": network}

if __name__ == "__main__":
    main()
