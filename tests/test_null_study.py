"""The null study's verdict: honest scores pass; a planted bias, skewed p or a leak do not."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

PATH = Path(__file__).parents[1] / "scripts" / "null_study.py"
spec = importlib.util.spec_from_file_location("null_study", PATH)
null_study = importlib.util.module_from_spec(spec)
spec.loader.exec_module(null_study)


def scores(n_seeds=20, bias=0.0, p_power=1.0, seed=0):
    """Fabricated metrics.tsv of many seeds; `bias` and `p_power` spoil the model's first score."""
    rng = np.random.default_rng(seed)
    lines = [
        {
            "seed": s,
            "subject": subject,
            "condition": condition,
            "kind": "control" if condition == "shuffled" else "model",
            "metric": f"m{m}",
            "space": "embedding",
            "set_size": np.nan,
            "value": 0.5 + 0.05 * rng.normal() + (condition == "model") * (m == 0) * bias,
            "chance": 0.5,
            "p": rng.random() ** (p_power if (condition, m) == ("model", 0) else 1),
        }
        for s in range(n_seeds)
        for subject in ("sub-01", "all")
        for condition in ("model", "shuffled")
        for m in range(5)
    ]
    return pd.DataFrame(lines)


def test_honest_scores_pass():
    table, failures = null_study.check_null(scores(), ("m0",))
    assert not failures and len(table) == 20


def test_a_score_above_its_chance_fails():
    _, failures = null_study.check_null(scores(bias=0.06), ("m0",))
    assert any("at chance: all model m0" in f for f in failures)


def test_p_values_that_are_too_small_fail():
    _, failures = null_study.check_null(scores(p_power=4.0), ("m0",))
    assert any("uniform p: all model m0" in f for f in failures)


def test_a_gross_bias_fails_wherever_it_is():
    _, failures = null_study.check_null(scores(bias=0.3), ())
    assert [f for f in failures if "sub-01 model m0" in f and "at chance" in f]


def test_the_full_set_alone_is_primary():
    sizes = [scores().assign(set_size=size) for size in (10, 60)]
    table, _ = null_study.check_null(pd.concat(sizes), ("m0", "m1"))
    assert set(table["set_size"][table["primary"]]) == {60}
    assert set(table["subject"][table["primary"]]) == {"all"}


def test_a_ceiling_is_not_asked_to_be_at_chance():
    spoilt = scores(bias=0.3).assign(kind="ceiling")
    honest = scores().assign(condition=lambda t: t["condition"] + "2")
    _, failures = null_study.check_null(pd.concat([spoilt, honest]))
    assert not failures


def test_what_never_leaves_chance_has_no_z():
    assert null_study.at_chance(pd.Series([0.0, 1e-16, -1e-16]))["z"] == 0
    assert null_study.at_chance(pd.Series([0.1, 0.1, 0.1]))["z"] == np.inf


def attributes(n_seeds=20, leak=0.0, shape=0.3):
    rng = np.random.default_rng(1)
    gain = {"shape": shape, "colour": leak, "light": 0.0}
    return pd.DataFrame(
        [
            {
                "seed": s,
                "subject": "all",
                "metric": f"attribute_{a}",
                "condition": c,
                "value": 0.3 + 0.05 * rng.normal() + (c == "model") * gain[a],
            }
            for s in range(n_seeds)
            for a in gain
            for c in ("model", "prior_only")
        ]
    )


def test_shape_alone_may_be_read_from_a_brain_that_carries_shape():
    assert not null_study.check_category(attributes())[1]
    assert (
        "colour leaves its prior-only row" in null_study.check_category(attributes(leak=0.1))[1][0]
    )
    assert "shape is not read" in null_study.check_category(attributes(shape=0.0))[1][0]


def test_holm_agrees_with_statsmodels():
    p = np.random.default_rng(2).random(30) ** 3
    np.testing.assert_allclose(null_study.holm(p), multipletests(p, method="holm")[1])


@pytest.mark.parametrize("signal", ["none", "category_only"])
def test_the_dials_are_those_of_the_simulated_study(signal):
    config = null_study.compose(["recipe=world_small", f"recipe.study.signal={signal}", "name=x"])
    assert config["simulate"]["study"]["signal"] == signal
