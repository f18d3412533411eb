"""The code tells what words tell, however little of the tokens' variance that is."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from neurodecode.diffusion.token_code import fit_code

N, N_VALUES = 4000, 30


@pytest.fixture
def pictures():
    """Two words that move two faint directions of tokens; five loud directions nobody names."""
    rng = np.random.default_rng(0)
    words = rng.integers(2, size=(N, 2)).astype(float)
    axes = np.linalg.qr(rng.standard_normal((N_VALUES, 7)))[0]
    loud = rng.standard_normal((N, 5)) * [6, 5, 4, 3, 2]
    tokens = words @ (0.6 * axes[:, :2].T) + loud @ axes[:, 2:].T
    tokens += 0.05 * rng.standard_normal(tokens.shape)
    return (tokens - tokens.mean(axis=0)) / tokens.std(axis=0), words


def test_the_first_components_tell_words_that_principal_components_miss(pictures):
    tokens, words = pictures
    told = tokens @ fit_code(tokens, words, n_rest=0, shrinkage=1e-4)
    loudest = PCA(2).fit_transform(tokens)
    score = lambda x: [Ridge(1e-6).fit(x, w).score(x, w) for w in words.T]
    assert told.shape == (N, 2)
    assert min(score(told)) > 0.8 and max(score(loudest)) < 0.2


def test_components_are_uncorrelated_with_variance_one(pictures):
    tokens, words = pictures
    code = tokens @ fit_code(tokens, words, n_rest=6)
    np.testing.assert_allclose(code.T @ code / N, np.eye(8), atol=1e-4)


def test_the_rest_are_principal_components_of_what_words_do_not_tell(pictures):
    tokens, words = pictures
    code = tokens @ fit_code(tokens, words, n_rest=3)
    told, rest = code[:, :2], code[:, 2:]
    left = tokens - told @ np.linalg.lstsq(told, tokens, rcond=None)[0]
    expected = PCA(3).fit_transform(left)
    explained = Ridge(1e-9).fit(rest, expected).score(rest, expected)
    assert explained == pytest.approx(1, abs=1e-6)


def test_a_word_said_twice_or_always_adds_nothing(pictures):
    tokens, words = pictures
    wordy = np.hstack([words, words[:, :1], 1 - words[:, 1:], np.ones((N, 1))])
    assert fit_code(tokens, wordy, n_rest=1).shape == (N_VALUES, 3)


def test_more_shrinkage_asks_for_louder_combinations(pictures):
    tokens, words = pictures
    length = [np.abs(fit_code(tokens, words, 0, s)).sum() for s in (1e-4, 10.0)]
    assert length[1] < length[0]  # variance 1 from smaller weights


def test_what_cannot_be_estimated_is_refused(pictures):
    tokens, words = pictures
    with pytest.raises(ValueError, match="30 pictures for tokens of 30 values"):
        fit_code(tokens[:30], words[:30], 1)
    with pytest.raises(ValueError, match="n_rest is 31"):
        fit_code(tokens, words, 31)
