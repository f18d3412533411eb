"""Timecourse: when the brain tells which picture was seen, and whether it tells it the same way.

For each subject and each short window of the epoch a ridge regression is fitted on training rows to
the pooled embedding, and tested on the test rows, which are opened here: repeats averaged, scored
by two-way identification. Each window's decoder is also tested in all other windows (temporal
generalisation). Embeddings are taken relative to the mean of the training stimuli, so that the
score says how predictions differ between stimuli, however much the penalty shrinks them.

The controls: chance is one half; the same predictions held against other test stimuli (shuffled);
and the windows before the onset, in which nothing can be decoded.
"""

from dataclasses import dataclass

import numpy as np

from neurodecode.core.ranges import Count, Level, Positive, Seed
from neurodecode.core.seeds import child_rng
from neurodecode.core.stage import stage
from neurodecode.stages.align import times_of
from neurodecode.stages.controls import other_stimulus
from neurodecode.stages.predict import test_rows
from neurodecode.stages.reading import aligned, stimulus_tables

CHANCE = 0.5
ALL = "all"  # the mean over subjects
SIGNIFICANT = 0.05  # of a cluster
MANY = 6  # subjects from which on they are tested as a sample of people
CURVE = "subject condition time_s value lo hi chance n".split()
CLUSTERS = "subject over n start_s end_s mass p".split()


@dataclass(frozen=True)
class TimecourseConfig:
    """Which windows, and how sure; conf/stage/timecourse.yaml explains each."""

    window_s: Positive = 0.05
    step_s: Positive = 0.01
    generalisation_step_s: Positive = 0.02
    n_bootstrap: Count = 1000
    n_permutations: Count = 1000
    forming_p: Level = 0.05
    level: Level = 0.95
    seed: Seed = 0


@stage(
    "timecourse",
    config=TimecourseConfig,
    inputs=("embed", "split", "preprocess", "align"),
    opens_test=True,
)
def run(config, inputs, out):
    """Decode window by window; write curves, clusters, generalisation, patterns and latencies."""
    import pandas as pd

    from neurodecode.models.over_time import sliding_windows
    from neurodecode.rigour.bootstrap import resample_counts
    from neurodecode.rigour.judge import number_stimuli

    subjects = inputs.members("preprocess")
    times_s = common_times(inputs, subjects)
    windows = sliding_windows(times_s, config.window_s, config.step_s)
    coarse = np.arange(0, len(windows.times_s), every(config, windows))

    scores, stimuli, squares = {}, {}, {}
    for subject in out.progress(subjects, label="subjects over time"):
        decoded = decode(config, inputs, subject, windows, coarse)
        stimuli[subject] = decoded["stimulus_id"]
        scores[subject] = {name: decoded[name] for name in ("ridge", "shuffled")}
        squares[subject] = decoded["generalisation"]
        save_subject(out, subject, decoded)
    out.save_array("times_s.npy", windows.times_s)
    out.save_array("generalisation_times_s.npy", windows.times_s[coarse])

    _, rows, n_units = number_stimuli(stimuli)
    unit = {subject: rows[subject].unit for subject in subjects}
    counts = resample_counts(n_units, config.n_bootstrap, child_rng(config.seed, "bootstrap"))
    drawn = {s: curves_of(scores[s], counts[:, unit[s]]) for s in subjects}
    over = {(s, "stimuli"): scores[s]["ridge"] for s in subjects}
    if len(subjects) > 1:
        names = ("ridge", "shuffled")
        drawn[ALL] = {n: np.mean([drawn[s][n] for s in subjects], axis=0) for n in names}
        over[ALL, "stimuli"] = mean_per_unit(scores, unit, n_units)
        out.save_array(f"{ALL}/generalisation.npy", np.mean(list(squares.values()), axis=0))
    if len(subjects) >= MANY:
        over[ALL, "subjects"] = np.stack([drawn[s]["ridge"][0] for s in subjects])

    found = pd.DataFrame(cluster_lines(config, over, windows.times_s), columns=CLUSTERS)
    n_stimuli = {s: len(stimuli.get(s, range(n_units))) for s in drawn}
    curve = pd.DataFrame(curve_lines(config, drawn, n_stimuli, windows.times_s), columns=CURVE)
    summary = {s: summarise(config, drawn[s], windows, of(found, s)) for s in drawn}
    how = {"window_s": windows.length_s, "step_s": windows.step_s, "level": config.level}
    how |= {"chance": CHANCE, "significant_p": SIGNIFICANT, "subjects": summary}
    out.save_table("curve.tsv", curve)
    out.save_table("clusters.tsv", found)
    out.save_json("timecourse.json", how)
    for subject, told in summary.items():
        out.log(f"{subject}: {in_words(told)}")


def common_times(inputs, subjects):
    """Read the times of the samples, seconds from the onset: the same for all subjects.

    Raises
    ------
    ValueError
        Where responses have no time axis, or subjects differ in theirs.
    """
    times = {s: times_of(inputs, s) for s in subjects}
    without = [s for s in subjects if times[s] is None]
    if without:
        raise ValueError(
            f"the responses of {', '.join(without)} have no time axis: preprocess made one "
            "number per channel and trial. Time-resolved decoding needs epochs, as a preprocess "
            "for EEG or MEG writes them; for other recordings take `timecourse` out of stages"
        )
    first = times[subjects[0]]
    for subject, own in times.items():
        if own.shape != first.shape or not np.allclose(own, first, atol=1e-6):
            raise ValueError(
                f"{subject} has {len(own)} times from {own[0]:.3f} to {own[-1]:.3f} s, "
                f"{subjects[0]} {len(first)} from {first[0]:.3f} to {first[-1]:.3f} s: give all "
                "the same sampling rate and window in preprocess.method"
            )
    return first


def every(config, windows):
    """How many windows apart those of the temporal generalisation are."""
    return max(1, round(config.generalisation_step_s / windows.step_s))


def decode(config, inputs, subject, windows, coarse):
    """Fit and test all windows of one subject.

    Returns
    -------
    decoded : dict
        ``stimulus_id`` (n_stimuli,); ``ridge`` and ``shuffled`` (n_stimuli, n_windows);
        ``generalisation`` (n_coarse, n_coarse), trained by tested; ``pattern`` (n_windows,
        n_sensors); ``alphas`` (n_windows,).
    """
    from threadpoolctl import threadpool_limits

    from neurodecode.models.over_time import (
        activation_patterns,
        fit_over_time,
        predict_over_time,
        window_means,
    )

    stimuli, tables = stimulus_tables(inputs)
    responses, trials = aligned(inputs, subject, "train", whole=True)
    shown = stimuli.get_indexer(trials["stimulus_id"])
    mean = tables["pooled"][np.unique(shown)].mean(axis=0)
    x, targets = window_means(responses, windows), tables["pooled"][shown] - mean
    runs = (trials["session"].astype(str) + " " + trials["run"].astype(str)).to_numpy()
    tested, rows = test_rows(*aligned(inputs, subject, "test", whole=True), "repeats")
    truth = tables["pooled"][stimuli.get_indexer(rows["stimulus_id"])] - mean
    if len(truth) < 2:
        raise ValueError(f"{subject} has one test stimulus: two-way identification needs 2 or more")
    other = other_stimulus(rows["stimulus_id"], child_rng(config.seed, "shuffle", subject))
    # One thread: the matrices are small, and a second thread waits more than it works.
    with threadpool_limits(1, "blas"):
        fit = fit_over_time(x, targets, runs)
        test = window_means(tested, windows)
        said = predict_over_time(test, fit)
        pattern = activation_patterns(x, window_means(standardised(inputs, subject), windows), fit)
        return {
            "stimulus_id": rows["stimulus_id"].to_numpy(str),
            "ridge": identified(truth, said).T,
            "shuffled": identified(truth, said[:, other]).T,
            "generalisation": generalise(truth, test, fit, coarse),
            "pattern": pattern.astype(np.float32),
            "alphas": fit["alphas"],
        }


def standardised(inputs, subject):
    """Training responses of all of a subject's sensors, each in units of its own spread.

    Not as align scales them: a whitened channel is a mixture of sensors, and has no place.
    """
    responses, _ = inputs.responses(subject, rows="train")
    spread = responses.std(axis=(0, 2), keepdims=True)
    return responses / np.where(spread > 0, spread, 1)


def identified(truth, said):
    """Score predictions (n_windows, n_stimuli, dim): (n_windows, n_stimuli)."""
    from neurodecode.metrics.identification import own_two_way
    from neurodecode.metrics.score import cosine

    return np.stack([own_two_way(cosine(truth, one)) for one in said])


def generalise(truth, test, fit, coarse):
    """Test each window's decoder in every window: means over stimuli, trained by tested."""
    from neurodecode.models.over_time import predict_over_time

    means = np.empty((len(coarse), len(coarse)))
    for line, trained in zip(means, coarse, strict=True):
        same = {name: np.stack([fit[name][trained]] * len(coarse)) for name in fit}
        line[:] = identified(truth, predict_over_time(test[coarse], same)).mean(axis=1)
    return means


def save_subject(out, subject, decoded):
    """Write what is known of one subject by itself."""
    import pandas as pd

    ids = pd.DataFrame({"stimulus_id": decoded["stimulus_id"]})
    out.save_table(f"{subject}/stimuli.tsv", ids)
    out.save_array(f"{subject}/per_stimulus.npy", decoded["ridge"].astype(np.float32))
    for name in ("generalisation", "pattern", "alphas"):
        out.save_array(f"{subject}/{name}.npy", decoded[name])


def curves_of(scores, counts):
    """Means over stimuli, first of all of them, then of each draw: (1 + n_draws, n_windows)."""
    from neurodecode.rigour.bootstrap import weighted_mean

    whole = np.ones((1, counts.shape[1]))
    return {name: weighted_mean(s, np.vstack([whole, counts])) for name, s in scores.items()}


def mean_per_unit(scores, unit, n_units):
    """Mean over the subjects who saw each stimulus, (n_units, n_windows)."""
    total = np.zeros((n_units, next(iter(scores.values()))["ridge"].shape[1]))
    seen = np.zeros((n_units, 1))
    for subject, own in scores.items():
        total[unit[subject]] += own["ridge"]
        seen[unit[subject]] += 1
    return total / seen


def curve_lines(config, drawn, n_stimuli, times_s):
    """The lines of curve.tsv."""
    from neurodecode.rigour.bootstrap import percentile_interval

    for subject, conditions in drawn.items():
        for name, curves in conditions.items():
            low, high = percentile_interval(curves[1:], config.level)
            for place, time_s in enumerate(times_s):
                value = (curves[0, place], low[place], high[place])
                yield (subject, name, time_s, *value, CHANCE, n_stimuli[subject])


def cluster_lines(config, over, times_s):
    """The lines of clusters.tsv."""
    from neurodecode.rigour.clusters import clusters_above_chance

    for (subject, unit), scores in over.items():
        rng = child_rng(config.seed, "clusters", subject, unit)
        found = clusters_above_chance(
            scores, CHANCE, config.n_permutations, rng, forming_p=config.forming_p
        )
        for c in found:
            yield subject, unit, len(scores), times_s[c.first], times_s[c.last], c.mass, c.p


def of(clusters, subject):
    """A subject's clusters beyond chance, tested over stimuli."""
    mine = (clusters["subject"] == subject) & (clusters["over"] == "stimuli")
    return clusters[mine & (clusters["p"] <= SIGNIFICANT)]


def summarise(config, drawn, windows, clusters):
    """Peak, onset and offset of one curve, and what it is before the onset; None: there is none."""
    from neurodecode.rigour.bootstrap import percentile_interval
    from neurodecode.rigour.latency import peak_latency

    curves, before = drawn["ridge"], windows.before_onset
    told = dict.fromkeys(("peak_s", "peak_lo_s", "peak_hi_s", "peak_value", "onset_s", "offset_s"))
    if len(clusters):
        peaks = peak_latency(curves, windows.times_s, CHANCE)
        low, high = percentile_interval(peaks[1:], config.level)
        told |= {"peak_s": peaks[0], "peak_lo_s": low, "peak_hi_s": high}
        told |= {"peak_value": curves[0].max()}
        told |= {"onset_s": clusters["start_s"].min(), "offset_s": clusters["end_s"].max()}
    told |= {"before_onset": None, "n_before_onset": int(before.sum())}
    if before.any():
        means = curves[:, before].mean(axis=1)
        low, high = percentile_interval(means[1:], config.level)
        told["before_onset"] = {"value": means[0], "lo": low, "hi": high}
    return told


def in_words(told):
    """One line of the log."""
    if told["peak_s"] is None:
        return "no time at which decoding is beyond chance"
    peak = f"peak {told['peak_value']:.3f} at {1000 * told['peak_s']:.0f} ms"
    where = f"[{1000 * told['peak_lo_s']:.0f}, {1000 * told['peak_hi_s']:.0f}]"
    return f"{peak} {where}, from {1000 * told['onset_s']:.0f} ms on; chance {CHANCE}"
