"""NICE: TSConv and a projection, contrasted with pictures; electrodes may look at each other first.

References
----------
.. [1] Song et al. (2024). Decoding natural images from EEG for object recognition. ICLR. Defaults
   are those of its published network: 63 electrodes, 250 samples, 768 numbers of CLIP ViT-L/14.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare
from neurodecode.models.base import Sizes
from neurodecode.models.electrode_attention import graph_attention, self_attention
from neurodecode.models.per_subject import PerSubject
from neurodecode.models.published import Shapes, start_of
from neurodecode.models.tsconv import TSConv, convolutions_of, n_steps, projection

MARKS = {"self": "0.fn.0.weight", "graph": "0.fn.0.conv1.bias"}  # keys that tell the attention
BEFORE = {"none": None, "self": self_attention, "graph": graph_attention}
Attention = Literal["none", "self", "graph"]


class Encoder(nn.Module):
    """The two published modules `Enc_eeg` and `Proj_eeg` [1]_.

    Parameters
    ----------
    n_channels, n_times : int
        Of a trial.
    dim : int
        Of the embedding.
    attention : {"none", "self", "graph"}
        How electrodes look at each other before the convolutions: NICE, NICE-SA, NICE-GA.
    filters, kernel, pool, stride : int
        See `neurodecode.models.tsconv.TSConv`.
    dropout : float
        Share of features hidden in training.
    compat : bool
        True keeps what the published attentions slip on; see `electrode_attention`.
    """

    def __init__(
        self,
        n_channels: int = 63,
        n_times: int = 250,
        dim: int = 768,
        attention: Attention = "none",
        filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.5,
        compat: bool = False,
    ):
        super().__init__()
        steps = n_steps(n_times, kernel, pool, stride)
        make = BEFORE[attention]
        before = [] if make is None else [make(n_channels, n_times, compat)]
        convolutions = TSConv(n_channels, filters, kernel, pool, stride, dropout)
        self.Enc_eeg = nn.Sequential(*before, convolutions, nn.Flatten())
        self.Proj_eeg = projection(steps * filters, dim, dropout)
        convolutions.apply(_start_small)
        self.Proj_eeg.apply(_start_small)

    def forward(self, trials: Tensor) -> Tensor:
        """Embed trials (n[, 1], n_channels, n_times): (n, dim)."""
        return self.Proj_eeg(self.Enc_eeg(trials))


@torch.no_grad()
def _start_small(module):
    """Weights from N(0, 0.02), gains of batch norms from N(1, 0.02), as published."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        module.weight.normal_(0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        module.weight.normal_(1, 0.02)


class NICE(PerSubject):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    Published is one network for each subject, and the pooled embedding alone; tokens and low-level
    picture, where the study asks for them, are read linearly from the embedding.

    Parameters
    ----------
    sizes : Sizes
        What the data decide; `n_times` must be there.
    shared : bool
        True: one network for all subjects, who must have equal sensors.
    attention, filters, kernel, pool, stride, dropout, compat
        See `Encoder`.
    """

    def __init__(
        self,
        sizes: Sizes,
        shared: bool = False,
        attention: Attention = "none",
        filters: Count = 40,
        kernel: Count = 25,
        pool: Count = 51,
        stride: Count = 5,
        dropout: PartShare = 0.5,
        compat: bool = False,
    ):
        how = (attention, filters, kernel, pool, stride, dropout, compat)
        make = lambda n_channels: Encoder(n_channels, sizes.n_times, sizes.dim, *how)
        super().__init__(sizes, shared, make)


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint on the meta device, and rename its keys.

    Parameters
    ----------
    state : dict of tuple
        Shapes by published key: of the encoder's file (``0.tsconv.0.weight``, or ``1.tsconv…``
        behind an attention), with those of the projection's (``0.weight``), if they were put into
        one file. Of the encoder alone the projection is missing.

    Returns
    -------
    network : NICE
        Of one subject, ``sub-01``, with the published slip of its attention.
    names : dict of str
        ``{published key: key in the network}``.

    Raises
    ------
    ValueError
        If the layout is not the published one.
    """
    convolutions = start_of(state, "tsconv.0.weight", "NICE")
    attention = _attention_of(state, convolutions)
    options, dim, n_times = convolutions_of(state, convolutions, "", "NICE", (768, 1440))
    if attention != "none":
        n_times = state[MARKS[attention]][-1]  # one weight for each sample
    sizes = Sizes({"sub-01": options.pop("n_channels")}, dim, n_times=n_times)
    with torch.device("meta"):
        network = NICE(sizes, attention=attention, compat=True, **options)
    ours = network.state_dict()
    parts = [f"encoders.sub-01.{part}." for part in ("Enc_eeg", "Proj_eeg")]
    return network, {k: part + k for k in state for part in parts if part + k in ours}


def _attention_of(state, convolutions):
    found = [name for name, key in MARKS.items() if key in state]
    if convolutions == "0." and not found:
        return "none"
    if convolutions == "1." and found:
        return found[0]
    marks = " or ".join(MARKS.values())
    raise ValueError(f"NICE has its convolutions at 0.tsconv, or at 1.tsconv behind {marks}")
