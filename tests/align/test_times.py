"""Which times decoders read: the samples of a window, averaged in steps."""

import numpy as np
import pytest

from neurodecode.align.times import Reading, reading

TIMES_S = np.round(np.arange(-20, 81) / 100, 9)


def test_a_window_holds_both_its_ends_and_steps_are_averages():
    x = np.broadcast_to(TIMES_S, (2, 3, 101)).astype(np.float32)
    whole = reading(TIMES_S, [0.0, 0.4], None)(x)
    np.testing.assert_allclose(whole[1, 2], np.arange(41) / 100, atol=1e-6)
    steps = reading(TIMES_S, [0.0, 0.4], 0.04)(x)
    np.testing.assert_allclose(steps[0, 0], 0.015 + 0.04 * np.arange(10), atol=1e-6)
    assert steps.dtype == np.float32 and steps.shape == (2, 3, 10)


def test_without_a_window_the_epoch_is_read_and_without_both_nothing_changes():
    assert reading(TIMES_S, None, 0.05) == Reading(0, 100, 5)
    assert reading(TIMES_S, None, None) is None and reading(None, None, None) is None


@pytest.mark.parametrize("window", [[-0.3, 0.2], [0.1, 0.9], [0.4, 0.1]])
def test_a_window_outside_the_epochs_is_refused(window):
    with pytest.raises(ValueError, match=r"last from -0.2 to 0.8 s"):
        reading(TIMES_S, window, None)


def test_responses_without_times_and_steps_longer_than_the_window_are_refused():
    with pytest.raises(ValueError, match="no time axis: set both to null"):
        reading(None, [0.0, 0.4], None)
    with pytest.raises(ValueError, match="longer than the window"):
        reading(TIMES_S, [0.0, 0.1], 0.5)
