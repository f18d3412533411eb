"""What bounds a decoder: brain dimensions, the span of its training, the noise of the trials."""

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.metrics.identification import TwoWay
from neurodecode.metrics.retrieval import brain_to_image
from neurodecode.metrics.score import cosine
from neurodecode.rigour.bootstrap import percentile_interval, resample_counts, weighted_mean
from neurodecode.rigour.bottleneck import Bottleneck, knee, knee_interval, steps
from neurodecode.rigour.ceilings import decoding_ceiling, noise_free_correlation, response_ceiling
from neurodecode.rigour.collapse import collapse, recovery_profile
from neurodecode.stages.encoding import regions_of
from neurodecode.stages.reading import averaged

CEILING = "subject roi kind n_repeats estimator value lo hi n".split()
DECODERS = ("model", "ridge")
MOST_DIMS = 256  # brain dimensions tried


def collapsed(asked):
    """Compare the dimensions of predictions with those of the truth."""
    trained_on = asked.study.pooled.loc[asked.study.trained_on].to_numpy()
    return [
        {"subject": asked.name, "condition": name}
        | collapse(asked.of_stimuli(name), asked.truth, trained_on)
        for name in DECODERS
    ]


def recovery(config, asked):
    """Correlate predictions with the truth along each principal axis of the embeddings."""
    trained_on = asked.study.pooled.loc[asked.study.trained_on].to_numpy()
    lines = []
    for name in DECODERS:
        rng = child_rng(config.seed, "recovery", asked.name, name)
        said = asked.of_stimuli(name)
        profile = recovery_profile(said, asked.truth, trained_on, alpha=0.05, rng=rng)
        for axis, (share, r) in enumerate(zip(profile.share, profile.correlation, strict=True)):
            line = {"subject": asked.name, "condition": name, "axis": axis + 1}
            line |= {"share": share, "correlation": r, "threshold": profile.threshold}
            lines.append(line | {"recovered": bool(r > profile.threshold)})
    return lines


def ceilings(asked):
    """How well anybody could do: of responses, by region, and of this decoder's embeddings."""
    n_repeats = float(np.median(asked.rows["n_repeats"]))
    lines = []
    for roi, responses, stimulus in _regions(asked):
        for repeats in sorted({1.0, n_repeats}):
            found = response_ceiling(responses, stimulus, repeats)
            lines.append(_line(asked.name, roi, "response", found))
    measured, trials = asked.side("test")
    stimulus = trials["stimulus_id"].to_numpy(str)
    for decoder in DECODERS:
        said = asked.answer(decoder, measured)
        for repeats in sorted({1.0, n_repeats}):
            found = decoding_ceiling(said, stimulus, repeats)
            lines.append(_line(asked.name, decoder, "decoding", found))
        truth = asked.study.pooled.loc[stimulus].to_numpy()
        found = noise_free_correlation(said, truth, stimulus)
        lines.append(_line(asked.name, decoder, "noise-free", found))
    return lines


def _line(subject, roi, kind, found):
    values = (subject, roi, kind, found.n_repeats, found.estimator, found.value)
    return dict(zip(CEILING, (*values, found.lo, found.hi, found.n), strict=True))


def _regions(asked):
    """Yield name, standardised training responses and stimuli of all channels and each region."""
    inputs = asked.study.inputs
    responses, trials = inputs.responses(asked.name, rows="train")
    stimulus = trials["stimulus_id"].to_numpy(str)
    repeated = trials["stimulus_id"].duplicated(keep=False).to_numpy()
    if not repeated.any():
        return
    std = responses.std(axis=0)
    varies = std > 0
    scaled = np.where(varies, (responses - responses.mean(axis=0)) / np.where(varies, std, 1), 0)
    flat = lambda part: part[repeated].reshape(int(repeated.sum()), -1)
    for roi, channels in regions_of(inputs, asked.name, scaled.shape[1]).items():
        yield roi, flat(scaled[:, channels]), stimulus[repeated]


def bottleneck(config, asked):
    """Score decoders that see only so many dimensions of the brain: lines, and where they bend."""
    responses, trials = averaged(*asked.side("train"), "stimulus_id", ["stimulus_id"])
    targets = asked.study.pooled.loc[trials["stimulus_id"]].to_numpy()
    narrow = Bottleneck.fit(responses, targets)
    measured, tested = averaged(*asked.side("test"), "stimulus_id", ["stimulus_id"])
    truth = asked.study.pooled.loc[tested["stimulus_id"]].to_numpy()
    dims = steps(min(narrow.n_dims, MOST_DIMS), config.steps_per_octave)
    rng = child_rng(config.seed, "bottleneck")
    counts = resample_counts(len(truth), config.n_bootstrap, rng)
    lines, knees = [], {}
    for decoder in DECODERS:
        rows = [
            row_scores(asked.answer(decoder, narrow.through(measured, d)), truth, targets.mean(0))
            for d in [*dims, None]
        ]
        for metric, chance in (("correlation", 0.0), ("two_way", 0.5), ("top1", 1 / len(truth))):
            curve = np.stack([one[metric] for one in rows], axis=1)  # (n_stimuli, n_steps + 1)
            draws = weighted_mean(curve, counts)
            low, high = percentile_interval(draws, config.level)
            for k, d in enumerate([*dims, np.nan]):
                line = {"subject": asked.name, "decoder": decoder, "metric": metric, "n_dims": d}
                line |= {"value": curve[:, k].mean(), "lo": low[k], "hi": high[k]}
                lines.append(line | {"n": len(truth), "chance": chance})
            if metric == "correlation":
                ends = knee_interval(dims, draws[:, :-1], config.level)
                bend = knee(dims, curve[:, :-1].mean(axis=0))
                knees[decoder] = {"knee": bend, "lo": ends[0], "hi": ends[1]}
                knees[decoder] |= {"full": float(curve[:, -1].mean()), "metric": metric}
    return lines, knees


def row_scores(said, truth, mean):
    """Score each row: correlation of deviations from the mean, two-way identification, top 1."""
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    score = TwoWay()(truth, said)[0]
    return {
        "correlation": (unit(said - mean) * unit(truth - mean)).sum(axis=1),
        "two_way": np.diagonal(score.values),
        "top1": np.diagonal(brain_to_image(cosine(truth, said))),
    }
