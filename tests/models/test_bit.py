"""The interaction transformer has the published keys, sizes and outputs."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.models.bit import BIT, VGG_TOKENS, CentreConv, cluster_softmax, token_contrast
from tests.golden.compare import agrees
from tests.golden.rule import data, golden, parameter

GOLDEN = golden("brainit_bit_decoder")


def test_state_dict_has_the_published_keys_and_shapes_and_the_output_is_golden():
    config = {k: v for k, v in GOLDEN["config"].items() if k != "mode"}
    model = BIT(**config).double().eval()
    state = {k: torch.from_numpy(parameter(k, v.shape)) for k, v in model.state_dict().items()}
    assert {k: list(v.shape) for k, v in state.items()} == GOLDEN["keys"]
    model.load_state_dict(state)
    fmri = torch.from_numpy(data("fmri", (2, 7)))
    places = (torch.tensor(GOLDEN["inputs"][n]) for n in ("voxel_index", "cluster"))
    assert agrees(model(fmri, *places), GOLDEN["output"])


@pytest.mark.parametrize(
    "head, n_parameters",
    [({}, 35_188_352), ({"out_tokens": VGG_TOKENS, "out_dim": 512}, 38_147_584)],
)
def test_full_network_has_as_many_parameters_as_published(head, n_parameters):
    with torch.device("meta"):  # shapes only
        model = BIT(**head)
    assert sum(p.numel() for p in model.parameters()) == n_parameters


def test_centres_gather_by_graph_attention_over_their_own_vertices():
    torch.manual_seed(0)
    conv, dim = CentreConv(6).double(), 6
    centers, embed = torch.randn(3, dim).double(), torch.randn(1, 9, dim).double()
    activation, cluster = torch.randn(2, 9).double(), torch.tensor([[0, 2, 2, 0, 2, 0, 0, 2, 2]])
    drawn = torch.rand(2, 9) < 0.7
    said = conv(centers, embed, activation, cluster, drawn)
    for trial in range(2):
        for centre in range(3):
            own = conv.lin_skip(centers[centre])
            there = (cluster[0] == centre) & drawn[trial]
            if there.any():
                x = (embed[0] * activation[trial][:, None])[there]
                score = conv.lin_key(x) @ conv.lin_query(centers[centre]) / dim**0.5
                own = own + score.softmax(0) @ conv.lin_value(x)
            assert torch.allclose(said[trial, centre], own, rtol=1e-10, atol=1e-12)


def test_weights_sum_to_one_in_clusters_with_vertices_and_gradients_are_numbers():
    score = torch.tensor([[800.0, 0.0, -800.0, 3.0]], requires_grad=True)
    cluster, drawn = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[True, True, True, False]])
    weight = cluster_softmax(score, cluster, 4, drawn)
    (weight * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    np.testing.assert_allclose(weight.detach(), [[1, 0, 1, 0]], atol=1e-6)
    assert score.grad.isfinite().all()


def test_tokens_are_contrasted_with_all_tokens_of_all_trials():
    generator = torch.Generator().manual_seed(3)
    said = torch.randn(4, 5, 3, generator=generator, requires_grad=True)
    true = torch.randn(4, 5, 3, generator=generator)
    logits, own = said.reshape(20, 3) @ true.reshape(20, 3).T, torch.arange(20)
    plain = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    (expected,) = torch.autograd.grad(plain, said, retain_graph=True)
    for chunk in (7, 100):
        found = token_contrast(said, true, chunk=chunk)
        (gradient,) = torch.autograd.grad(found, said)
        assert found.item() == pytest.approx(plain.item(), rel=1e-6)
        assert torch.allclose(gradient, expected, atol=1e-6)


def test_places_are_drawn_in_the_grid_and_the_same_in_all_trials():
    said, true = torch.randn(4, 6, 3), torch.randn(4, 6, 3)
    torch.manual_seed(5)
    found = token_contrast(said, true, n_places=2)
    torch.manual_seed(5)
    places = torch.randperm(6)[:2]
    assert found.item() == pytest.approx(token_contrast(said[:, places], true[:, places]).item())
    assert token_contrast(said, true, n_places=6).item() == pytest.approx(
        token_contrast(said, true).item(), rel=1e-6
    )


def test_the_width_is_a_multiple_of_the_heads():
    with pytest.raises(ValueError, match="no multiple of heads"):
        BIT(dim=10, heads=4)
