"""What several processes compute of a batch is what one computes of it.

The processes are threads here, and gathering is a list they all write to: processes proper, over
gloo and NCCL, are in `test_ranks` and in scripts/bench/gradients.py.
"""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from neurodecode.contrastive import gather
from neurodecode.contrastive.batches import epoch_batches
from neurodecode.contrastive.decoder import decoder_loss
from neurodecode.contrastive.gather import ALONE, Rank, gather_gradients
from neurodecode.contrastive.losses import InfoNCELoss, MindEyeLoss
from neurodecode.contrastive.replicas import large_linear_layers, refuse_layers_across_trials
from neurodecode.contrastive.rows import Rows
from tests.contrastive.together import decoder, study

WORLDS = [1, 2, 3, 4]
LOSSES = {
    "infonce": (InfoNCELoss(0.07), 0),
    "bimixco": (MindEyeLoss(0.5), 0),
    "bimixco as published": (MindEyeLoss(0.5, compat=True), 0),
    "softclip": (MindEyeLoss(0.5), 1),
    "softclip, own temperature": (MindEyeLoss(0.5, brain_temperature=0.2), 1),
}


class Threads:
    """`world` threads that pose as processes; `run` returns what `job(rank)` said in each."""

    def __init__(self, world, monkeypatch):
        self.world, self.slots, self.here = world, [None] * world, threading.local()
        self.barrier = threading.Barrier(world, timeout=60)
        monkeypatch.setattr(gather, "all_gather", self.all_gather)

    def all_gather(self, out, rows, async_op=False):
        self.slots[self.here.index] = rows.detach().clone()
        self.barrier.wait()
        out.copy_(torch.cat(self.slots))
        self.barrier.wait()
        return Arrived()

    def run(self, job):
        said = [None] * self.world

        def one(index):
            self.here.index = index
            try:
                said[index] = job(Rank(index, self.world))
            except BaseException:
                self.barrier.abort()
                raise

        threads = [threading.Thread(target=one, args=(i,)) for i in range(self.world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert None not in said, "a thread failed"
        return said


class Arrived:
    def wait(self):
        pass


@pytest.fixture
def threads(monkeypatch):
    return lambda world: Threads(world, monkeypatch)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("sizes", [[7, 6], [1, 1], [8], [3, 1, 2]])
def test_every_trial_is_dealt_to_one_process_and_found_again(world, sizes):
    shares = [Rank(i, world).deal(sizes) for i in range(world)]
    assert sorted(np.concatenate([d.own for d in shares])) == list(range(sum(sizes)))
    assert max(len(d.own) for d in shares) - min(len(d.own) for d in shares) <= 1
    read = [np.concatenate(d.places) for d in shares]
    assert len({tuple(map(len, d.places)) for d in shares}) == 1  # the same shapes everywhere
    for dealt, places in zip(shares, read, strict=True):
        counted = dealt.counted(torch.from_numpy(places))
        np.testing.assert_array_equal(counted, dealt.own)
    order = shares[0].order
    gathered = np.concatenate(read)
    np.testing.assert_array_equal(gathered if order is None else gathered[order], range(sum(sizes)))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("world", WORLDS)
def test_gradients_of_embeddings_are_those_of_the_whole_batch(threads, world, name):
    loss, epoch = LOSSES[name]
    rng, sizes = np.random.default_rng(0), [7, 6]
    brain, clip = (torch.from_numpy(rng.standard_normal((13, 9))) for _ in range(2))
    mixture = ()
    if loss.mixes(epoch, 2):
        mixture = (torch.from_numpy(rng.permutation(13)), torch.from_numpy(rng.random(13)))
    whole = brain.clone().requires_grad_()
    value = loss(whole, clip, epoch, 2, *mixture)
    value.backward()

    def share(rank):
        own, dealt = brain.clone().requires_grad_(), rank.deal(sizes)
        read = np.concatenate(dealt.places)
        part = loss(dealt.gather(own[read]), dealt.gather(clip[read]), epoch, 2, *mixture)
        part.backward()
        return part.detach(), own.grad

    said = threads(world).run(share)
    for part, _ in said:
        torch.testing.assert_close(part, value.detach(), rtol=1e-12, atol=0)
    average = sum(gradient for _, gradient in said) / world
    assert (average - whole.grad).abs().max() < 1e-12 * whole.grad.abs().max()


def test_the_gradient_of_gathered_rows_is_the_sum_over_processes(threads):
    """Planted: of sum_i i * x_i, in every process, the gradient of x_i is i times their number."""
    weight = torch.arange(1.0, 7)

    def share(rank):
        rows = torch.ones(2, requires_grad=True)
        (weight * rank.gather(rows)).sum().backward()
        return rows.grad

    said = threads(3).run(share)
    torch.testing.assert_close(torch.cat(said), 3 * weight)


@pytest.mark.parametrize("n_per_subject", [7, 1])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("world", [2, 3, 4])
def test_gradients_of_weights_are_those_of_the_whole_batch(threads, world, name, n_per_subject):
    """All parts of the loss, mixed and not, shares of unequal size and empty ones."""
    contrastive, epoch = LOSSES[name]
    rows, targets = study(dtype=torch.float64)
    stimulus = {s: seen.stimulus for s, seen in rows.items()}
    batch = epoch_batches(stimulus, n_per_subject, 0, 0)[0]
    cost = lambda rank: decoder_loss(contrastive, rows, targets, 2, {"blurry": 2.0}, rank)
    models = [decoder().double() for _ in range(world + 1)]
    whole = cost(ALONE)(models[-1], batch, epoch)
    whole["total"].backward()

    def share(rank):
        gather_gradients(models[rank.index].heads.tokens, world)
        parts = cost(rank)(models[rank.index], batch, epoch)
        parts["total"].backward()
        return {name: part.detach() for name, part in parts.items()}

    said = threads(world).run(share)
    for part, expected in whole.items():
        average = sum(parts[part] for parts in said) / world
        torch.testing.assert_close(average, expected.detach(), rtol=1e-12, atol=1e-15)
    gathered = {id(p) for p in models[0].heads.tokens.parameters()}
    largest = max(p.grad.abs().max() for p in models[-1].parameters())
    others = zip(*map(nn.Module.parameters, models[:-1]), strict=True)
    for of_one, of_all in zip(models[-1].parameters(), others, strict=True):
        average = sum(p.grad for p in of_all) / world
        assert (average - of_one.grad).abs().max() < 1e-12 * largest
        if id(of_all[0]) in gathered:  # whole in every process already
            assert all(torch.equal(p.grad, of_all[0].grad) for p in of_all)


def test_in_bfloat16_gathered_gradients_are_rounded_once(threads):
    """Closer to the whole batch in float32 than bfloat16's step, for shares called twice a step."""
    layers = [nn.Linear(40, 30) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    whole = nn.Linear(40, 30)
    whole.load_state_dict(layers[0].state_dict())
    x = torch.randn(12, 40, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    (whole(x) ** 2).sum().backward()

    def share(rank):
        layer, own = layers[rank.index], x[rank.index :: 2]
        gather_gradients(layer, 2)
        with torch.autocast("cpu", torch.bfloat16):
            said = torch.cat([layer(own[:3]), layer(own[3:])])
        assert said.dtype == layer.cast.dtype == torch.bfloat16
        (2 * (said.float() ** 2).sum()).backward()
        return layer.weight.grad, layer.bias.grad

    first, second = threads(2).run(share)
    for a, b, expected in zip(first, second, (whole.weight.grad, whole.bias.grad), strict=True):
        assert torch.equal(a, b) and a.dtype == torch.float32
        assert (a - expected).abs().max() < 0.02 * expected.abs().max()


def test_a_process_reads_its_own_trials_and_their_partners_alone(threads, monkeypatch):
    read, lock = [], threading.Lock()
    whole = Rows.read

    def noted(self, chosen):
        with lock:
            read.append((threading.get_ident(), len(chosen)))
        return whole(self, chosen)

    monkeypatch.setattr(Rows, "read", noted)
    rows, targets = study(n_stimuli=40)
    batch = epoch_batches({s: r.stimulus for s, r in rows.items()}, 20, 0, 0)[0]
    model = decoder()
    for epoch, most in ((0, 2 * 5), (1, 5)):  # mixed, and not
        read.clear()
        cost = lambda rank: decoder_loss(MindEyeLoss(0.5), rows, targets, 2, {}, rank)
        threads(4).run(lambda rank, e=epoch, c=cost: c(rank)(model, batch, e))
        assert len(read) == 4 * len(rows) and max(n for _, n in read) <= most


def test_layers_are_gathered_where_rows_take_less_room_than_weights():
    model = nn.Sequential(nn.Linear(100, 80), nn.Linear(80, 4), nn.Linear(4, 80), nn.Linear(80, 80))
    model.add_module("tied", nn.Linear(80, 80))
    model.tied.weight = model[3].weight
    found = large_linear_layers(model, lambda: model(torch.zeros(5, 100)), world=2)
    assert list(found) == ["0"]  # 2 * 5 * 180 numbers instead of 8000; tied weights are left alone
    assert not large_linear_layers(model, lambda: model(torch.zeros(5, 100)), world=20)


def test_a_network_that_looks_across_trials_is_refused():
    with pytest.raises(ValueError, match="1 is a BatchNorm1d.*LayerNorm.*train.devices=1"):
        refuse_layers_across_trials(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    refuse_layers_across_trials(decoder())


def test_more_subjects_than_trials_still_reads_one_of_each():
    dealt = Rank(1, 2).deal([1])
    assert [p.tolist() for p in dealt.places] == [[0]] and len(dealt.own) == 0
    assert dealt.mean(torch.nn.functional.mse_loss, torch.zeros(0, 2), torch.zeros(0, 2)) == 0
