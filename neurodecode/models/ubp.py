"""UBP's brain network: all electrodes and times at once, a linear layer and a projection.

Its other half, the blur of the pictures that brains are compared with, is `contrastive.blur`.

References
----------
.. [1] Wu et al. (2025). Bridging the vision-brain gap with an uncertainty-aware blur prior. CVPR.
   Defaults are those of its network for 17 electrodes, 250 samples and CLIP RN50.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.ranges import PartShare
from neurodecode.models.base import Sizes
from neurodecode.models.per_subject import PerSubject
from neurodecode.models.published import Shapes, renamed, shape_of, start_of

TRIALS = ((17, 250), (63, 250), (271, 201))  # electrodes, samples: of THINGS-EEG2 and THINGS-MEG


class EEGProject(nn.Module):
    """The published network [1]_, with the parameter names of its checkpoints.

    Parameters
    ----------
    z_dim : int
        Of the embedding.
    channels, samples : int
        Of a trial.
    dropout : float
        In the residual branch.
    """

    def __init__(
        self, z_dim: int = 1024, channels: int = 17, samples: int = 250, dropout: float = 0.3
    ):
        super().__init__()
        deeper = nn.Sequential(nn.GELU(), nn.Linear(z_dim, z_dim), nn.Dropout(dropout))
        self.model = nn.Sequential(
            nn.Linear(channels * samples, z_dim), _Residual(deeper), nn.LayerNorm(z_dim)
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, trials: Tensor) -> Tensor:
        """Embed trials (n, channels, samples): (n, z_dim)."""
        return self.model(trials.flatten(1))

    def scale(self) -> Tensor:
        """Inverse temperature of the embedding: softplus of the parameter, about 2.73 at first."""
        return F.softplus(self.logit_scale)


class _Residual(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return x + self.f(x)


class UBP(PerSubject):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    The pooled embedding is multiplied by the learnt scale: train it with loss=clip. Tokens and
    low-level picture, where the study asks for them, are read linearly from the embedding.

    Parameters
    ----------
    sizes : Sizes
        What the data decide; `n_times` must be there.
    shared : bool
        True: one network for all subjects, who must have equal sensors.
    dropout : float
        In the residual branch.
    """

    def __init__(self, sizes: Sizes, shared: bool = False, dropout: PartShare = 0.3):
        make = lambda n_channels: EEGProject(sizes.dim, n_channels, sizes.n_times, dropout)
        super().__init__(sizes, shared, make)

    def scale(self, network: nn.Module) -> Tensor:
        """The learnt inverse temperature."""
        return network.scale()


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint on the meta device, and rename its keys.

    Parameters
    ----------
    state : dict of tuple
        Shapes by published key, whatever stands before ``model.0.weight``. How many of the inputs
        are electrodes is in no shape: it is looked up among the published sizes.

    Returns
    -------
    network : UBP
        Of one subject, ``sub-01``.
    names : dict of str
        ``{published key: key in the network}``.

    Raises
    ------
    ValueError
        If the layout is not the published one.
    """
    start = start_of(state, "model.1.f.1.weight", "UBP")
    dim, n_in = shape_of(state, f"{start}model.0.weight", "UBP")
    n_channels = next((n for n, n_times in TRIALS if n * n_times == n_in), n_in)
    with torch.device("meta"):
        network = UBP(Sizes({"sub-01": n_channels}, dim, n_times=n_in // n_channels))
    return network, renamed(state, start, network)
