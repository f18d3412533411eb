"""A prior trained before the brain was seen draws what a belief leaves possible."""

import numpy as np
import pytest
import torch

from neurodecode.diffusion.latent_prior import LatentPrior, pretrained, save
from neurodecode.diffusion.training import random_beliefs

N_TOKENS, DIM, N_CODE = 2, 4, 3
SMALL = {"denoiser": {"width": 32, "hidden": 32, "n_blocks": 1}, "decoder": {"width": 8}}


def a_prior(**changes):
    torch.manual_seed(0)
    prior = LatentPrior(N_TOKENS, DIM, N_CODE, **SMALL | changes).eval()
    prior.readout = torch.linalg.qr(torch.randn(N_TOKENS * DIM, N_CODE))[0]
    with torch.no_grad():
        prior.decoder.linear.weight.copy_(prior.readout)
        for weight in prior.denoiser.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return prior


def beliefs(n, variance=0.3):
    mean = torch.randn(n, N_CODE, generator=torch.Generator().manual_seed(1))
    return torch.stack([mean, torch.full_like(mean, variance)], dim=1)


def two_kinds(n, seed):
    """Codes of two kinds of picture, +1 and -1 in the first component, noise in the others."""
    code = torch.randn(n, N_CODE, generator=torch.Generator().manual_seed(seed))
    code[:, 0] = code[:, 0].sign()
    return code


@pytest.fixture(scope="module")
def taught():
    """A prior of the two kinds, trained for some seconds."""
    prior, generator = a_prior(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(prior.denoiser.parameters(), 3e-3)
    for _ in range(600):
        code = two_kinds(256, int(torch.randint(1 << 30, (1,), generator=generator)))
        optimiser.zero_grad()
        prior.loss(code, random_beliefs(code, 1, generator), generator).backward()
        optimiser.step()
    return prior


def drawn_codes(prior, belief, n, **how):
    return prior.read(prior.sample(belief, list(range(n)), 20, **how))


def test_without_a_brain_the_planted_distribution_comes_back(taught):
    code = drawn_codes(taught, None, 400)
    assert 0.4 < (code[:, 0] > 0).float().mean() < 0.6
    assert (code[:, 0].abs() - 1).abs().mean() < 0.3  # of one kind or the other, not between
    np.testing.assert_allclose(code[:, 1:].std(dim=0).numpy(), 1, atol=0.2)


def test_a_belief_is_completed_as_bayes_rule_says(taught):
    n, slight = 400, torch.zeros(400, 2, N_CODE)
    slight[:, 0, 0], slight[:, 1] = 0.3, 0.7  # as after seeing the first component with noise
    precision = 1 / 0.7 - 1
    seen = 0.3 / (precision * 0.7)  # what was seen, by which the belief came about
    expected = 1 / (1 + np.exp(-2 * precision * seen))  # of +1, from two equally likely kinds
    positive = (drawn_codes(taught, slight, n)[:, 0] > 0).float().mean()
    assert abs(float(positive) - expected) < 0.12
    more = (drawn_codes(taught, slight, n, guidance=3.0)[:, 0] > 0).float().mean()
    assert more > positive + 0.05  # guidance is plainer than a fair sample


def test_a_certain_belief_is_kept(taught):
    sure = beliefs(50, variance=0.04)
    sure[:, 0, 0] = sure[:, 0, 0].sign()
    error = (drawn_codes(taught, sure, 50) - sure[:, 0]).square().mean()
    assert error < 0.2  # 1 for the other kind, 0.04 by chance


def test_a_row_does_not_depend_on_its_batch():
    prior, belief, seeds = a_prior().double(), beliefs(6).double(), [5, 3, 8, 1, 9, 2]
    together = prior.sample(belief, seeds, 5, guidance=2.0)
    alone = [prior.sample(belief[i : i + 1], [seeds[i]], 5, guidance=2.0) for i in range(6)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-9, atol=1e-9)


def test_the_same_seed_gives_the_same_sample_and_another_seed_another():
    first, again, other = (a_prior().sample(beliefs(1), [s], 5) for s in (4, 4, 5))
    assert torch.equal(first, again) and not torch.allclose(first, other)


@pytest.mark.parametrize(
    "option, value", [("n_sampling", None), ("n_sampling", 3), ("eta", 0.0), ("guidance", 3.0)]
)
def test_every_option_of_sampling_changes_the_sample(option, value):
    plain = {"n_sampling": 5, "eta": 1.0, "guidance": 1.0}
    made = [
        a_prior().sample(beliefs(3), [0, 1, 2], **how) for how in (plain, plain | {option: value})
    ]
    assert not torch.allclose(*made)


def test_no_brain_is_the_belief_that_nothing_was_seen():
    nothing = beliefs(3, variance=1.0) * torch.tensor([[[0.0], [1.0]]])
    made = [a_prior().sample(b, [0, 1, 2], 5, guidance=3.0) for b in (None, nothing)]
    torch.testing.assert_close(*made)


def test_a_saved_prior_comes_back(tmp_path):
    prior = a_prior(n_steps=50)
    prior.mean, prior.std = torch.full((N_TOKENS, DIM), 2.0), torch.full((N_TOKENS, DIM), 0.5)
    save(prior, tmp_path / "prior")
    again = pretrained(str(tmp_path / "prior"), N_TOKENS, DIM)
    made = [p.sample(beliefs(4), [0, 1, 2, 3], 5) for p in (prior, again)]
    torch.testing.assert_close(*made, rtol=0.02, atol=0.02)  # float16 on disk
    assert again.statistics()["tokens_mean"].mean() == 2 and len(again.alpha_bar) == 50


def test_a_prior_is_built_again_from_its_node():
    from neurodecode.core.build import build

    again = build(a_prior(n_steps=7).node({}), n_tokens=N_TOKENS, dim=DIM)
    assert again.state_dict().keys() == a_prior().state_dict().keys() and len(again.alpha_bar) == 7


def test_what_words_do_not_tell_is_believed_with_caution(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.standard_normal((40, N_CODE))
    said = true + rng.standard_normal((40, N_CODE))
    save(a_prior(n_told=2), tmp_path / "prior")
    variance = {}
    for factor in (1.0, 4.0):
        prior = pretrained(str(tmp_path / "prior"), N_TOKENS, DIM, rest_noise=factor)
        calibration = prior.calibrate(said, true, np.arange(40))
        variance[factor] = prior.condition(said, calibration, np.ones(40))[0, 1]
    odds = lambda v: v / (1 - v)  # of noise to signal
    np.testing.assert_allclose(odds(variance[4.0])[:2], odds(variance[1.0])[:2], rtol=1e-4)
    np.testing.assert_allclose(odds(variance[4.0])[2:], 4 * odds(variance[1.0])[2:], rtol=1e-4)


def test_what_does_not_fit_is_refused(tmp_path):
    save(a_prior(), tmp_path / "prior")
    with pytest.raises(ValueError, match="trained for 2 tokens of 4 numbers.*prior=dalle2"):
        pretrained(str(tmp_path / "prior"), 49, 768)
    with pytest.raises(FileNotFoundError, match="config.json"):
        pretrained(str(tmp_path), N_TOKENS, DIM)
    with pytest.raises(ValueError, match="2 beliefs, 3 seeds"):
        a_prior().sample(beliefs(2), [0, 1, 2])


@pytest.mark.parametrize(
    "option, value", [("strength", (1.0, 2.0)), ("no_brain", 0.9), ("n_told", 3)]
)
def test_every_option_of_random_beliefs_changes_them(option, value):
    plain = {"n_told": 1, "strength": (0.1, 30.0), "no_brain": 0.1}
    draw = lambda how: random_beliefs(torch.ones(50, 3), generator=torch.manual_seed(0), **how)
    assert not torch.equal(draw(plain), draw(plain | {option: value}))


def test_random_beliefs_are_those_of_bayes_rule():
    code = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(2))
    mean, variance = random_beliefs(code, 1, torch.Generator().manual_seed(3)).unbind(1)
    standardised = (code - mean) / variance.sqrt()
    assert abs(float(standardised.mean())) < 0.02 and abs(float(standardised.std()) - 1) < 0.02
    assert 0.08 < float((variance == 1).float().mean()) < 0.12


@pytest.fixture(scope="module")
def scenes():
    """New scenes, their tokens and the shipped prior."""
    from neurodecode.contrastive.targets import OpenClipTarget
    from neurodecode.world.scenes import render, sample_scenes

    drawn = sample_scenes(60, np.random.default_rng(123))
    tokens = torch.from_numpy(OpenClipTarget().pictures(render(drawn))[1])
    prior = pretrained("shipped:prior", 16, 128)
    return drawn, (tokens - prior.mean) / prior.std, prior


def named(prior, tokens, drawn):
    """Accuracy of the attributes of pictures painted from standardised tokens."""
    from neurodecode.diffusion.generator import TokenGenerator
    from neurodecode.metrics.attributes import AttributeReader

    natural = (tokens * prior.std + prior.mean).numpy()
    made = TokenGenerator().generate(natural, list(range(len(drawn))))
    return AttributeReader().accuracy(made, drawn)


def test_the_code_of_the_shipped_prior_is_white_and_holds_a_scene(scenes):
    drawn, tokens, prior = scenes
    code = prior.read(tokens)
    assert abs(float(code.mean())) < 0.1 and abs(float(code.std()) - 1) < 0.1
    with torch.no_grad():
        spelt = prior.decoder(code).unflatten(1, (16, 128))
    assert (spelt - tokens).square().mean() < 0.1
    assert min(named(prior, spelt, drawn).values()) > 0.9


def test_the_shipped_prior_completes_a_blurred_belief_to_the_scene_that_was_meant(scenes):
    drawn, tokens, prior = scenes
    code, rng = prior.read(tokens), torch.Generator().manual_seed(0)
    precision = 6.0
    noise = torch.randn(code.shape, generator=rng)
    mean = (precision * code + precision**0.5 * noise) / (1 + precision)
    belief = torch.stack([mean, torch.full_like(mean, 1 / (1 + precision))], dim=1)
    made = prior.sample(belief, list(range(60)), 12, guidance=3.0)
    accuracy = named(prior, made, drawn)
    assert np.mean(list(accuracy.values())) > 0.85
    free = named(prior, prior.sample(None, list(range(60)), 12), drawn)
    assert np.mean(list(free.values())) < 0.45  # chance is .28
