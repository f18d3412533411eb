"""Ceilings: variance components by hand, textbook ratios, oracles and planted signals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress

from neurodecode.rigour.anova import by_stimulus, left_out, ratio_of_sums, variances
from neurodecode.rigour.ceilings import (
    channel_reliability,
    decoding_ceiling,
    noise_free_correlation,
    normalised_score,
    response_ceiling,
)
from neurodecode.rigour.identification import identification_ceiling, identify, split_half
from neurodecode.signal.reliability import ncsnr, noise_ceiling


def study(n_repeats=3, noise=1.0, seed=0, n_stimuli=60, n_channels=40):
    """Signal and responses of single trials, unit signal variance."""
    rng = np.random.default_rng(seed)
    stimulus = np.repeat(np.arange(n_stimuli), n_repeats)
    signal = rng.standard_normal((n_stimuli, n_channels))[stimulus]
    return signal, signal + noise * rng.standard_normal(signal.shape), stimulus


def unequal(seed=0):
    _, responses, stimulus = study(6, seed=seed)
    rows = np.random.default_rng(seed).permutation(len(stimulus))[:150]
    return responses[rows], stimulus[rows]


def test_variance_components_are_those_of_a_table_of_squares():
    responses, stimulus = unequal()
    frame = pd.Series(responses[:, 3])
    groups = frame.groupby(stimulus)
    n, n_stimuli = groups.size(), groups.ngroups
    assert n.min() < n.max()
    msb = (n * (groups.mean() - frame.mean()) ** 2).sum() / (n_stimuli - 1)
    msw = ((frame - groups.transform("mean")) ** 2).sum() / (len(frame) - n_stimuli)
    n0 = (len(frame) - (n**2).sum() / len(frame)) / (n_stimuli - 1)
    (signal,), (noise,) = variances(by_stimulus(responses, stimulus))
    assert signal[3] == pytest.approx((msb - msw) / n0) and noise[3] == pytest.approx(msw)


def test_leaving_stimuli_out_by_weight_is_leaving_their_trials_out():
    responses, stimulus = unequal()
    weighted = variances(by_stimulus(responses, stimulus), left_out(len(set(stimulus))))
    kept = stimulus != np.unique(stimulus)[7]
    alone = variances(by_stimulus(responses[kept], stimulus[kept]))
    for part, other in zip(weighted, alone, strict=True):
        np.testing.assert_allclose(part[8], other[0])


def test_a_channel_is_as_reliable_as_its_ncsnr_says():
    responses, stimulus = unequal()
    expected = noise_ceiling(ncsnr(responses, stimulus), 4) ** 2
    found = channel_reliability(responses, stimulus, 4)
    np.testing.assert_allclose(np.maximum(found, 0), expected, atol=1e-12)


def test_the_ceiling_is_one_ratio_of_sums():
    _, responses, stimulus = study(noise=3)
    responses[:, :5] *= 10  # loud channels count for more
    (signal,), (noise,) = variances(by_stimulus(responses, stimulus))
    expected = signal.sum() / (signal + noise / 3).sum()
    ceiling = response_ceiling(responses, stimulus, 3)
    assert ceiling.value == pytest.approx(expected, rel=0.02)  # Beale's correction
    assert ceiling.lo < 1 / 4 < ceiling.hi and ceiling.n == 60 and "sums" in ceiling.estimator


def test_without_repeats_nothing_is_known():
    _, responses, stimulus = study(1)
    assert np.isnan(response_ceiling(responses, stimulus).value)
    assert np.isnan(decoding_ceiling(responses, stimulus).lo)
    assert np.isnan(noise_free_correlation(responses, responses, stimulus).value)
    assert np.isnan(normalised_score(responses, responses, stimulus).value)


@pytest.mark.parametrize("reliability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n_repeats", [2, 12])
def test_the_oracle_scores_one_and_the_ceiling_is_the_planted(reliability, n_repeats):
    noise = np.sqrt(n_repeats * (1 / reliability - 1))
    found = []
    for seed in range(40):
        signal, responses, stimulus = study(n_repeats, noise, seed, n_channels=150)
        score = normalised_score(signal, responses, stimulus)
        ceiling = response_ceiling(responses, stimulus, n_repeats)
        found.append((score.value, score.lo <= 1 <= score.hi, ceiling.value))
    found = np.array(found)
    error = 3 * found.std(axis=0) / np.sqrt(40)
    assert abs(found[:, 0].mean() - 1) < max(0.02, error[0])
    assert found[:, 1].mean() >= 0.8  # .95 expected; 40 studies
    assert abs(found[:, 2].mean() - reliability) < max(0.01, error[2])


def test_half_of_the_signal_scores_a_half_and_chance_nothing():
    rng = np.random.default_rng(3)
    signal, responses, stimulus = study(4, 2.0, n_stimuli=200, n_channels=100)
    other = rng.standard_normal((200, 100))[stimulus]
    assert normalised_score(signal + other, responses, stimulus).value == pytest.approx(
        0.5, abs=0.03
    )
    chance = normalised_score(other, responses, stimulus)
    assert chance.lo < 0 < chance.hi and abs(chance.value) < 0.03


def test_with_endless_repeats_the_score_is_r_squared():
    signal, responses, stimulus = study(2, 1e-6, n_channels=3, n_stimuli=500)
    rng = np.random.default_rng(0)
    predicted = 3 - 2 * signal + rng.standard_normal((500, 3))[stimulus]
    expected = [linregress(predicted[:, k], signal[:, k]).rvalue ** 2 for k in range(3)]
    np.testing.assert_allclose(
        normalised_score(predicted, responses, stimulus).channels, expected, atol=0.002
    )


def test_channels_without_signal_are_summed_and_never_divided():
    signal, responses, stimulus = study(4, 1.0)
    empty = np.random.default_rng(1).standard_normal(responses.shape)
    both = np.hstack([responses, empty]), np.hstack([signal, empty * 0 + signal])
    score = normalised_score(both[1], both[0], stimulus, least=0.4)
    assert np.isnan(score.channels[40:]).mean() > 0.9 and np.isfinite(score.channels[:40]).all()
    assert score.value == pytest.approx(1, abs=0.05)


def test_where_nothing_is_reliable_nothing_is_divided():
    rng = np.random.default_rng(0)
    _, _, stimulus = study()
    score = normalised_score(*rng.standard_normal((2, 180, 40)), stimulus)
    assert np.isnan([score.value, score.lo, score.hi]).all() and np.isnan(score.channels).all()
    assert score.reliability < 0.05


def test_a_constant_channel_changes_nothing():
    signal, responses, stimulus = study()
    dead = np.ones((len(stimulus), 1))
    with_dead = normalised_score(np.hstack([signal, dead]), np.hstack([responses, dead]), stimulus)
    alone = normalised_score(signal, responses, stimulus)
    assert with_dead.value == pytest.approx(alone.value) and np.isnan(with_dead.channels[-1])


def test_the_interval_of_a_ratio_is_the_set_that_is_not_rejected():
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 30)) * 0.3 + [[2.0], [1.0]]
    leave = 1 - np.eye(30)
    top, bottom = (np.append(v.mean(), leave @ v / 29) for v in (a, b))
    _, low, high = ratio_of_sums(top, bottom)
    for theta in (low, high):
        difference = a - theta * b  # t test at the edge: 2.045 standard errors
        t = difference.mean() / (difference.std(ddof=1) / np.sqrt(30))
        assert abs(t) == pytest.approx(2.0452, abs=1e-3)
    assert np.isnan(ratio_of_sums(top, bottom - bottom[0])).all()


def test_decoding_is_held_by_its_reliability():
    found = []
    for seed in range(20):
        said, decoded, stimulus = study(4, 2.0, seed)
        rng = np.random.default_rng(100 + seed)
        truth = 0.6 * said + 0.8 * rng.standard_normal((60, 40))[stimulus]
        averaged = by_stimulus(decoded, stimulus).means
        found.append(
            (
                decoding_ceiling(decoded, stimulus, 4).value,
                noise_free_correlation(decoded, truth, stimulus).value,
                np.corrcoef(averaged.ravel(), truth[::4].ravel())[0, 1],
            )
        )
    ceiling, without_noise, observed = np.mean(found, axis=0)
    assert ceiling == pytest.approx(np.sqrt(1 / 2), abs=0.01)
    assert without_noise == pytest.approx(0.6, abs=0.02)
    assert observed == pytest.approx(ceiling * without_noise, abs=0.01)


def test_identification_counts_ties_half():
    same = np.ones((5, 3))
    assert identify(same, same).top1.tolist() == [0.2] * 5
    assert identify(same, same).two_way.tolist() == [0.5] * 5
    assert identify(np.eye(4), np.eye(4)).top1.tolist() == [1] * 4
    three = identify(np.eye(3), np.eye(3)[[0, 2, 1]])
    assert three.top1.tolist() == [1, 0, 0] and three.two_way.tolist() == [1, 0.25, 0.25]


def test_halves_of_the_trials_find_each_other():
    _, decoded, stimulus = study(2, 1.0)
    brute = []
    for seed in range(30):
        first = np.random.default_rng(seed).integers(2, size=60) + 2 * np.arange(60)
        second = first ^ 1
        unit = decoded / np.linalg.norm(decoded, axis=1, keepdims=True)
        similarity = unit[first] @ unit[second].T
        own = np.diag(similarity)
        for table in (similarity, similarity.T):
            brute.append((table < own[:, None]).sum(axis=1) / 59)
    found = split_half(decoded, stimulus, 30, rng=np.random.default_rng(9)).two_way
    np.testing.assert_allclose(found.mean(), np.mean(brute), atol=0.003)
    noise = np.random.default_rng(0).standard_normal(decoded.shape)
    assert split_half(noise, stimulus, rng=np.random.default_rng(1)).two_way.mean() < 0.6


def test_the_identification_ceiling_is_that_of_endless_repeats():
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        said, decoded, stimulus = study(4, 3.0, seed, n_channels=30)
        said = said[::4]
        noisy = [identify(said + 1.5 * rng.standard_normal(said.shape), said) for _ in range(20)]
        ceiling = identification_ceiling(decoded, stimulus, 4, n_groups=2, rng=rng)
        assert ceiling["two_way"].lo <= ceiling["two_way"].value <= ceiling["two_way"].hi
        assert ceiling["split_half_two_way"].n_repeats == 2
        found.append(
            (
                np.mean([n.two_way for n in noisy]) - ceiling["two_way"].value,
                np.mean([n.top1 for n in noisy]) - ceiling["top1"].value,
                ceiling["two_way"].value - ceiling["split_half_two_way"].value,
            )
        )
    two_way, top1, gain = np.mean(found, axis=0)
    assert abs(two_way) < 0.02 and abs(top1) < 0.1 and gain > 0.05


def test_stimuli_shown_once_do_not_enter_identification():
    _, decoded, stimulus = study(3)
    rng = np.random.default_rng(0)
    once = (
        np.vstack([decoded, rng.standard_normal((20, 40))]),
        np.append(stimulus, 900 + np.arange(20)),
    )
    found = split_half(*once, 5, rng=np.random.default_rng(1))
    assert len(found.two_way) == 60
    with pytest.raises(ValueError, match="four at least"):
        split_half(decoded[:9:3], stimulus[:9:3], rng=rng)


def test_shapes_that_do_not_match_are_told():
    signal, responses, stimulus = study()
    with pytest.raises(ValueError, match="flatten a time axis"):
        response_ceiling(responses[:, :, None], stimulus)
    with pytest.raises(ValueError, match="one id for each trial"):
        response_ceiling(responses, stimulus[:-1])
    with pytest.raises(ValueError, match="same channels"):
        normalised_score(signal[:, :3], responses, stimulus)
