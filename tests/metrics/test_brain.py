"""Brain correlation: numpy pair by pair, scikit-learn's ridge, and a planted encoding model."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurodecode.metrics.brain import (
    BrainCorrelation,
    PublishedBrainCorrelation,
    encode,
    fit_encoder,
)
from neurodecode.metrics.score import NotComputed

own = np.diagonal


def test_each_pair_agrees_with_numpy():
    rng = np.random.default_rng(0)
    truth = {"V1": rng.normal(size=(4, 30)), "IT": rng.normal(size=(4, 7))}
    predicted = {roi: rng.normal(size=(5, x.shape[1])) for roi, x in truth.items()}
    scores = BrainCorrelation()(truth, predicted)
    assert [s.name for s in scores] == ["brain_correlation_V1_ridge", "brain_correlation_IT_ridge"]
    for score, roi in zip(scores, truth, strict=True):
        for (i, j), value in np.ndenumerate(score.values):
            theirs = np.corrcoef(truth[roi][i], predicted[roi][j])[0, 1]
            assert value == pytest.approx(theirs, abs=1e-12)


def test_the_encoder_agrees_with_scikit_learn_at_its_penalties():
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=(60, 8)), rng.normal(size=(60, 3))
    y = x @ rng.normal(size=(8, 3)) + noise * [0.1, 3, 30] + [5, 0, -2]
    fit = fit_encoder(x, y, np.arange(60) // 2)
    theirs = Ridge(alpha=fit["alphas"]).fit(x, y)
    np.testing.assert_allclose(encode(fit, x), theirs.predict(x), atol=1e-6)
    assert fit["alphas"][0] < fit["alphas"][2], "noisier channels are shrunk more"


def test_a_planted_brain_tells_true_pictures_from_others_and_noise_from_neither():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(6, 40))
    train, test = rng.normal(size=(80, 6)), rng.normal(size=(20, 6))
    seen = np.repeat(np.arange(80), 2)
    responses = train[seen] @ weights + rng.normal(size=(160, 40))
    fit = fit_encoder(train[seen], responses, seen)
    truth = {"V1": test @ weights}
    score = lambda x: BrainCorrelation()(truth, {"V1": encode(fit, x)})[0].values
    assert own(score(test)).mean() > 0.98
    guess = score(rng.normal(size=(20, 6)))
    assert abs(own(guess).mean() - guess.mean()) < 0.3
    assert abs(own(score(np.repeat(test[:1], 20, axis=0))).mean() - score(test[:1]).mean()) < 1e-9


def test_stimuli_stay_together_and_mistakes_are_told():
    x, y = np.ones((4, 2)), np.ones((4, 3))
    with pytest.raises(ValueError, match="4 embeddings and 3 responses"):
        fit_encoder(x, y[:3], np.arange(4))
    with pytest.raises(ValueError, match="1 of them different"):
        fit_encoder(x, y, np.zeros(4))


def test_the_published_encoder_is_named_and_not_replaced():
    metric = PublishedBrainCorrelation()
    assert metric.name == "brain_correlation_gnet" and "GNet" in metric.available()
    with pytest.raises(NotComputed, match="gnet_multisubject.pt"):
        metric({"V1": np.ones((2, 3))}, {"V1": np.ones((2, 3))})
    assert PublishedBrainCorrelation(name="other").name == "other"
