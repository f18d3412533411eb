"""The prior learns a planted conditional distribution and samples it row by row."""

import pytest
import torch

from neurodecode.diffusion.linear import BrainSimulator
from neurodecode.diffusion.prior import DiffusionPrior
from neurodecode.diffusion.training import prior_batches, prior_loss, prior_scores

SMALL = {"n_tokens": 3, "dim": 8, "depth": 1, "heads": 2, "dim_head": 8}


def random_prior(**changes):
    torch.manual_seed(0)
    prior = DiffusionPrior(**SMALL | changes).eval()
    with torch.no_grad():  # not the zeros of a fresh linear start
        torch.nn.init.normal_(prior.net.causal_transformer.project_out.weight, std=0.3)
    return prior


@pytest.fixture
def brain():
    return torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n_sampling", [None, 5])
def test_a_row_does_not_depend_on_its_batch(brain, n_sampling):
    # float64: a hundred steps of an untrained network blow the rounding of float32 up to 1e-4
    prior, brain, seeds = random_prior().double(), brain.double(), [5, 3, 8, 1, 9, 2]
    together = prior.sample(brain, seeds, n_sampling)
    alone = torch.cat([prior.sample(brain[i : i + 1], [seeds[i]], n_sampling) for i in range(6)])
    torch.testing.assert_close(alone, together, rtol=1e-9, atol=1e-9)


def test_the_same_seed_gives_the_same_sample_and_another_seed_another(brain):
    prior = random_prior()
    first, again, other = (prior.sample(brain[:1], [s], 5) for s in (4, 4, 5))
    assert torch.equal(first, again) and not torch.allclose(first, other)


@pytest.mark.parametrize("option, value", [("n_sampling", 3), ("eta", 0.0), ("guidance", 3.0)])
def test_every_option_of_sampling_changes_the_sample(brain, option, value):
    prior, seeds = random_prior(), list(range(6))
    plain = {"n_sampling": 5, "eta": 1.0, "guidance": 1.0}
    a, b = (prior.sample(brain, seeds, **how) for how in (plain, plain | {option: value}))
    assert not torch.allclose(a, b)


def test_no_brain_means_the_null_tokens(brain):
    prior = random_prior()
    null = prior.net.null_brain_embeds.detach().expand(6, -1, -1)
    seeds = list(range(6))
    torch.testing.assert_close(prior.sample(None, seeds, 5), prior.sample(null, seeds, 5))


def test_published_guidance_also_drops_the_image_tokens(brain):
    seeds = list(range(6))
    repaired, published = (random_prior(compat=c) for c in (False, True))
    at_one = [p.predict(brain, 50, brain) for p in (repaired, published)]
    torch.testing.assert_close(*at_one, rtol=1e-2, atol=1e-2)  # the norm's quirk alone
    guided = [p.predict(brain, 50, brain, guidance=3.0) for p in (repaired, published)]
    assert not torch.allclose(*guided, rtol=1e-2, atol=1e-2)
    assert repaired.sample(brain, seeds, 5).shape == brain.shape


def test_the_schedule_stands_in_the_state_under_published_names():
    keys = {k for k in random_prior().state_dict() if k.startswith("noise_scheduler.")}
    names = (
        "betas alphas_cumprod alphas_cumprod_prev sqrt_alphas_cumprod "
        "sqrt_one_minus_alphas_cumprod log_one_minus_alphas_cumprod sqrt_recip_alphas_cumprod "
        "sqrt_recipm1_alphas_cumprod posterior_variance posterior_log_variance_clipped "
        "posterior_mean_coef1 posterior_mean_coef2 p2_loss_weight"
    )
    assert keys == {f"noise_scheduler.{name}" for name in names.split()}


def test_the_scale_of_unit_vectors_is_the_root_of_their_size(brain):
    assert random_prior(image_embed_scale=None).scale == pytest.approx(8**0.5)
    with pytest.raises(ValueError, match="image_embed_scale=1"):
        random_prior(image_embed_scale=None, linear_components=4)


@pytest.mark.parametrize(
    "changes",
    [{"cond_drop": 1.0}, {"image_drop": 1.0}, {"image_embed_scale": 3.0}, {"n_steps": 10}],
)
def test_every_option_of_training_changes_the_loss(brain, changes):
    losses = [
        p.loss(brain, brain, torch.Generator().manual_seed(0)).item()
        for p in (random_prior(), random_prior(**changes))
    ]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("option, value", [("heads", 4), ("dim_head", 16), ("ff_mult", 2)])
def test_every_size_of_the_transformer_changes_the_number_of_weights(option, value):
    plain, other = random_prior(), random_prior(**{option: value})
    count = lambda prior: sum(p.numel() for p in prior.parameters())
    assert count(plain) != count(other)


def test_dropout_acts_in_training_only(brain):
    prior = random_prior(dropout=0.5)
    losses = lambda p: {p.loss(brain, brain, torch.Generator().manual_seed(0)).item() for _ in "ab"}
    assert len(losses(prior.train())) == 2 and len(losses(prior.eval())) == 1


def test_more_linear_components_denoise_more_directions(brain):
    several = [random_prior(linear_components=k) for k in (1, 8)]
    for prior in several:
        prior.prepare(brain, brain, brain)
    few, many = (p.linear(0 * brain, torch.full((6,), 0.5), brain, None) for p in several)
    assert many.flatten(1).square().sum() > few.flatten(1).square().sum()


def test_a_chance_above_one_is_refused():
    with pytest.raises(ValueError, match="cond_drop is 1.5"):
        random_prior(cond_drop=1.5)


def test_seeds_and_rows_must_match(brain):
    with pytest.raises(ValueError, match="2 seeds"):
        random_prior().sample(brain, [0, 1])


PATTERN = torch.tensor([1.0, -1.0]).repeat(4)  # not constant: a layer norm would not see it


def two_clusters(n, seed):
    """Tokens near one pattern or its opposite; the brain says which, rarely wrongly."""
    g = torch.Generator().manual_seed(seed)
    sign = (torch.randint(2, (n, 1, 1), generator=g) * 2.0 - 1) * PATTERN
    tokens = sign + 0.1 * torch.randn(n, 3, 8, generator=g)
    brain = 0.3 * sign + 0.6 * torch.randn(n, 3, 8, generator=g)
    return tokens, brain


@pytest.mark.parametrize("linear_components", [0, 4])
def test_a_trained_prior_recovers_the_planted_conditional_distribution(linear_components):
    tokens, brain = two_clusters(400, seed=0)
    prior = random_prior(linear_components=linear_components)
    prior.prepare(tokens, brain, tokens)
    simulate = BrainSimulator(tokens, brain, tokens, n_components=4)
    loss, optimiser = prior_loss(tokens, simulate), torch.optim.AdamW(prior.parameters(), 3e-3)
    for batch in prior_batches(len(tokens), 64, 250, seed=0)(0):
        optimiser.zero_grad()
        loss(prior.train(), batch, 0)["total"].backward()
        optimiser.step()
    truth, said = two_clusters(200, seed=1)
    sample = prior.eval().sample(said, list(range(200)), n_sampling=20)
    unconditional = prior.sample(None, list(range(200)), n_sampling=20)

    assert (sample - truth).square().mean() < 0.5 * truth.square().mean()  # the mean is 0
    side, right, free = ((x * PATTERN).mean(dim=(1, 2)) > 0 for x in (sample, truth, unconditional))
    assert (side == right).float().mean() > 0.9
    assert 0.3 < free.float().mean() < 0.7
    scores = prior_scores(prior, said, truth, seed=0)
    assert scores["with_brain"] < scores["without_brain"]


def test_an_epoch_of_the_prior_is_reproducible_and_as_long_as_asked():
    batches = prior_batches(n_stimuli=10, batch=8, n_batches=4, seed=0)
    first, again = batches(2), batches(2)
    assert len(first) == 4 and [len(rows) for rows, _ in first] == [8] * 4
    assert all((a[0] == b[0]).all() and a[1] == b[1] for a, b in zip(first, again, strict=True))
    assert (batches(3)[0][0] != first[0][0]).any()
