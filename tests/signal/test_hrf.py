import numpy as np
import pytest
from nilearn.glm.first_level import compute_regressor

from neurodecode.signal.hrf import trial_regressors

TIMES_S = 2.0 * np.arange(60)


@pytest.mark.parametrize("model", ["glover", "spm"])
def test_a_regressor_is_nilearns_scaled_to_a_peak_of_one(model):
    onsets_s, durations_s = [10.0, 33.3], [1.0, 6.0]
    ours = trial_regressors(onsets_s, durations_s, TIMES_S, model)
    for i in range(2):
        event = ([onsets_s[i]], [durations_s[i]], [1.0])
        theirs = compute_regressor(event, model, TIMES_S, oversampling=400)[0][:, 0]
        cosine = ours[:, i] @ theirs / np.linalg.norm(ours[:, i]) / np.linalg.norm(theirs)
        assert cosine > 1 - 1e-5  # nilearn moves onsets to its grid of TR / 400


def test_a_late_trial_has_the_early_trials_response_shifted():
    ours = trial_regressors([4.0, 24.0], [1.0, 1.0], TIMES_S)
    assert np.allclose(ours[:50, 0], ours[10:, 1])


def test_the_peak_is_one_whatever_the_duration():
    fine_s = np.arange(0, 80, 0.01)
    peaks = trial_regressors([0.0] * 4, [0.0, 0.5, 3.0, 22.5], fine_s).max(axis=0)
    assert np.allclose(peaks, 1, atol=1e-3)


def test_an_unknown_response_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="glover"):
        trial_regressors([0.0], [1.0], TIMES_S, "gamma")
