"""The convolutional encoder: sizes, its linear path, what its filters find, and every option."""

import numpy as np
import pytest
import torch

from neurodecode.models.base import Sizes
from neurodecode.models.conv_encoder import ConvEncoder

CHANNELS, N_TIMES = {"sub-01": 9, "sub-02": 7}, 20
SIZES = Sizes(CHANNELS, dim=8, n_tokens=4, token_dim=6, blurry=(5, 5, 3), n_times=N_TIMES)
SMALL = {"hidden": 16, "width": 6, "n_blocks": 2, "kernel": 3, "projector_hidden": 12}


def network(sizes=SIZES, **options):
    torch.manual_seed(0)
    return ConvEncoder(sizes, **SMALL | options)


def trials(n=7, subject="sub-01", seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, CHANNELS[subject], N_TIMES, generator=generator)


def test_outputs_have_the_sizes_the_data_decide():
    output = network()(trials(), "sub-01")
    assert output.tokens.shape == (7, 4, 6)
    assert output.pooled.shape == (7, 8) and output.blurry.shape == (7, 5, 5, 3)


def test_it_starts_close_to_the_linear_decoders_it_is_given():
    net, draw = network().eval(), torch.Generator().manual_seed(2)
    linear = {
        s: (torch.randn(n * N_TIMES, 3, generator=draw), torch.randn(3, generator=draw))
        for s, n in CHANNELS.items()
    }
    back = torch.randn(3, 24, generator=draw)
    for subject, (weights, intercepts) in linear.items():
        x = trials(subject=subject)
        expected = (x.flatten(1) @ weights + intercepts) @ back
        away = []
        for scale in (1.0, 100.0):
            net.start_at(linear, back, scale)
            said = net(x, subject).tokens.flatten(1).detach()
            away.append(float((said - expected).norm() / expected.norm()))
        assert away[1] < 0.01 and away[1] < away[0]
    with pytest.raises(ValueError, match="linear=true"):
        network(linear=False).start_at(linear, back)


def test_what_lies_between_sensors_and_times_is_learnt_without_a_linear_path():
    """A burst's power says the class, its sign and time say nothing: no linear decoder finds it."""
    rng = np.random.default_rng(0)
    label, start = rng.integers(0, 2, 400), rng.integers(2, 14, 400)
    x = 0.3 * rng.standard_normal((400, 9, N_TIMES))
    for i, (strong, t) in enumerate(zip(label, start, strict=True)):
        x[i, 2, t : t + 4] += strong * rng.choice([-1, 1]) * np.array([1, -1, 1, -1]) * 2
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(2.0 * label - 1).float()
    net = network(Sizes({"sub-01": 9}, dim=1, n_times=N_TIMES), linear=False, dropout=0.0)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        loss = (net(x[:300], "sub-01").pooled[:, 0] - y[:300]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    right = (net.eval()(x[300:], "sub-01").pooled[:, 0] * y[300:] > 0).float().mean()
    flat = np.c_[x.flatten(1).numpy(), np.ones(400)]
    solved = np.linalg.lstsq(flat[:300], y[:300].numpy(), rcond=1e-2)[0]
    linear = float(((flat[300:] @ solved) * y[300:].numpy() > 0).mean())
    assert right > 0.9 and linear < 0.65


def test_a_trial_is_decoded_alike_in_any_batch():
    model, x = network().eval(), trials()
    together, alone = model(x, "sub-01"), model(x[2:3], "sub-01")
    torch.testing.assert_close(together.pooled[2:3], alone.pooled, rtol=1e-5, atol=1e-6)


def test_gradients_reach_every_parameter_and_are_finite():
    model = network()
    for subject in CHANNELS:
        output = model(trials(subject=subject), subject)
        sum(part.square().mean() for part in output).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "option",
    [
        {"hidden": 24},
        {"width": 4},
        {"n_blocks": 1},
        {"kernel": 5},
        {"linear": False},
        {"input_dropout": 0.5},
        {"dropout": 0.0},
        {"projector_hidden": 20},
    ],
)
def test_every_option_changes_the_output_in_training(option):
    def pooled(**options):
        model = network(**options)
        torch.manual_seed(1)
        return model(trials(), "sub-01").pooled.detach().numpy()

    assert np.array_equal(pooled(), pooled())
    assert not np.array_equal(pooled(), pooled(**option))


def test_unknown_subjects_other_sensors_and_other_times_are_refused():
    with pytest.raises(ValueError, match="sub-01, sub-02, not 'sub-03'"):
        network()(trials(), "sub-03")
    with pytest.raises(ValueError, match="sub-02 has 9 × 20 channels .* 7 × 20"):
        network()(trials(), "sub-02")
    with pytest.raises(ValueError, match="9 × 10 channels .* 9 × 20"):
        network()(trials()[..., :10], "sub-01")


def test_what_cannot_be_built_says_what_to_do():
    with pytest.raises(ValueError, match="model=residual_mlp, or preprocess=epochs"):
        network(Sizes({"sub-01": 9}, dim=8))
    with pytest.raises(ValueError, match="odd number of samples"):
        network(kernel=4)
