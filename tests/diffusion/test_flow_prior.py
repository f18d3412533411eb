"""The flow is exact where tokens are Gaussian, and learns what is not, in a few steps."""

import numpy as np
import pytest
import torch

from neurodecode.contrastive.loop import Plan, fit
from neurodecode.diffusion.flow_prior import FlowPrior, flow_steps
from neurodecode.diffusion.linear import BrainSimulator
from neurodecode.diffusion.training import prior_batches, prior_loss, prior_scores
from tests.diffusion.test_linear import gaussian_study
from tests.diffusion.test_prior import PATTERN, two_clusters

SMALL = {"width": 16, "depth": 1, "heads": 2, "ff_mult": 2}


def random_prior(n_tokens=3, dim=8, seed=0, **changes):
    """A prior whose network says something: not the zeros it starts with."""
    torch.manual_seed(seed)
    prior = FlowPrior(n_tokens, dim, **SMALL | {"linear_components": 4} | changes).eval()
    with torch.no_grad():
        for layer in (prior.net.leave, prior.net.modulate, *(b.modulate for b in prior.net.blocks)):
            torch.nn.init.normal_(layer.weight, std=0.2)
    tokens, brain = two_clusters(100, seed=0)
    if (n_tokens, dim) == (3, 8):
        prior.prepare(tokens, brain, tokens)
    return prior


@pytest.fixture
def known():
    mean = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    return torch.stack([mean, torch.full_like(mean, 0.5)], dim=1)


@pytest.mark.parametrize("n_sampling", [1, 4])
def test_gaussian_tokens_are_drawn_with_the_posterior_mean_and_variance(n_sampling):
    tokens, brain = gaussian_study(20_000, 0.4, seed=0)
    prior = FlowPrior(3, 4, **SMALL, linear_components=11).double().eval()  # untrained
    prior.prepare(tokens, brain, tokens)
    calibration = prior.calibrate(brain.numpy(), tokens.numpy(), np.arange(len(tokens)))
    belief = prior.condition(brain[:1].numpy(), calibration, np.array([1]))
    n = 4000
    many = torch.as_tensor(belief).double().expand(n, -1, -1)
    drawn = prior.sample(many, list(range(n)), n_sampling).flatten(1)

    said, true = brain.flatten(1), tokens.flatten(1)
    line = torch.linalg.lstsq(said, true).solution
    spread = torch.cov((true - said @ line).T)  # of the posterior, the same for every brain
    torch.testing.assert_close(drawn.mean(dim=0), (said[0] @ line), atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), spread, atol=0.06, rtol=0)


@pytest.mark.parametrize("solver", ["euler", "midpoint"])
def test_steps_take_the_evaluations_asked_for_and_go_from_noise_to_tokens(solver):
    for n in (1, 2, 5):
        seen = []
        speed = lambda x, t: seen.append(t) or torch.ones_like(x)  # noqa: B023
        x = torch.zeros(1)
        for step in flow_steps(n, solver):
            x = step(x, speed)
        assert len(seen) == n and seen[0] == 1
        assert x.item() == pytest.approx(-np.pi / 2)  # a quarter of a turn at speed 1


def test_midpoint_errs_less_than_euler_at_the_same_cost():
    speed = lambda x, t: -x  # grows by exp(pi / 2)
    ends = {}
    for solver in ("euler", "midpoint"):
        x = torch.ones(1).double()
        for step in flow_steps(8, solver):
            x = step(x, speed)
        ends[solver] = abs(x.item() - np.exp(np.pi / 2))
    assert ends["midpoint"] < 0.5 * ends["euler"]


def trained(tokens, brain, **changes):
    torch.manual_seed(0)
    prior = FlowPrior(3, 8, **SMALL | {"linear_components": 4} | changes)
    prior.prepare(tokens, brain, tokens)
    loss = prior_loss(tokens, BrainSimulator(tokens, brain, tokens, n_components=4))
    optimiser = torch.optim.AdamW(prior.parameters(), 5e-3)
    for batch in prior_batches(len(tokens), 64, 300, seed=0)(0):
        optimiser.zero_grad()
        loss(prior.train(), batch, 0)["total"].backward()
        optimiser.step()
    return prior.eval()


def test_a_mixture_is_carried_to_its_two_sides_by_what_the_brain_says():
    tokens, brain = two_clusters(400, seed=0)
    prior = trained(tokens, brain)
    truth, said = two_clusters(200, seed=1)
    calibration = prior.calibrate(brain.numpy(), tokens.numpy(), np.arange(400))
    belief = torch.as_tensor(prior.condition(said.numpy(), calibration, np.ones(200, int)))
    sides = {}
    for name, given in (("brain", belief), ("none", None)):
        drawn = prior.sample(given, list(range(200)), n_sampling=8)
        sides[name] = (drawn * PATTERN).mean(dim=(1, 2))
    right = (truth * PATTERN).mean(dim=(1, 2)) > 0
    assert ((sides["brain"] > 0) == right).float().mean() > 0.9
    assert 0.3 < (sides["none"] > 0).float().mean() < 0.7
    # A Gaussian of the same mean and variance lies within half a unit of 0 in 38 % of draws.
    assert (sides["none"].abs() < 0.5).float().mean() < 0.15
    scores = prior_scores(prior, said, truth, seed=0)
    assert scores["gained"] > 0 and scores["with_brain"] < scores["without_brain"]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_row_does_not_depend_on_its_batch(known, guidance):
    prior, known, seeds = random_prior().double(), known.double(), [5, 3, 8, 1, 9, 2]
    together = prior.sample(known, seeds, 4, guidance=guidance)
    alone = [prior.sample(known[i : i + 1], [seeds[i]], 4, guidance=guidance) for i in range(6)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-9, atol=1e-9)


def test_the_same_seed_gives_the_same_sample_and_another_seed_another(known):
    prior = random_prior()
    first, again, other = (prior.sample(known[:1], [s]) for s in (4, 4, 5))
    assert torch.equal(first, again) and not torch.allclose(first, other)


@pytest.mark.parametrize("option, value", [("n_sampling", 3), ("guidance", 3.0)])
def test_every_option_of_sampling_changes_the_sample(known, option, value):
    prior, seeds = random_prior(), list(range(6))
    plain = {"n_sampling": 5, "guidance": 1.0}
    a, b = (prior.sample(known, seeds, **how) for how in (plain, plain | {option: value}))
    assert not torch.allclose(a, b)


def test_guidance_of_one_is_none_and_of_nought_forgets_the_brain(known):
    prior, seeds = random_prior(), list(range(6))
    assert torch.equal(prior.sample(known, seeds), prior.sample(known, seeds, guidance=1.0))
    forgot = prior.sample(known, seeds, guidance=0.0)
    torch.testing.assert_close(forgot, prior.sample(None, seeds))


def test_noise_on_the_way_is_refused(known):
    with pytest.raises(ValueError, match="predict.eta=0"):
        random_prior().sample(known, list(range(6)), eta=1.0)


def test_seeds_and_rows_must_match(known):
    with pytest.raises(ValueError, match="2 seeds"):
        random_prior().sample(known, [0, 1])


@pytest.mark.parametrize("changes", [{"n_steps": 3}, {"solver": "midpoint"}])
def test_how_a_flow_is_walked_changes_the_sample(known, changes):
    a, b = (random_prior(**c).sample(known, list(range(6))) for c in ({}, changes))
    assert not torch.allclose(a, b)


@pytest.mark.parametrize("changes", [{"cond_drop": 0.9}, {"clearest": 2.0}, {"time_scale": 0.3}])
def test_every_option_of_training_changes_the_loss(changes):
    tokens, brain = two_clusters(20, seed=3)
    losses = [
        p.loss(brain, tokens, torch.Generator().manual_seed(0)).item()
        for p in (random_prior(), random_prior(**changes))
    ]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    "option, value",
    [("width", 32), ("depth", 2), ("ff_mult", 4), ("linear_components", 6)],
)
def test_every_size_changes_the_number_of_weights(option, value):
    count = lambda prior: sum(p.numel() for p in prior.parameters())
    assert count(random_prior()) != count(random_prior(**{option: value}))


def test_heads_attend_apart(known):
    one, two = (random_prior(heads=n).sample(known, list(range(6))) for n in (1, 2))
    assert not torch.allclose(one, two)


def test_dropout_acts_in_training_only():
    tokens, brain = two_clusters(20, seed=3)
    prior = random_prior(dropout=0.5)
    losses = lambda p: {
        p.loss(brain, tokens, torch.Generator().manual_seed(0)).item() for _ in "ab"
    }
    assert len(losses(prior.train())) == 2 and len(losses(prior.eval())) == 1


@pytest.mark.parametrize(
    "changes, message", [({"width": 10, "heads": 4}, "multiple"), ({"clearest": 0.5}, "1 .* more")]
)
def test_sizes_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FlowPrior(3, 8, **SMALL | {"linear_components": 4} | changes)


def test_a_resumed_training_ends_at_the_same_weights(tmp_path):
    tokens, brain = two_clusters(60, seed=0)

    def learn(n_epochs, of, checkpoint):
        torch.manual_seed(0)
        prior = FlowPrior(3, 8, **SMALL, linear_components=4, dropout=0.1)
        prior.prepare(tokens, brain, tokens)
        costs = prior_loss(tokens, BrainSimulator(tokens, brain, tokens, 4))

        def dies(model, batch, epoch):
            if epoch == of:
                raise KeyboardInterrupt
            return costs(model, batch, epoch)

        how = {"plan": Plan(n_epochs), "checkpoint": checkpoint, "checkpoint_every": 1}
        validate = lambda prior, epoch: prior_scores(prior, brain, tokens, 0)
        return fit(prior, prior_batches(60, 16, 3, 0), dies, validate, **how)[0].state_dict()

    whole = learn(4, None, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        learn(4, 2, tmp_path / "killed.pt")
    again = learn(4, None, tmp_path / "killed.pt")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
