"""What the whole battery of controls costs, features given.

    python scripts/bench/battery.py [--pictures 1000] [--threads 2]

One subject, a model and its nine controls, 1,000 bootstrap and 1,000 permutation draws: every
metric that needs no weights, every comparison of the model with a control, intervals and p-values.
Prints the seconds of each part and in all.
"""

import argparse
import time

import numpy as np

CONDITIONS = ("model", "ridge", "shuffled", "shuffled_within", "mean_brain", "matched_noise")
CONDITIONS += ("nuisance_only", "prior_only", "category_oracle", "true_features")
DIM, SIDE_PX = 512, 64


def study(n, rng):
    """Make the truth and what each condition predicts of `n` pictures; all but three are noise."""
    pooled = rng.standard_normal((n, DIM))
    layers = {f"layer {k}": rng.standard_normal((n, d)) for k, d in enumerate((1024, 1024, 4096))}
    pictures = rng.integers(0, 256, (n, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    truth = {"pooled": pooled, "layers": layers, "pictures": pictures}
    weight = {"model": 1.0, "ridge": 0.7, "true_features": 1e3}
    return truth, {c: predicted(truth, weight.get(c, 0.0), rng) for c in CONDITIONS}


def predicted(truth, weight, rng):
    """Mix the truth with noise."""
    noisy = lambda x: weight * x + rng.standard_normal(x.shape)
    pictures = truth["pictures"] if weight else rng.permutation(truth["pictures"])
    return {
        "pooled": noisy(truth["pooled"]),
        "layers": {name: noisy(layer) for name, layer in truth["layers"].items()},
        "pictures": pictures // 2 + rng.integers(0, 128, pictures.shape, dtype=np.uint8),
    }


def main():
    """Time it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    from threadpoolctl import threadpool_limits

    with threadpool_limits(options.threads):
        run(options.pictures)


def run(n):
    """Score, judge and compare all conditions."""
    from neurodecode.metrics.identification import TwoWay, TwoWayLayers
    from neurodecode.metrics.pixel import SSIM, PixCorr
    from neurodecode.metrics.retrieval import Retrieval
    from neurodecode.rigour.judge import Draws, Panel, Rows, judge
    from neurodecode.rigour.results import (
        comparison_lines,
        differences,
        metric_lines,
        pool_subjects,
    )
    from neurodecode.stages.evaluate import AGAINST, score_all

    rng = np.random.default_rng(0)
    truth, said = study(n, rng)
    own, kinds = np.arange(n), dict.fromkeys(CONDITIONS, "control")
    kinds |= {"model": "model", "true_features": "ceiling"}
    took, start = {}, time.perf_counter()
    draws = Draws.make(n, 1000, 1000, rng)
    panel = Panel.of(Rows(own, own), draws)
    took["draws"] = time.perf_counter() - start
    verdicts = {}
    for metric in (Retrieval(), TwoWay(), TwoWayLayers(), PixCorr(), SSIM()):
        before = time.perf_counter()
        for condition in CONDITIONS:
            scores = score_all([metric], truth, said[condition], own)
            judged = {key: judge(score, panel) for key, score in scores.items()}
            verdicts.setdefault(("sub-01", condition), {}).update(judged)
        took[type(metric).__name__] = time.perf_counter() - before
    before = time.perf_counter()
    lines = metric_lines(pool_subjects(verdicts, n), kinds)
    took["intervals and p"] = time.perf_counter() - before
    before = time.perf_counter()
    pairs = [("model", other) for other in AGAINST]
    compared = comparison_lines(differences(verdicts, pairs, {"sub-01": panel}, n))
    took["comparisons"] = time.perf_counter() - before
    for name, seconds in took.items():
        print(f"{name:16} {seconds:6.1f} s")
    print(
        f"{n} pictures, {len(CONDITIONS)} conditions, {len(lines)} lines, {len(compared)} "
        f"comparisons: {time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    main()
