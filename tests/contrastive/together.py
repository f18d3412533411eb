"""Small decoders, and losses that get processes into trouble: for tests of training together."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional as F

from neurodecode.contrastive import loop
from neurodecode.contrastive.decoder import Lesson
from neurodecode.contrastive.losses import MindEyeLoss
from neurodecode.contrastive.ranks import learn_together
from neurodecode.contrastive.rows import Rows, Targets
from neurodecode.core.errors import DamagedArtifact
from neurodecode.core.store import Artifact
from neurodecode.models.base import Sizes
from neurodecode.models.residual_mlp import ResidualMLP

CHANNELS = {"sub-01": 100, "sub-02": 90}


def decoder(dropout=0.0, hidden=32):
    torch.manual_seed(0)
    sizes = Sizes(CHANNELS, dim=6, n_tokens=3, token_dim=4, blurry=(2, 2, 3))
    return ResidualMLP(sizes, hidden, 1, dropout, dropout, projector_hidden=16)


def study(n_stimuli=26, dtype=torch.float32):
    """Rows of each subject, and targets: as many rows as divide by nothing."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n_stimuli, 5))
    view = lambda n: latent @ rng.standard_normal((5, n))
    tensor = lambda x, *shape: torch.as_tensor(x, dtype=dtype).reshape(-1, *shape)
    rows = {}
    for i, (subject, n_channels) in enumerate(CHANNELS.items()):
        seen = np.append(np.arange(n_stimuli), np.arange(3 * (i == 0)))  # some twice
        noise = 0.3 * rng.standard_normal((len(seen), n_channels))
        rows[subject] = Rows(tensor(view(n_channels)[seen] + noise, n_channels), seen)
    pooled = F.normalize(tensor(view(6), 6), dim=1)
    return rows, Targets(pooled, tensor(view(12), 3, 4), tensor(view(12), 2, 2, 3).sigmoid())


def lesson(folder, batch=7, loss=None, **plan):
    """What is learnt: 4 epochs of 5 batches, mixed in the first half."""
    rows, targets = study()
    plan = loop.Plan(**{"n_epochs": 4, "learning_rate": 0.003} | plan)
    weights = {"tokens": 0.5, "blurry": 2.0}
    loss = loss or MindEyeLoss(0.5, 0.1, 0.1, 0.2)
    return Lesson(loss, rows, rows, targets, weights, batch, plan, folder / "state.pt", 100)


class Trouble(MindEyeLoss):
    """A loss that makes trouble at its `at`-th call in one process, where `folder/trouble` lies.

    A state is saved after every step meanwhile.
    """

    def __init__(self, folder, how, rank=0, at=15):
        super().__init__(0.5, 0.1, 0.1, 0.2)
        self.folder, self.how, self.rank, self.at, self.calls = folder, how, rank, at, 0

    def __call__(self, *args):
        loop.SAVE_EVERY_S, loop.SAVING_SHARE = 0.0, np.inf
        self.calls += 1
        if self.calls == self.at and (self.folder / "trouble").exists():
            (self.folder / f"pid-{dist.get_rank()}").write_text(str(os.getpid()))
            if dist.get_rank() == self.rank:
                getattr(self, self.how)()
        return super().__call__(*args)

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def wrong(self):
        raise ValueError("planted: these numbers fit nothing")

    def damaged(self):
        raise DamagedArtifact(Artifact(Path("store/preprocess/a/b"), {}), "responses.npy")

    def unforeseen(self):
        raise KeyError("planted")

    def leaves(self):
        os._exit(3)

    def hangs(self):
        time.sleep(600)

    def told(self):
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(1)  # the next steps are not over before the notice is passed on


def learn(folder, how=None, world=2, rank=0, at=15, dropout=0.2, batch=7):
    """Train; with trouble if `how` says which."""
    folder.mkdir(exist_ok=True)
    (folder / "trouble").unlink(missing_ok=True)
    if how is not None:
        (folder / "trouble").touch()
    made = lesson(folder, batch, Trouble(folder, how, rank, at))
    return learn_together(made, decoder(dropout), "cpu", world)


def alone(folder, batch=7):
    """The same by one process, without dropout."""
    return replace(lesson(folder, batch), checkpoint=None).learn(decoder())


if __name__ == "__main__":
    learn(Path(sys.argv[1]), sys.argv[2])
