"""Small decoders, and jobs for processes that train them: for tests of training together."""

import numpy as np
import torch
from torch.nn import functional as F

from neurodecode.contrastive.decoder import Lesson, Rows, Targets
from neurodecode.contrastive.loop import Plan
from neurodecode.contrastive.losses import InfoNCELoss, MindEyeLoss
from neurodecode.models.base import Sizes
from neurodecode.models.residual_mlp import ResidualMLP

CHANNELS = {"sub-01": 30, "sub-02": 24}


def decoder(dropout=0.0, hidden=32, channels=CHANNELS):
    torch.manual_seed(0)
    sizes = Sizes(channels, dim=6, n_tokens=3, token_dim=4, blurry=(2, 2, 3))
    return ResidualMLP(sizes, hidden, 1, dropout, dropout, projector_hidden=16)


def study(n_stimuli=26, channels=CHANNELS, dtype=torch.float32, seed=0):
    """Rows of each subject, and targets: as many rows as divide by nothing."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n_stimuli, 5))
    view = lambda *shape: latent @ rng.standard_normal((5, int(np.prod(shape))))
    tensor = lambda x, *shape: torch.as_tensor(x, dtype=dtype).reshape(-1, *shape)
    rows = {}
    for i, (subject, n_channels) in enumerate(channels.items()):
        seen = np.append(np.arange(n_stimuli), np.arange(3 * (i == 0)))  # some twice
        noise = 0.3 * rng.standard_normal((len(seen), n_channels))
        rows[subject] = Rows(tensor(view(n_channels)[seen] + noise, n_channels), seen)
    pooled = F.normalize(tensor(view(6), 6), dim=1)
    targets = Targets(pooled, tensor(view(12), 3, 4), tensor(view(12), 2, 2, 3).sigmoid())
    return rows, targets


def lesson(folder, n_epochs=4, batch=7, dtype=torch.float32, mixed=0.5, **plan):
    rows, targets = study(dtype=dtype)
    loss = InfoNCELoss(0.1) if mixed is None else MindEyeLoss(mixed, 0.1, 0.1, 0.2)
    plan = Plan(**{"n_epochs": n_epochs, "learning_rate": 0.003} | plan)
    weights = {"tokens": 0.5, "blurry": 2.0}
    return Lesson(loss, rows, rows, targets, weights, batch, plan, folder / "state.pt", 100)
