"""Before training the denoiser is the Gaussian answer; the decoder a linear map."""

import pytest
import torch

from neurodecode.diffusion.latent_network import Block, CodeDecoder, CodeDenoiser

ALPHA = 0.6


def gaussian_answer(x_t, mean, variance):
    """E[z | x_t] for z ~ N(mean, variance), by summing over a fine grid."""
    z = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    weight = torch.exp(
        -((z - mean) ** 2) / (2 * variance) - (x_t - ALPHA**0.5 * z) ** 2 / (2 * (1 - ALPHA))
    )
    return float((weight * z).sum() / weight.sum())


def test_an_untrained_denoiser_gives_the_mean_of_a_gaussian_code():
    belief = torch.tensor([[[0.7, -1.0], [0.3, 1.0]]])
    x_t = torch.tensor([[1.5, -0.2]])
    said = CodeDenoiser(2)(x_t, torch.tensor([40]), torch.tensor([ALPHA]), belief)
    expected = [gaussian_answer(*column) for column in zip(x_t[0], *belief[0], strict=True)]
    torch.testing.assert_close(said[0], torch.tensor(expected), rtol=1e-4, atol=1e-4)


def trained(network):
    """Random numbers where a fresh network has zeros."""
    torch.manual_seed(0)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network


def test_a_denoiser_heeds_the_step_and_the_variance():
    net, x = trained(CodeDenoiser(3, width=16, hidden=16)), torch.ones(1, 3)
    belief = torch.tensor([[[0.0] * 3, [0.5] * 3]])
    say = lambda t, b: net(x, torch.tensor([t]), torch.tensor([ALPHA]), b)
    assert not torch.allclose(say(3, belief), say(60, belief))
    surer = belief * torch.tensor([[[1.0], [0.2]]])
    assert not torch.allclose(say(3, belief), say(3, surer))


@pytest.mark.parametrize("option", ["width", "hidden", "n_blocks"])
@pytest.mark.parametrize("network", [CodeDenoiser, lambda n, **k: CodeDecoder(n, 8, **k)])
def test_every_size_changes_the_number_of_weights(network, option):
    count = lambda **sizes: sum(p.numel() for p in network(4, **sizes).parameters())
    sizes = {"width": 16, "hidden": 16, "n_blocks": 2}
    assert count(**sizes) < count(**sizes | {option: sizes[option] + 1})


def test_an_untrained_decoder_is_linear_and_a_trained_one_is_not():
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    for net, linear in ((CodeDecoder(4, 8), True), (trained(CodeDecoder(4, 8, 16, 16)), False)):
        middle = net((z[:1] + z[1:2]) / 2)
        assert torch.allclose(middle, (net(z[:1]) + net(z[1:2])) / 2, atol=1e-6) == linear


def test_an_untrained_block_hands_its_input_on():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    assert torch.equal(Block(8, 16)(x), x) and torch.equal(Block(8, 16, 4)(x, x[:, :4]), x)
