"""A decoder is trained on rows that lie on disk as on tensors: the same batches, the same cost."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neurodecode.contrastive import rows as places
from neurodecode.contrastive.batches import epoch_batches
from neurodecode.contrastive.decoder import decoder_loss, validation_scores
from neurodecode.contrastive.losses import InfoNCELoss
from neurodecode.contrastive.rows import Resident, Rows, Targets
from neurodecode.core import lazy
from neurodecode.core.lazy import Lazy, Mapped
from neurodecode.models.base import BrainOutput


def loaded(path):
    return np.load(path, mmap_mode="r")


class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(10, 9)

    def forward(self, responses, subject):
        said = self.layer(responses)
        return BrainOutput(said[:, :4].reshape(-1, 2, 2), said[:, 4:7], None)


@pytest.fixture
def both(tmp_path):
    """Rows and targets as tensors, and as rows on disk."""
    rng, torch_rng = np.random.default_rng(0), torch.random.fork_rng
    arrays = {
        "x": rng.standard_normal((60, 10)),
        "pooled": F.normalize(torch.as_tensor(rng.standard_normal((40, 3))), dim=1).numpy(),
        "tokens": rng.standard_normal((40, 2, 2)),
    }
    on_disk = {}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array.astype(np.float32))
        on_disk[name] = Lazy(Mapped(partial(loaded, tmp_path / f"{name}.npy")))
    stimulus = rng.integers(0, 40, 60)
    with torch_rng():
        torch.manual_seed(0)
        model = Linear()
    made = []
    for given in ({n: torch.as_tensor(a[:]) for n, a in on_disk.items()}, on_disk):
        rows = {"sub-01": Rows(given["x"], stimulus)}
        made.append((rows, Targets(given["pooled"], given["tokens"])))
    return model, *made


def test_the_cost_of_a_batch_is_the_same(both):
    model, *sides = both
    costs = []
    for rows, targets in sides:
        stimulus = {s: r.stimulus for s, r in rows.items()}
        batch = epoch_batches(stimulus, 8, seed=0, epoch=0)[0]
        costs.append(decoder_loss(InfoNCELoss(0.1), rows, targets, 4, {})(model, batch, 0))
    costs = [{name: part.item() for name, part in cost.items()} for cost in costs]
    assert costs[0] == costs[1] and costs[0]["total"] > 0


def test_validation_in_blocks_scores_the_same(both, monkeypatch):
    model, *sides = both
    whole = [validation_scores(model, *side) for side in sides]
    assert whole[0] == whole[1]
    monkeypatch.setattr(places, "IN_MEMORY", 0)
    monkeypatch.setattr(lazy, "BLOCK", 4 * 10 * 7)
    assert [len(b) for b in sides[1][0]["sub-01"].blocks()] == [7] * 8 + [4]
    in_blocks = validation_scores(model, *sides[1])
    assert in_blocks == pytest.approx(whole[0], rel=1e-6)


def test_rows_and_targets_reach_another_process(both):
    _, _, (rows, targets) = both
    rows["sub-01"].read(np.array([1]))
    again, there = pickle.loads(pickle.dumps((rows["sub-01"], targets)))
    assert len(again) == 60 and again.shape == (10,)
    chosen = np.array([5, 2, 2])
    assert torch.equal(again.read(chosen), rows["sub-01"].read(chosen))
    assert torch.equal(there.take("tokens", chosen), targets.take("tokens", chosen))


def test_rows_come_to_a_device_with_room_for_them_and_leave_it_again(both, monkeypatch):
    _, _, (rows, targets) = both
    rows, chosen = rows["sub-01"], np.array([5, 2, 2])
    assert isinstance(rows.on("cpu").responses, Lazy)  # whose memory is to be spared
    monkeypatch.setattr(places, "_free_bytes", lambda device: 4 * 60 * 10 * 4)
    there, said = rows.on("cpu"), targets.on("cpu")
    assert isinstance(there.responses, Resident) and there.shape == rows.shape
    assert torch.equal(there.responses.values, torch.as_tensor(rows.responses[:]))
    assert torch.equal(there.read(chosen), rows.read(chosen))
    assert torch.equal(said.take("tokens", chosen), targets.take("tokens", chosen))
    monkeypatch.setattr(places, "_free_bytes", lambda device: 4 * 60 * 10 * 4 - 1)
    assert isinstance(there.on("cpu").responses, Lazy)


def test_tensors_and_what_reads_a_code_go_along(both):
    _, (rows, targets), _ = both
    code = torch.nn.Linear(4, 2)
    targets = Targets(targets.pooled, targets.tokens, code=targets.pooled[:, :2], read=code.forward)
    there = targets.on("cpu")
    assert there.read.__self__ is not code
    said = torch.ones(3, 4)
    assert torch.equal(there.complete({"tokens": said})["code"], code(said))
    assert torch.equal(rows["sub-01"].on("cpu").responses, rows["sub-01"].responses)
