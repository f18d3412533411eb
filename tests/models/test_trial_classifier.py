"""Small networks are trained on training rows alone; epochs are chosen on whole groups."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from neurodecode.models.trial_classifier import (
    Training,
    descend,
    fit_network,
    inner_folds,
    inner_split,
    scores_of,
    seeded,
)


def test_the_rate_rises_falls_as_a_cosine_and_ends_where_it_should():
    plan = Training(n_epochs=200, learning_rate=2e-4, warmup=0.1, end_share=0.025)
    assert plan.rate(0) == pytest.approx(2e-4 / 20) and plan.rate(19) == pytest.approx(2e-4)
    half = 20 + 90  # published: least + (most - least) / 2 half way
    assert plan.rate(half) == pytest.approx(5e-6 + (2e-4 - 5e-6) / 2)
    assert plan.rate(199) == pytest.approx(5e-6, rel=0.01)
    assert Training(n_epochs=9, learning_rate=0.1, schedule="constant").rate(8) == 0.1


def test_late_epochs_have_a_batch_and_a_rate_of_their_own():
    plan = Training(
        n_epochs=50, batch_size=256, learning_rate=1e-3, schedule="constant",
        late_from=0.6, late_batch_size=64, late_rate=0.5,
    )  # fmt: skip
    assert [plan.rate(e) for e in (29, 30)] == [1e-3, 5e-4]
    assert [plan.batch(e) for e in (29, 30)] == [256, 64]
    assert Training(n_epochs=50, batch_size=8).batch(49) == 8


def test_whole_groups_are_held_out_with_every_class_on_both_sides():
    y, groups = np.arange(120) % 3, np.arange(120) // 6
    fitted, held = inner_split(y, groups, 0.2, seed=0)
    assert not set(groups[fitted]) & set(groups[held])
    assert sorted([*fitted, *held]) == list(range(120)) and 18 <= len(held) <= 30
    assert set(y[fitted]) == set(y[held]) == {0, 1, 2}
    assert not np.array_equal(held, inner_split(y, groups, 0.2, seed=1)[1])


def test_a_share_says_how_much_is_held_out():
    y, groups = np.arange(120) % 3, np.arange(120)
    assert len(inner_split(y, groups, 0.1, 0)[1]) < len(inner_split(y, groups, 0.4, 0)[1])


def test_one_group_cannot_be_split_and_rare_classes_can():
    with pytest.raises(ValueError, match="select=last"):
        inner_split(np.arange(6) % 2, np.zeros(6), 0.2, 0)
    folds = inner_folds(np.arange(10), np.arange(10), 4, 0)  # each class once
    assert len(folds) == 4 and sorted(np.concatenate([h for _, h in folds])) == list(range(10))


def test_randomness_within_is_of_the_seed_and_leaves_no_trace():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    draws = []
    for seed in (0, 0, 1):
        with seeded(seed, "cpu", "here"):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.random.get_rng_state(), before)


class Line(nn.Module):
    """Logistic regression of two numbers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return self.linear(x)


def clouds(n, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return (rng.standard_normal((n, 2)) + 2 * np.stack([y, -y], 1)).astype(np.float32), y


def fit(plan, peek=None, **more):
    x, y = clouds(60, 0)
    return fit_network(Line, x, y, np.arange(60) // 4, plan, 0, "cpu", peek=peek, **more)


def test_a_network_learns_and_the_same_seed_gives_the_same_weights():
    plan = Training(n_epochs=20, batch_size=10, learning_rate=0.05)
    network = fit(plan)
    x, y = clouds(100, 1)
    assert (scores_of(network, x, "cpu").argmax(1) == y).mean() > 0.9
    assert torch.equal(network.linear.weight, fit(plan).linear.weight)
    assert not network.training


def test_the_best_epoch_is_that_of_the_held_out_rows():
    rising = Training(n_epochs=6, batch_size=60, learning_rate=0.3, schedule="constant")
    x, y = clouds(60, 1)
    last = fit(rising, peek=(x, y)).linear.weight
    wrong = (x, 1 - y)  # the first epoch is the least bad on turned labels
    for judge in ("loss", "accuracy"):
        plan = dataclasses.replace(rising, select="best", judge=judge)
        assert not torch.allclose(fit(plan, peek=wrong).linear.weight, last)
    plan = dataclasses.replace(rising, select="best", judge="loss")
    torch.testing.assert_close(fit(plan, peek=(x, y)).linear.weight, last)


def test_held_out_rows_are_not_fitted_and_peeking_fits_all():
    counted = lambda x, y: seen.append(len(y)) or (x, y)
    x, y = clouds(20, 1)
    for plan, peek, n in [
        (Training(n_epochs=1, select="last"), None, 60),
        (Training(n_epochs=1, select="best"), None, 48),
        (Training(n_epochs=1, select="best", inner_share=0.5), None, 28),
        (Training(n_epochs=1, select="best"), (x, y), 60),
    ]:
        seen = []
        fit(plan, peek=peek, enlarge=counted)
        assert abs(seen[0] - n) <= 4


def test_every_option_of_training_changes_the_weights():
    base = {"n_epochs": 4, "batch_size": 20, "learning_rate": 0.01, "weight_decay": 0.1}
    weights = lambda **more: fit(Training(**(base | more))).linear.weight.detach().numpy()
    plain = weights()
    others = {
        "n_epochs": 5,
        "batch_size": 30,
        "learning_rate": 0.02,
        "weight_decay": 0.5,
        "optimizer": "adam",
        "schedule": "constant",
        "warmup": 0.5,
        "end_share": 0.5,
    }
    for name, value in others.items():
        assert np.abs(weights(**{name: value}) - plain).max() > 1e-6, name
    assert np.abs(weights(late_from=0.5, late_batch_size=5) - plain).max() > 1e-6
    assert np.abs(weights(late_from=0.5, late_rate=0.1) - plain).max() > 1e-6


def test_a_last_batch_of_one_joins_the_one_before():
    sizes = []

    def cost(rows):
        sizes.append(len(rows))
        return network.linear.weight.sum() ** 2

    network = Line()
    descend(network, 9, cost, Training(n_epochs=1, batch_size=4), 0)
    assert sizes == [4, 5]


def test_a_diverging_training_is_named():
    network = Line()
    cost = lambda rows: network.linear.weight.sum() * torch.inf
    with pytest.raises(ValueError, match="lower learning_rate"):
        descend(network, 4, cost, Training(n_epochs=1), 0)


def test_costs_of_epochs_fall_and_steps_are_followed():
    x, y = map(torch.as_tensor, clouds(40, 0))
    network, steps = Line(), []
    cost = lambda rows: nn.functional.cross_entropy(network(x[rows]), y[rows])
    plan = Training(n_epochs=5, batch_size=10, learning_rate=0.05)
    history = descend(network, 40, cost, plan, 0, after_step=lambda n: steps.append(n))
    assert history[-1] < history[0] and len(steps) == 20
