"""Are ceilings where they should be, and does an oracle score 1 over them?

    python scripts/bench/ceilings.py --studies 300

Responses: 100 stimuli, 200 channels, at each reliability of the averaged responses and number of
repeats. Printed are the mean of the oracle's normalised score (it predicts the true signal) with
its Monte-Carlo error, how often its 95 % interval holds 1, how often nothing was divided; the score
of a model that explains half of the signal's variance; the ceiling, and how often its interval
holds the truth. "shared" is the share of signal and of noise that groups of 20 channels have in
common: fewer independent channels, so that the ceiling is less well known.

Decoding: 100 stimuli, 64 dimensions, axes of unequal strength and noise of its own shape. Printed
are the truth and the estimates of the ceiling of the correlation, of the correlation that endless
repeats would bring, and of top-1 and two-way identification among noise-free candidates.
"""

import argparse

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.rigour.ceilings import (
    decoding_ceiling,
    noise_free_correlation,
    normalised_score,
    response_ceiling,
)
from neurodecode.rigour.identification import identification_ceiling, identify

N_STIMULI, N_CHANNELS, N_DIMS = 100, 200, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=300, help="per cell, of responses")
    parser.add_argument("--decoding-studies", type=int, default=10, help="per cell, of decoding")
    parser.add_argument("--reliability", type=float, nargs="+", default=[0.1, 0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--repeats", type=int, nargs="+", default=[2, 3, 6, 12])
    parser.add_argument("--shared", type=float, nargs="+", default=[0.0])
    args = parser.parse_args()
    if args.studies:
        print(f"responses, {args.studies} studies a cell")
        print(
            "shared reliability repeats  oracle (+- error)  holds 1  undivided  half  ceiling  held"
        )
    for shared in args.shared if args.studies else ():
        for reliability in args.reliability:
            for repeats in args.repeats:
                print(response_cell(shared, reliability, repeats, args.studies), flush=True)
    if args.decoding_studies:
        print(f"decoding, {args.decoding_studies} studies a cell: truth | estimate")
        print("snr  repeats  correlation's ceiling  without noise  top-1  two-way (held)")
        for snr in (0.2, 0.4, 0.8):
            for repeats in (2, 4, 12):
                print(decoding_cell(snr, repeats, args.decoding_studies), flush=True)


def response_cell(shared, reliability, repeats, n_studies):
    found = []
    for study in range(n_studies):
        rng = child_rng(study, "ceilings", str(shared), str(reliability), str(repeats))
        signal, responses, stimulus = simulate(shared, reliability, repeats, rng)
        other = mixed(signal.shape, shared, rng, stimulus)
        oracle = normalised_score(signal, responses, stimulus)
        half = normalised_score(signal + other, responses, stimulus)
        ceiling = response_ceiling(responses, stimulus, repeats)
        found.append(
            (
                oracle.value,
                oracle.lo <= 1 <= oracle.hi if np.isfinite(oracle.value) else np.nan,
                np.isnan(oracle.value),
                half.value,
                ceiling.value,
                ceiling.lo <= reliability <= ceiling.hi,
            )
        )
    found = np.array(found, float)
    value, holds, undivided, half, ceiling, held = np.nanmean(found, axis=0)
    error = np.nanstd(found[:, 0]) / np.sqrt(np.isfinite(found[:, 0]).sum())
    return (
        f"{shared:6.1f} {reliability:11.1f} {repeats:7d}  {value:6.3f} +- {error:.3f} {holds:11.3f}"
        f" {undivided:10.3f} {half:5.2f} {ceiling:8.3f} {held:9.3f}"
    )


def simulate(shared, reliability, repeats, rng):
    """Signal and responses of single trials; `reliability` is that of the mean of the repeats."""
    stimulus = np.repeat(np.arange(N_STIMULI), repeats)
    signal = mixed((len(stimulus), N_CHANNELS), shared, rng, stimulus)
    noise = mixed(signal.shape, shared, rng)
    return signal, signal + np.sqrt(repeats * (1 / reliability - 1)) * noise, stimulus


def mixed(shape, shared, rng, rows=None):
    """Unit-variance channels, groups of 20 of which share a part; rows as named, or all new."""
    own, common = rng.standard_normal(shape), rng.standard_normal((shape[0], shape[1] // 20))
    values = np.sqrt(1 - shared) * own + np.sqrt(shared) * np.repeat(common, 20, axis=1)
    return values if rows is None else values[rows]


def decoding_cell(snr, repeats, n_studies):
    truths, found = [], []
    for study in range(n_studies):
        rng = child_rng(study, "decoding", str(snr), str(repeats))
        said, truth, decoded, stimulus, draw = simulate_decoding(snr, repeats, rng)
        noisy = [identify(said + draw(N_STIMULI, repeats), said) for _ in range(50)]
        truths.append(
            (
                np.sqrt(snr**2 / (snr**2 + 1 / repeats)),
                0.6,
                np.mean([f.top1 for f in noisy]),
                np.mean([f.two_way for f in noisy]),
            )
        )
        ceilings = identification_ceiling(decoded, stimulus, repeats, rng=rng)
        found.append(
            (
                decoding_ceiling(decoded, stimulus, repeats),
                noise_free_correlation(decoded, truth[stimulus], stimulus),
                ceilings["top1"],
                ceilings["two_way"],
            )
        )
    value, low, high = (
        np.array([[getattr(c, end) for c in study] for study in found])
        for end in ("value", "lo", "hi")
    )
    truths = np.array(truths)
    held = ((low <= truths) & (truths <= high)).mean(axis=0)
    cells = [
        f"{t:.3f} | {v:.3f} ({h:.2f})"
        for t, v, h in zip(truths.mean(axis=0), np.nanmean(value, axis=0), held, strict=True)
    ]
    return f"{snr:.1f} {repeats:7d}  " + "   ".join(cells)


def simulate_decoding(snr, repeats, rng):
    """What a decoder says of stimuli, the truth (correlated at .6), and its trials with noise."""
    shape = np.arange(1, N_DIMS + 1) ** -0.5
    shape /= np.sqrt((shape**2).sum())
    turned = np.linalg.qr(rng.standard_normal((N_DIMS, N_DIMS)))[0]
    said = snr * rng.standard_normal((N_STIMULI, N_DIMS)) * shape
    other = snr * rng.standard_normal((N_STIMULI, N_DIMS)) * shape
    truth = 0.6 * said + 0.8 * other

    def draw(n_rows, n_averaged):
        return rng.standard_normal((n_rows, N_DIMS)) * shape @ turned / np.sqrt(n_averaged)

    stimulus = np.repeat(np.arange(N_STIMULI), repeats)
    return said, truth, said[stimulus] + draw(len(stimulus), 1), stimulus, draw


if __name__ == "__main__":
    main()
