"""CognitionCapturer's encoder: attention over time on the raw signal, TSConv, a projection.

    x (n_channels, n_times): at each time a token of n_channels numbers, plus a sin-cos table
    one transformer layer over times  ->  Linear over times  ->  TSConv  ->  projection

Published are three of these, for pictures, captions and depth maps, trained apart.

References
----------
.. [1] Zhang et al. (2025). CognitionCapturer: decoding visual stimuli from human EEG signal with
   multimodal information. AAAI. Defaults are those of its network for 63 electrodes, 250 samples
   and CLIP ViT-H/14.
"""

import math

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare
from neurodecode.models.base import Sizes
from neurodecode.models.per_subject import PerSubject
from neurodecode.models.published import Shapes, renamed, shape_of, start_of
from neurodecode.models.tsconv import TSConv, convolutions_of, n_steps, projection

SYSTEM = "CognitionCapturer"


class Cogcap(nn.Module):
    """The published network [1]_, with the parameter names of its checkpoints.

    Of the published list of ten linear layers, one for each subject, only the first is ever read,
    and only the first is here.

    Parameters
    ----------
    n_channels, n_times : int
        Of a trial.
    dim : int
        Of the embedding.
    d_ff : int
        Width of the transformer's feed-forward part.
    filters, kernel, pool, stride : int
        See `neurodecode.models.tsconv.TSConv`.
    dropout : float
        Share of features hidden in training, everywhere.
    """

    def __init__(
        self,
        n_channels: int = 63,
        n_times: int = 250,
        dim: int = 1024,
        d_ff: int = 2048,
        filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.1,
    ):
        super().__init__()
        steps = n_steps(n_times, kernel, pool, stride)
        self.attention_model = TimeAttention(n_channels, d_ff, dropout)
        self.subject_wise_linear = nn.ModuleList([nn.Linear(n_times, n_times)])
        convolutions = TSConv(n_channels, filters, kernel, pool, stride, dropout)
        self.enc_eeg = nn.Sequential(convolutions, nn.Flatten())
        self.proj_eeg = projection(steps * filters, dim, dropout)

    def forward(self, trials: Tensor) -> Tensor:
        """Embed trials (n, n_channels, n_times): (n, dim)."""
        seen = self.subject_wise_linear[0](self.attention_model(trials))
        return self.proj_eeg(self.enc_eeg(seen))


class TimeAttention(nn.Module):
    """One transformer layer over times, whose tokens are the raw samples of all electrodes.

    Parameters
    ----------
    n_channels : int
    d_ff : int
    dropout : float
    """

    def __init__(self, n_channels: int = 63, d_ff: int = 2048, dropout: float = 0.1):
        super().__init__()
        layer = nn.TransformerEncoderLayer(n_channels, 1, d_ff, dropout, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, trials: Tensor) -> Tensor:
        """Attend over time: (n, n_channels, n_times) to the same."""
        tokens = trials.transpose(1, 2)
        tokens = tokens + sin_cos(*tokens.shape[1:]).to(tokens)
        return self.transformer_encoder(tokens).transpose(1, 2)


def sin_cos(n_times: int, width: int) -> Tensor:
    """Sine and cosine of t / 10000^(2 i / width) in columns 2 i and 2 i + 1; float64."""
    column = torch.arange(width)
    frequency = torch.exp(-math.log(10000) * (column - column % 2).double() / width)
    angle = torch.arange(n_times).double()[:, None] * frequency
    return torch.where(column % 2 == 0, angle.sin(), angle.cos())


class CognitionCapturer(PerSubject):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    One encoder for the one target of the study: `embed` says whether it is of pictures or captions.
    Train it with loss=cognition_capturer, which holds the scale. Tokens and low-level picture,
    where the study asks for them, are read linearly from the embedding.

    Parameters
    ----------
    sizes : Sizes
        What the data decide; `n_times` must be there.
    shared : bool
        True: one network for all subjects, who must have equal sensors.
    d_ff, filters, kernel, pool, stride, dropout
        See `Cogcap`.
    """

    def __init__(
        self,
        sizes: Sizes,
        shared: bool = False,
        d_ff: Count = 2048,
        filters: Count = 40,
        kernel: Count = 25,
        pool: Count = 51,
        stride: Count = 5,
        dropout: PartShare = 0.1,
    ):
        how = (d_ff, filters, kernel, pool, stride, dropout)
        make = lambda n_channels: Cogcap(n_channels, sizes.n_times, sizes.dim, *how)
        super().__init__(sizes, shared, make)


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint on the meta device, and rename its keys.

    Parameters
    ----------
    state : dict of tuple
        Shapes by published key, whatever stands before ``attention_model``.

    Returns
    -------
    network : CognitionCapturer
        Of one subject, ``sub-01``.
    names : dict of str
        ``{published key: key in the network}``; linear layers that nothing reads have none.

    Raises
    ------
    ValueError
        If the layout is not the published one.
    """
    wide = "attention_model.transformer_encoder.layers.0.linear1.weight"
    start = start_of(state, wide, SYSTEM)
    options, dim, _ = convolutions_of(state, f"{start}enc_eeg.0.", f"{start}proj_eeg.", SYSTEM)
    n_channels = options.pop("n_channels")
    n_times = shape_of(state, f"{start}subject_wise_linear.0.weight", SYSTEM)[0]
    sizes = Sizes({"sub-01": n_channels}, dim, n_times=n_times)
    with torch.device("meta"):
        network = CognitionCapturer(sizes, d_ff=shape_of(state, start + wide, SYSTEM)[0], **options)
    return network, renamed(state, start, network)
