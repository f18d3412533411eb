"""The bench of tests and intervals: it passes honest ones, and a spoilt one fails."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "scripts" / "bench" / "error_rates.py"
spec = importlib.util.spec_from_file_location("error_rates", PATH)
error_rates = importlib.util.module_from_spec(spec)
spec.loader.exec_module(error_rates)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", error_rates.TESTS)
def test_every_test_gives_p_values(name):
    found = error_rates.run_chunk(error_rates.TESTS[name], 2, np.random.SeedSequence(0))
    assert len(found) == 2 and all(0 < p <= 1 for study in found for p in study.values())


@pytest.mark.parametrize("name", ["signal 0.3", "pooled 0.3", "people 20 both"])
def test_every_interval_lies_around_its_score(name):
    study = error_rates.INTERVALS[name](np.random.default_rng(0))
    for intervals in study.values():
        assert all(low <= value <= high for value, low, high in intervals)


def test_a_test_that_is_too_bold_or_too_shy_fails_and_a_family_may_be_shy(capsys):
    p = RNG.random(4000)
    study = lambda p, name="a test": [{name: one} for one in p]
    assert error_rates.tell_tests(study(p)) == 0
    assert error_rates.tell_tests(study(p**2)) == error_rates.tell_tests(study(p**0.5)) == 1
    assert error_rates.tell_tests(study(p**0.5, "family of 50")) == 0
    assert error_rates.tell_tests(study(p**2, "family of 50")) == 1
    assert capsys.readouterr().out.count("FAILED") == 3


def test_an_interval_that_is_too_narrow_fails(capsys):
    value = RNG.standard_normal(2000)
    study = lambda half: [{"x": [(v, v - half, v + half)]} for v in value]
    assert error_rates.tell_intervals("people 20", study(1.96)) == 0
    assert error_rates.tell_intervals("people 20", study(1.5)) == 1
    assert error_rates.tell_intervals("people 8", study(1.5)) == 0  # not demanded
    assert capsys.readouterr().out.count("not demanded") == 1
