"""NICE has the published keys, sizes and outputs; its electrodes attend, or slip as published."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.models.base import Sizes
from neurodecode.models.electrode_attention import ElectrodeAttention, ElectrodeGraph
from neurodecode.models.nice import NICE, Encoder
from tests.golden.rule import data, golden
from tests.models.published import agrees, filled, shapes

GOLDEN = golden("nice_encoder")
SIZES = Sizes(
    {"sub-01": 6, "sub-02": 5}, dim=8, n_tokens=2, token_dim=3, blurry=(4, 4, 3), n_times=20
)
SMALL = {"kernel": 5, "pool": 5, "stride": 2, "filters": 4}


@pytest.fixture
def published():
    return Encoder().double().eval()


def test_state_dict_has_the_published_keys_and_shapes(published):
    for name in ("Enc_eeg", "Proj_eeg"):
        assert shapes(getattr(published, name)) == GOLDEN["keys"][name]


def test_outputs_agree_with_the_golden_numbers(published):
    features = filled(published.Enc_eeg)(torch.from_numpy(data("eeg", (2, 1, 63, 250))))
    agrees(features, GOLDEN["outputs"]["features1440"])
    agrees(filled(published.Proj_eeg)(features), GOLDEN["outputs"]["embedding768"])
    assert features.shape == (2, 1440)


def test_full_network_has_as_many_parameters_as_published():
    with torch.device("meta"):  # shapes only
        model = Encoder()
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert (count(model.Enc_eeg), count(model.Proj_eeg)) == (103_680, 1_698_816)


@pytest.mark.parametrize(
    "attention, prefix", [("self", "0.fn.1.query.0"), ("graph", "0.fn.0.conv1")]
)
def test_attention_stands_before_the_convolutions_under_the_published_keys(attention, prefix):
    keys = Encoder(attention=attention).Enc_eeg.state_dict()
    assert any(key.startswith(prefix) for key in keys)
    assert "1.tsconv.0.weight" in keys


def test_published_self_attention_slips_and_the_repaired_one_attends():
    attend = ElectrodeAttention(5, 60).eval()
    x = torch.randn(2, 5, 60, generator=torch.Generator().manual_seed(0))
    slip = ElectrodeAttention(5, 60, compat=True).eval()
    slip.load_state_dict(attend.state_dict())
    alone = slip.projection(x.transpose(1, 2)).transpose(1, 2)  # of no other electrode
    torch.testing.assert_close(slip(x), alone)
    query, key = (f(x.transpose(1, 2)).transpose(1, 2) for f in (attend.query, attend.key))
    scores = torch.einsum("nct,nmt->ncm", query, key) / 2**0.5
    mean = torch.einsum("ncm,nmt->nct", scores.softmax(dim=2), x)
    torch.testing.assert_close(attend(x), attend.projection(mean.transpose(1, 2)).transpose(1, 2))
    assert not torch.allclose(attend(x), alone)


def test_graph_attention_is_that_of_every_pair_written_out():
    graph = ElectrodeGraph(7).double()
    x = torch.randn(3, 4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = graph.conv1
    for n, trial in enumerate(x):
        nodes = [layer.lin.weight @ electrode for electrode in trial]
        for i in range(4):
            scores = [
                F.leaky_relu(
                    layer.att_src.flatten() @ other + layer.att_dst.flatten() @ nodes[i], 0.2
                )
                for other in nodes
            ]
            weights = torch.stack(scores).softmax(dim=0)
            expected = sum(w * other for w, other in zip(weights, nodes, strict=True)) + layer.bias
            torch.testing.assert_close(graph(x)[n, i], expected)


def test_published_graph_has_the_edges_of_the_first_trial_only():
    graph, slip = ElectrodeGraph(7), ElectrodeGraph(7, compat=True)
    slip.load_state_dict(graph.state_dict())
    x = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slip(x)[0], graph(x)[0])
    torch.testing.assert_close(slip(x)[1:], slip.conv1.lin(x)[1:] + slip.conv1.bias)
    assert not torch.allclose(graph(x.flip(0)).flip(0), slip(x))


@pytest.mark.parametrize("attention", ["none", "self", "graph"])
def test_a_pipeline_network_says_everything_that_is_asked(attention):
    model = NICE(SIZES, attention=attention, **SMALL)
    output = model(torch.randn(3, 5, 20), "sub-02")
    assert output.pooled.shape == (3, 8)
    assert output.tokens.shape == (3, 2, 3)
    assert output.blurry.shape == (3, 4, 4, 3)
    assert np.allclose(output.blurry.detach(), 0.5)  # it starts grey


def test_subjects_have_networks_of_their_own_unless_one_is_shared():
    equal = Sizes({"sub-01": 6, "sub-02": 6}, dim=8, n_times=20)
    x = torch.randn(2, 6, 20, generator=torch.Generator().manual_seed(0))
    said = lambda model: [model.eval()(x, subject).pooled for subject in equal.channels]
    own, one = said(NICE(equal, **SMALL)), said(NICE(equal, shared=True, **SMALL))
    assert not torch.allclose(*own)
    torch.testing.assert_close(*one)


@pytest.mark.parametrize(
    "options", [{"filters": 3}, {"kernel": 3}, {"pool": 3}, {"stride": 3}, {"attention": "self"}]
)
def test_every_size_changes_the_number_of_weights(options):
    count = lambda **more: sum(p.numel() for p in NICE(SIZES, **SMALL | more).parameters())
    assert count(**options) != count()


def test_dropout_acts_in_training_only():
    model = NICE(SIZES, dropout=0.9, **SMALL)
    x = torch.randn(4, 6, 20, generator=torch.Generator().manual_seed(0))
    pooled = lambda: model(x, "sub-01").pooled
    assert not torch.allclose(pooled(), pooled())
    model.eval()
    torch.testing.assert_close(pooled(), pooled())
    without = NICE(SIZES, dropout=0.0, **SMALL)
    torch.testing.assert_close(without(x, "sub-01").pooled, without(x, "sub-01").pooled)


def test_compat_reaches_the_attention():
    for attention in ("self", "graph"):
        model, slip = (NICE(SIZES, attention=attention, compat=c, **SMALL) for c in (False, True))
        slip.load_state_dict(model.state_dict())
        x = torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(0))
        answers = [m.eval()(x, "sub-01").pooled for m in (model, slip)]
        assert not torch.allclose(*answers)


def test_what_it_cannot_read_is_refused():
    with pytest.raises(ValueError, match="need 75 samples and the trials have 20"):
        NICE(SIZES)
    with pytest.raises(ValueError, match="time axis"):
        NICE(Sizes({"sub-01": 6}, dim=8), **SMALL)
    with pytest.raises(ValueError, match="sub-01 6, sub-02 5"):
        NICE(SIZES, shared=True, **SMALL)
    with pytest.raises(ValueError, match="not 'sub-09'"):
        NICE(SIZES, **SMALL)(torch.randn(1, 6, 20), "sub-09")
