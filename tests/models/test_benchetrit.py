"""The MEG decoder of pictures: published sizes, three sums over time, two heads."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.models.base import Sizes
from neurodecode.models.benchetrit import (
    AffineOverTime,
    AttentionOverTime,
    Benchetrit,
    MeanOverTime,
    MegModule,
)
from tests.models.test_brainmagick import positions

N_TIMES = 12
SMALL = {"hidden": 10, "channels": 6, "basis": 18, "width": 14, "depth": 2}


def sizes(dim=8, n_tokens=4, token_dim=6, blurry=(3, 3, 3), n_times=N_TIMES):
    channels = {"sub-01": 9, "sub-02": 7}
    where = {s: positions(n) for s, n in channels.items()}
    return Sizes(channels, dim, n_tokens, token_dim, blurry, n_times, where)


def network(**options):
    torch.manual_seed(0)
    return Benchetrit(sizes(), **SMALL | options)


def trials(n=5, channels=9, seed=1):
    return torch.randn(n, channels, N_TIMES, generator=torch.Generator().manual_seed(seed))


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    ("heads", "n_parameters"), [((), 4_850_840), ((768,), 6_424_472), ((768, 768), 7_998_104)]
)
def test_full_network_has_as_many_parameters_as_published(heads, n_parameters):
    with torch.device("meta"):
        module = MegModule(n_times=181, n_subjects=4, heads=heads)
    assert count(module) == n_parameters


def test_each_line_of_the_published_table_has_its_parameters():
    with torch.device("meta"):
        module = MegModule(n_times=181, n_subjects=4, heads=(768, 768))
    trunk, convolve = module.trunk, module.trunk.encoders["meg"]
    blocks = [
        count(convolve.sequence[k], convolve.sequence[k + 1], convolve.glus[str(k + 1)])
        for k in (0, 2)
    ]
    assert [layer[0].dilation[0] for layer in convolve.sequence] == [1, 2, 4, 8]
    assert count(trunk.merger) == 552_960 and count(trunk.initial_linear) == 73_170
    assert count(trunk.subject_layers) == 291_600 and blocks == [1_183_360, 1_231_360]
    assert count(trunk.final) == 1_518_208 and count(module.over_time) == 182
    assert [count(head) for head in module.heads] == [1_573_632, 1_573_632]


def test_the_pipeline_network_at_full_size_is_the_published_one_and_a_temperature():
    channels = {f"sub-0{i}": 272 for i in range(1, 5)}
    where = {s: positions(272) for s in channels}
    with torch.device("meta"):
        net = Benchetrit(Sizes(channels, 768, 1, 768, None, 181, where))
    assert count(net) == 7_998_104 + 1


def test_an_affine_sum_over_time_is_shared_by_all_features():
    x, sum_over = torch.randn(3, 4, N_TIMES), AffineOverTime(4, N_TIMES)
    weight, bias = sum_over.linear.weight[0], sum_over.linear.bias
    torch.testing.assert_close(sum_over(x), torch.einsum("nft,t->nf", x, weight) + bias)


def test_the_mean_over_time_is_the_mean():
    x = torch.randn(3, 4, N_TIMES)
    torch.testing.assert_close(MeanOverTime(4, N_TIMES)(x), x.mean(dim=2))


def test_attention_over_time_is_a_weighted_mean_that_each_trial_decides():
    attend = AttentionOverTime(4, N_TIMES, hidden=5)
    x = torch.randn(3, 4, N_TIMES)
    expected = []
    for trial in x:
        scores = [attend.score.weight[0] @ torch.tanh(attend.hidden(step)) for step in trial.T]
        expected.append(trial @ torch.softmax(torch.stack(scores), dim=0))
    torch.testing.assert_close(attend(x), torch.stack(expected))
    reordered = torch.randperm(N_TIMES, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attend(x[..., reordered]), attend(x))
    constant = torch.arange(4.0)[None, :, None].expand(1, 4, N_TIMES)
    torch.testing.assert_close(attend(constant), torch.arange(4.0)[None])


@pytest.mark.parametrize("aggregation", ["affine", "mean", "attention"])
def test_outputs_have_the_sizes_the_data_decide(aggregation):
    output = network(aggregation=aggregation)(trials(), "sub-01")
    assert output.tokens.shape == (5, 4, 6) and output.pooled.shape == (5, 8)
    assert output.blurry.shape == (5, 3, 3, 3)


def test_each_aggregation_gives_another_answer():
    answers = [network(aggregation=a).eval()(trials(), "sub-01").tokens for a in ("affine", "mean")]
    answers.append(network(aggregation="attention").eval()(trials(), "sub-01").tokens)
    pairs = [(answers[i], answers[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert not any(torch.allclose(a, b, atol=1e-4) for a, b in pairs)


def test_pooled_has_the_length_of_the_learnt_inverse_temperature_and_at_most_100():
    net = network().eval()
    pooled = net(trials(), "sub-01").pooled
    torch.testing.assert_close(pooled.norm(dim=1), torch.full((5,), 1 / 0.07))
    code = net.net.code(*net.subjects(net.net.trunk.merger, {"sub-01": trials()}))
    torch.testing.assert_close(F.cosine_similarity(pooled, net.net.heads[0](code)), torch.ones(5))
    with torch.no_grad():
        net.scale.fill_(9.0)
    torch.testing.assert_close(net(trials(), "sub-01").pooled.norm(dim=1), torch.full((5,), 100.0))


def test_dividing_the_loss_by_lambda_descends_alike_under_adam():
    """tokens_weight = (1 - lambda) / lambda is the published mixture, as Adam sees it."""
    lam, x, draw = 0.75, trials(), torch.Generator().manual_seed(2)
    wanted = torch.randn(5, 4, 6, generator=draw)
    clip = F.normalize(torch.randn(5, 8, generator=draw), dim=1)
    learnt = []
    for weights in ((lam, 1 - lam), (1.0, (1 - lam) / lam)):
        net = network(radius=0.0).double()
        optimiser = torch.optim.Adam(net.parameters(), 1e-3, eps=1e-30)
        for _ in range(5):
            output = net(x.double(), "sub-01")
            logits = output.pooled @ clip.double().T
            contrast = F.cross_entropy(logits, torch.arange(5))
            loss = weights[0] * contrast + weights[1] * F.mse_loss(output.tokens, wanted.double())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        learnt.append(net.net.heads[0].weight.detach())
    torch.testing.assert_close(*learnt, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "option", [{"hidden": 12}, {"channels": 8}, {"basis": 32}, {"depth": 3}, {"width": 16}]
)
def test_every_size_changes_the_parameters(option):
    shapes = lambda net: {k: v.shape for k, v in net.state_dict().items()}
    assert shapes(network(**option)) != shapes(network())


def test_the_radius_changes_training_and_nothing_else():
    nets = [network(radius=r) for r in (0.0, 0.5)]
    answers = lambda net: net(trials(), "sub-01").pooled
    assert torch.equal(*(answers(net.eval()) for net in nets))
    torch.manual_seed(0)
    assert not torch.equal(*(answers(net.train()) for net in nets))


def test_a_picture_in_the_time_course_is_learnt():
    """What a trial shows stands in one sensor's sign: the first head finds it."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], 160)
    x = rng.standard_normal((160, 9, N_TIMES))
    x[:, 2, 4:8] += 2 * sign[:, None]
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(sign, dtype=torch.float32)
    torch.manual_seed(0)
    one = Sizes({"sub-01": 9}, 2, 0, 0, None, N_TIMES, {"sub-01": positions(9)})
    net = Benchetrit(one, **SMALL)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(60):
        pooled = net(x[:120], "sub-01").pooled
        loss = F.cross_entropy(pooled, (y[:120] > 0).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    right = net.eval()(x[120:], "sub-01").pooled.argmax(dim=1) == (y[120:] > 0)
    assert right.float().mean() > 0.9


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="residual_mlp"):
        Benchetrit(sizes(n_times=None), **SMALL)
    with pytest.raises(ValueError, match="model=benchetrit.*sub-01 has no positions"):
        Benchetrit(dataclasses.replace(sizes(), positions=None), **SMALL)
    assert math.isclose(math.exp(network().scale.item()), 1 / 0.07, rel_tol=1e-6)
