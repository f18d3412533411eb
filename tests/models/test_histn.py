"""HiSTN: the published number of weights, its graph filters against dense ones, shared labels."""

import numpy as np
import pytest
import torch

from neurodecode.models.histn import (
    ChebyshevFilter,
    Cropped,
    HiSTN,
    HiSTNNetwork,
    Merge,
    evened,
    ordinal_labels,
    region_graph,
    regions_of,
    ring,
)
from neurodecode.models.trial_classifier import Training


def test_the_network_has_as_many_weights_as_published():
    with torch.device("meta"):
        network = HiSTNNetwork(14, 5)
    trained = sum(p.numel() for p in network.parameters())
    statistics = sum(b.numel() for n, b in network.named_buffers() if "running" in n)
    assert trained == 1_181 and trained + statistics == 1_265


@pytest.mark.parametrize("graph", [region_graph(4, False), region_graph(3, True), ring(4)])
def test_messages_are_those_of_a_dense_filter_of_the_spectrum(graph):
    torch.manual_seed(0)
    layer = ChebyshevFilter(graph)
    values, vectors = np.linalg.eigh(np.diag(graph.sum(0)) - graph)
    scaled = 2 * values / values.max() - 1
    w = layer.weight.detach().numpy().astype(float)
    response = w[0] + w[1] * scaled + w[2] * (2 * scaled**2 - 1)  # T_2
    dense = vectors @ np.diag(response) @ vectors.T
    x = torch.randn(2, len(graph), 7)
    expected = np.einsum("ij,nit->njt", dense, x.numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_electrodes_are_filtered_as_by_loops():
    torch.manual_seed(0)
    network = HiSTNNetwork(3, 2, regions=[1, 2], n_filters=2, kernel=4).double().eval()
    x = np.random.default_rng(0).standard_normal((1, 3, 20))
    filters, mix = (p.detach().numpy() for p in (network.filters.weight, network.mix))
    padded = np.pad(x[0], [(0, 0), (1, 2)])  # an even kernel reaches one further to the right
    elu = lambda z: np.where(z > 0, z, np.expm1(z))
    for c in range(3):
        z = np.zeros(20)
        for f in range(2):
            taps = filters[f, 0, 0]
            z += mix[c, 0, f] * np.array([taps @ padded[c, t : t + 4] for t in range(20)])
        z = elu(z / np.sqrt(1 + 1e-3))
        taps = network.smooth.weight[c, 0].detach().numpy()
        z = elu(np.array([taps @ z[t : t + 5] for t in range(16)]) / np.sqrt(1 + 1e-3))
        expected = z.reshape(8, 2).mean(axis=1)
        found = network._filtered(torch.from_numpy(x))[0, c].detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_trials_without_times_are_refused():
    with pytest.raises(ValueError, match="preprocess=epochs"):
        HiSTN().fit(np.zeros((4, 3, 1)), np.arange(4), np.arange(4), 4, np.nan, 0, "cpu")


def test_graphs_are_the_published_ones():
    edges = lambda graph: {(int(a), int(b)) for a, b in np.argwhere(np.triu(graph))}
    assert edges(region_graph(4, False)) == {(0, 2), (1, 2), (1, 3), (2, 3)}
    assert edges(region_graph(4, True)) == {(0, 1), (0, 2), (1, 2), (1, 3)}
    assert edges(region_graph(3, False)) == {(0, 1), (1, 2)}
    assert edges(ring(4)) == {(0, 1), (1, 2), (2, 3), (0, 3)}


def test_a_message_goes_no_further_than_its_hops():
    x = torch.zeros(1, 6, 3)
    x[0, 0] = 1
    reached = ChebyshevFilter(region_graph(6, False), n_hops=2)(x)[0, :, 0]
    assert (reached[:3] != 0).all() and (reached[3:] == 0).all()


def test_an_electrode_alone_and_a_pair_of_regions_have_graphs():
    network = HiSTNNetwork(3, 2, regions=[1, 2]).eval()
    assert torch.isfinite(network(torch.randn(4, 3, 64))).all()


def test_merging_is_an_average_with_weights_that_sum_to_one():
    x = torch.randn(5, 1, 9).expand(5, 4, 9)
    torch.testing.assert_close(Merge(4)(x), x[:, :1])


def test_regions_hold_all_channels():
    assert regions_of(14, None) == (4, 3, 3, 4)
    assert regions_of(10, None) == (3, 3, 2, 2) and regions_of(2, None) == (1, 1)
    assert regions_of(5, [2, 3]) == (2, 3)
    with pytest.raises(ValueError, match="set the classifier's regions"):
        regions_of(6, [2, 3])


def test_neighbouring_classes_share_a_label():
    labels = ordinal_labels(torch.tensor([0, 2]), 5, 0.5)
    torch.testing.assert_close(labels.sum(1), torch.ones(2))
    np.testing.assert_allclose(labels[1, 1:4], [0.1065, 0.7866, 0.1065], atol=1e-3)
    np.testing.assert_allclose(labels[0, :2], [0.8806, 0.1192], atol=1e-3)
    assert ordinal_labels(torch.tensor([1]), 3, 0.0).tolist() == [[0, 1, 0]]


class Mean(torch.nn.Module):
    def forward(self, x):
        return torch.stack([x.mean((1, 2)), torch.zeros(len(x))], dim=1)


def test_pieces_of_a_trial_are_averaged_as_probabilities():
    x = torch.cat([torch.full((1, 1, 4), 3.0), torch.full((1, 1, 4), -1.0)], dim=2)
    pieces = Cropped(Mean(), 4).eval()
    each = Mean()(torch.tensor([[[3.0]], [[-1.0]]])).softmax(1)
    torch.testing.assert_close(pieces(x).exp()[0], each.mean(0))
    torch.testing.assert_close(Cropped(Mean(), None).eval()(x).softmax(1), Mean()(x).softmax(1))
    torch.manual_seed(0)
    drawn = {round(float(pieces.train()(x)[0, 0]), 3) for _ in range(40)}
    assert drawn == {3.0, 2.0, 1.0, 0.0, -1.0}


def test_weights_stay_within_their_norms_in_training():
    network = HiSTNNetwork(14, 5)
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(10)
    network.constrain()
    assert network.mix.abs().max() <= 1 and network.across[0].weight.abs().max() <= 1
    assert (network.smooth.weight.norm(dim=2) <= 1 + 1e-6).all()
    x, y = tones(12, 0)
    strong = Training(n_epochs=2, batch_size=6, learning_rate=3.0, optimizer="adam")
    steps = []
    before = HiSTNNetwork.constrain
    try:
        HiSTNNetwork.constrain = lambda self: steps.append(1)
        HiSTN(strong, crop_s=None, kernel=8).fit(x, y, np.arange(12), 2, 64.0, 0, "cpu")
    finally:
        HiSTNNetwork.constrain = before
    assert len(steps) == 4


def test_rows_of_rarer_classes_are_repeated():
    rows, y = np.arange(10)[:, None], np.array([0] * 7 + [2] * 3)
    more, classes = evened(rows, y, 0)
    assert np.bincount(classes).tolist() == [7, 0, 7]
    np.testing.assert_array_equal(more[:10], rows)
    assert set(more[10:, 0]) <= {7, 8, 9}


def tones(n, seed, n_times=64):
    """Trials whose class is a frequency, 4 or 16 Hz, in the channels of the first region."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    wave = np.sin(
        2 * np.pi * np.where(y, 16, 4)[:, None, None] * np.arange(n_times) / 64
        + rng.uniform(0, 6, (n, 1, 1))
    )  # fmt: skip
    x = 0.3 * rng.standard_normal((n, 14, n_times))
    x[:, :4] += wave
    return x.astype(np.float32), y


def test_a_rhythm_of_one_region_is_found():
    x, y = tones(80, 0)
    asked, truth = tones(60, 1)
    plan = Training(
        n_epochs=40,
        batch_size=20,
        learning_rate=1e-2,
        optimizer="adam",
        select="best",
        judge="loss",
    )
    model = HiSTN(plan, dropout=0.2)
    scores = model.fit(x, y, np.arange(80) // 4, 2, 64.0, 0, "cpu")(asked)
    assert scores.shape == (60, 2)
    assert (scores.argmax(1) == truth).mean() > 0.9


def test_every_option_changes_the_scores():
    x, y = tones(18, 0, n_times=96)
    y = (np.arange(18) >= 12).astype(int)
    short = Training(n_epochs=2, batch_size=6, learning_rate=1e-2)
    score = lambda **other: HiSTN(**({"training": short, "kernel": 8} | other)).fit(
        x, y, np.arange(18), 2, 64.0, 0, "cpu"
    )(x)
    plain = score()
    np.testing.assert_array_equal(plain, score())
    others = {
        "training": Training(n_epochs=3, batch_size=6, learning_rate=1e-2),
        "crop_s": 0.5,
        "scale": "train",
        "label_width": 0.0,
        "balanced": False,
        "regions": [7, 7],
        "n_filters": 4,
        "kernel": 9,
        "dropout": 0.1,
    }
    for name, value in others.items():
        assert np.abs(score(**{name: value}) - plain).max() > 1e-6, name


def test_fits_on_all_reads_the_largest_values_of_test_rows():
    x, y = tones(12, 0)
    short = Training(n_epochs=1, batch_size=6)
    quirky = HiSTN(short, scale="train", kernel=8, fits_on_all=True)
    assert not HiSTN().fits_on_all
    fit = lambda also: quirky.fit(x, y, np.arange(12), 2, 64.0, 0, "cpu", also=also)(x)
    assert np.abs(fit(None) - fit(9 * x)).max() > 1e-6
