"""Brain correlation: numpy pair by pair, and a planted encoding model."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurodecode.metrics.brain import BrainCorrelation, PublishedBrainCorrelation
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


def test_a_planted_brain_tells_true_pictures_from_others_and_noise_from_neither():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(6, 40))
    train, test = rng.normal(size=(80, 6)), rng.normal(size=(20, 6))
    seen = np.repeat(np.arange(80), 2)
    responses = train[seen] @ weights + rng.normal(size=(160, 40))
    encoder = Ridge(alpha=1.0).fit(train[seen], responses)
    truth = {"V1": test @ weights}
    score = lambda x: BrainCorrelation()(truth, {"V1": encoder.predict(x)})[0].values
    assert own(score(test)).mean() > 0.98
    guess = score(rng.normal(size=(20, 6)))
    assert abs(own(guess).mean() - guess.mean()) < 0.3
    assert abs(own(score(np.repeat(test[:1], 20, axis=0))).mean() - score(test[:1]).mean()) < 1e-9


def test_the_published_encoder_is_named_and_not_replaced():
    metric = PublishedBrainCorrelation()
    assert metric.name == "brain_correlation_gnet" and "GNet" in metric.available()
    with pytest.raises(NotComputed, match="gnet_multisubject.pt"):
        metric({"V1": np.ones((2, 3))}, {"V1": np.ones((2, 3))})
    assert PublishedBrainCorrelation(name="other").name == "other"
