"""Batches mix subjects without repeating a picture; the loss is the sum it claims to be."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.contrastive.batches import epoch_batches
from neurodecode.contrastive.decoder import decoder_loss, own_rank, validation_scores
from neurodecode.contrastive.losses import InfoNCELoss, MindEyeLoss
from neurodecode.contrastive.rows import Rows, Targets
from neurodecode.models.base import BrainOutput


def seen_twice():
    """Two subjects who saw the same 40 pictures; the first saw ten of them twice."""
    return {"sub-01": np.r_[np.arange(40), np.arange(10)], "sub-02": np.arange(40)}


class Echo(torch.nn.Module):
    """Says of a trial what stands in it: 4 numbers of tokens, then 3 of the embedding."""

    def forward(self, responses, subject):
        tokens = responses[:, :4].reshape(-1, 2, 2)
        return BrainOutput(tokens, responses[:, 4:7], responses[:, 7:].reshape(-1, 1, 1, 3))


@pytest.fixture
def echo():
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.standard_normal((40, 10)), dtype=torch.float32)
    targets = Targets(
        F.normalize(x[:, 4:7], dim=1), x[:, :4].reshape(-1, 2, 2), x[:, 7:].reshape(-1, 1, 1, 3)
    )
    rows = {s: Rows(x[seen], seen) for s, seen in seen_twice().items()}
    return rows, targets


def batch_of(rows):
    return epoch_batches({s: r.stimulus for s, r in rows.items()}, 8, seed=0, epoch=0)[0]


def test_regressions_of_a_perfect_decoder_cost_nothing_even_when_trials_are_mixed(echo):
    rows, targets = echo
    loss = decoder_loss(MindEyeLoss(tau=0.1, mixco_fraction=1.0), rows, targets, 4, {})
    parts = loss(Echo(), batch_of(rows), 0)
    assert parts["tokens"] < 1e-12 and parts["blurry"] < 1e-6


def test_the_total_is_the_weighted_sum_of_its_parts(echo):
    rows, targets = echo
    wrong = Targets(targets.pooled, targets.tokens + 1, targets.blurry + 1)
    weights = {"tokens": 0.5, "blurry": 2.0}
    parts = decoder_loss(InfoNCELoss(0.1), rows, wrong, 4, weights)(Echo(), batch_of(rows), 0)
    expected = parts["contrastive"] + 0.5 * parts["tokens"] + 2 * parts["blurry"]
    assert parts["total"] == pytest.approx(float(expected))
    assert parts["tokens"] == pytest.approx(1.0, rel=1e-5)


def test_the_loss_contrasts_all_subjects_with_each_other(echo):
    rows, targets = echo
    batch = batch_of(rows)
    whole = decoder_loss(InfoNCELoss(1.0), rows, targets, 4, {})(Echo(), batch, 0)["contrastive"]
    chosen = np.concatenate([rows[s].stimulus[r] for s, r in batch.rows.items()])
    brain = torch.cat([rows[s].responses[r][:, 4:7] for s, r in batch.rows.items()])
    assert whole == InfoNCELoss(1.0)(brain, targets.pooled[chosen], 0, 4)


def test_validation_of_a_perfect_decoder_is_perfect(echo):
    scores = validation_scores(Echo(), *echo)
    assert scores["top1"] == scores["score"] == 1 and scores["tokens"] == scores["blurry"] == 0


def test_a_study_without_tokens_and_blurry_pictures_trains_on_the_embedding_alone(echo):
    rows, targets = echo
    loss = decoder_loss(InfoNCELoss(0.1), rows, Targets(targets.pooled), 4, {})
    assert set(loss(Echo(), batch_of(rows), 0)) == {"total", "contrastive"}


class Wishful(Echo):
    """Asks of itself that trials be small, and targets be what it was told."""

    def own_costs(self, responses, wanted):
        self.heard = responses, wanted
        return {"size": 0.5 * sum(x.square().mean() for x in responses.values())}


def test_what_a_network_asks_of_itself_is_part_of_the_total(echo):
    rows, targets = echo
    batch, network = batch_of(rows), Wishful()
    parts = decoder_loss(InfoNCELoss(0.1), rows, targets, 4, {})(network, batch, 0)
    plain = decoder_loss(InfoNCELoss(0.1), rows, targets, 4, {})(Echo(), batch, 0)
    assert parts["size"] > 0
    assert parts["total"] == pytest.approx(float(plain["total"] + parts["size"]))
    responses, wanted = network.heard
    for subject, chosen in batch.rows.items():
        assert torch.equal(responses[subject], rows[subject].responses[chosen])
        for name, of_trials in wanted[subject].items():
            own = getattr(targets, name)[rows[subject].stimulus[chosen]]
            assert torch.equal(of_trials, own), name


def test_what_a_network_does_not_answer_is_not_regressed(echo):
    class Mute(Echo):
        def forward(self, responses, subject):
            return super().forward(responses, subject)._replace(tokens=None, blurry=None)

    rows, targets = echo
    parts = decoder_loss(InfoNCELoss(0.1), rows, targets, 4, {})(Mute(), batch_of(rows), 0)
    assert set(parts) == {"total", "contrastive"}
    assert set(validation_scores(Mute(), rows, targets)) == {"score", "top1"}


def test_a_network_that_decodes_subjects_together_is_asked_once(echo):
    class Together(Echo):
        def together(self, responses):
            self.heard = {subject: len(x) for subject, x in responses.items()}
            return self(torch.cat([*responses.values()]), "all")

    rows, targets = echo
    batch, network = batch_of(rows), Together()
    parts = decoder_loss(InfoNCELoss(0.1), rows, targets, 4, {})(network, batch, 0)
    assert network.heard == {subject: len(chosen) for subject, chosen in batch.rows.items()}
    assert parts == decoder_loss(InfoNCELoss(0.1), rows, targets, 4, {})(Echo(), batch, 0)


def test_the_rank_of_a_tie_lies_between():
    similarity = np.array([[3.0, 1, 2], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(own_rank(similarity, np.array([0, 0, 1])), [1, 1.5, 2])


def test_what_is_no_number_is_not_ranked_first():
    with pytest.raises(ValueError, match="diverged"):
        own_rank(np.array([[np.nan, 0.2]]), np.array([0]))
