"""Brainmagick [1]_: speech from MEG and EEG, by one convolutional network for all subjects.

    spatial attention -> 1x1 convolution -> the subject's matrix -> 10 dilated convolutions -> head

`SimpleConv` is the published network, with the published names. It says one vector at every time;
`Brainmagick` makes of it what the pipeline asks for.

References
----------
.. [1] Défossez et al. (2023). Decoding speech perception from non-invasive brain recordings.
   Nature Machine Intelligence 5.
"""

import re
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.ranges import Count, CountOrNone, Share
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials
from neurodecode.models.side_heads import SideHeads
from neurodecode.models.spatial_attention import ChannelMerger, SubjectLayers, layouts


class ConvSequence(nn.Module):
    """Dilated convolutions with batch norm, GELU and skips; after every second one a GLU.

    Parameters
    ----------
    n_in, width : int
        Channels of the input, and of every layer.
    depth : int
        Convolutions; the k-th is dilated 2^(k mod dilation_period).
    kernel : int
        Samples that a filter spans; odd.
    dilation_period : int
    glu : int
        A gated linear unit follows every so many convolutions; 0: none.
    glu_context : int
        Samples to either side that it sees.
    """

    def __init__(self, n_in, width, depth, kernel=3, dilation_period=5, glu=2, glu_context=1):
        super().__init__()
        self.sequence = nn.ModuleList()
        self.glus = nn.ModuleDict()
        for k in range(depth):
            dilation = 2 ** (k % dilation_period)
            padding = dilation * (kernel // 2)
            conv = nn.Conv1d(width if k else n_in, width, kernel, 1, padding, dilation)
            self.sequence.append(nn.Sequential(conv, nn.BatchNorm1d(width), nn.GELU()))
            if glu and (k + 1) % glu == 0:
                gate = nn.Conv1d(width, 2 * width, 2 * glu_context + 1, padding=glu_context)
                self.glus[str(k)] = nn.Sequential(gate, nn.GLU(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Filter (n, n_in, n_times) along time: (n, width, n_times)."""
        for k, layer in enumerate(self.sequence):
            filtered = layer(x)
            x = x + filtered if x.shape == filtered.shape else filtered
            if str(k) in self.glus:
                x = self.glus[str(k)](x)
        return x


class SimpleConv(nn.Module):
    """The published network, with the published names of its parameters.

    Parameters
    ----------
    out : int
        Numbers said at every time: 1024 for wav2vec 2.0, 120 for mel spectrograms.
    n_subjects : int
    hidden : int
        Width of the convolutions.
    initial_linear : int
        Channels of the 1x1 convolution and of the subjects' matrices.
    merger_channels : int
        Virtual channels of the spatial attention.
    merger_pos_dim : int
        Functions of its Fourier basis.
    merger_dropout : float
        Radius in which it hides sensors in training.
    depth, kernel_size, dilation_period, glu, glu_context : int
        See `ConvSequence`.
    """

    def __init__(
        self,
        out: int,
        n_subjects: int,
        hidden: int = 320,
        initial_linear: int = 270,
        merger_channels: int = 270,
        merger_pos_dim: int = 2048,
        merger_dropout: float = 0.2,
        depth: int = 10,
        kernel_size: int = 3,
        dilation_period: int = 5,
        glu: int = 2,
        glu_context: int = 1,
    ):
        super().__init__()
        self.merger = ChannelMerger(merger_channels, merger_pos_dim, merger_dropout)
        self.initial_linear = nn.Sequential(nn.Conv1d(merger_channels, initial_linear, 1))
        self.subject_layers = SubjectLayers(initial_linear, initial_linear, n_subjects)
        convolve = ConvSequence(
            initial_linear, hidden, depth, kernel_size, dilation_period, glu, glu_context
        )
        self.encoders = nn.ModuleDict({"meg": convolve})
        self.final = nn.Sequential(
            nn.Conv1d(hidden, 2 * hidden, 1), nn.GELU(), nn.ConvTranspose1d(2 * hidden, out, 1)
        )

    def code(self, merged: Tensor, subjects: Tensor) -> Tensor:
        """What the head reads, (n, hidden, n_times), of virtual channels (n, …, n_times)."""
        x = self.subject_layers(self.initial_linear(merged), subjects)
        return self.encoders["meg"](x)

    def forward(self, meg: Tensor, places: Tensor, subjects: Tensor) -> Tensor:
        """Decode trials at every time.

        Parameters
        ----------
        meg : Tensor, shape (n, n_sensors, n_times)
        places : Tensor, shape (n or 1, n_sensors, 2)
            Layout in the unit square; (-0.1, -0.1): not known.
        subjects : Tensor of int, shape (n,)

        Returns
        -------
        said : Tensor, shape (n, out, n_times)
        """
        return self.final(self.code(self.merger(meg, places), subjects))


class Brainmagick(nn.Module):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    Parameters
    ----------
    sizes : Sizes
        `n_times` and every subject's `positions` must be there.
    readout : "time" or "mean"
        ``time``: tokens are a grid of times, as of speech; each is what was said at the nearest
        sample, and pooled is all of them, flat, as published (sizes.dim = n_tokens * token_dim), or
        their mean (sizes.dim = token_dim). ``mean``: targets have no times, as pictures; pooled is
        the mean over time, and tokens are read from the mean of the code by a layer of their own.
    hidden : int
        Width of the convolutions.
    channels : int
        Virtual channels of the spatial attention and of the subjects' matrices.
    basis : int
        Functions of the attention's Fourier basis; twice a square number.
    radius : float
        Sensors so near to a random point are hidden in training; the layout's sides are 1. One
        point for all trials of a batch.
    depth : int
        Convolutions.
    dilation_period : int
        The k-th looks at every 2^(k mod period)-th sample.
    glu : int
        A gated linear unit follows every so many convolutions; 0: none.
    """

    def __init__(
        self,
        sizes: Sizes,
        readout: Literal["time", "mean"] = "time",
        hidden: Count = 320,
        channels: Count = 270,
        basis: Count = 2048,
        radius: Share = 0.2,
        depth: Count = 10,
        dilation_period: Count = 5,
        glu: CountOrNone = 2,
    ):
        super().__init__()
        _check(sizes, readout)
        self.sizes, self.readout = sizes, readout
        self.rows_of_subjects = "net.subject_layers.weights"
        self.subjects = Subjects(sizes, "brainmagick")
        self.net = SimpleConv(
            sizes.token_dim if readout == "time" else sizes.dim,
            len(sizes.channels),
            hidden,
            channels,
            channels,
            basis,
            radius,
            depth,
            dilation_period=dilation_period,
            glu=glu,
        )
        self.side = SideHeads(sizes, hidden, tokens=readout == "mean")

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject, n_times).

        Raises
        ------
        ValueError
            For a subject, channels or times that the network was not made for.
        """
        return self.together({subject: responses})

    def together(self, responses: dict[str, Tensor]) -> BrainOutput:
        """Decode trials of several subjects, in their order, as one batch of its batch norms.

        These learn one mean and variance for all subjects. Shown them one by one, they would be
        tested with numbers that fit none.
        """
        code = self.net.code(*self.subjects(self.net.merger, responses))
        said = self.net.final(code)  # (n, out, n_times)
        tokens, blurry = self.side(code.mean(dim=2))
        if self.readout == "time":
            tokens = at_times(said, self.sizes.n_tokens)
            flat = self.sizes.dim == tokens[0].numel()
            return BrainOutput(tokens, tokens.flatten(1) if flat else tokens.mean(dim=1), blurry)
        return BrainOutput(tokens, said.mean(dim=2), blurry)


class Subjects(nn.Module):
    """Brings trials of any subjects to the virtual channels that all share.

    Parameters
    ----------
    sizes : Sizes
    model : str
        As it is named to the user.
    """

    def __init__(self, sizes: Sizes, model: str):
        super().__init__()
        self.sizes, self.order = sizes, sorted(sizes.channels)
        for subject, places in layouts(sizes, model).items():
            number = self.order.index(subject)
            self.register_buffer(f"places_{number}", torch.from_numpy(places)[None], False)

    def forward(self, merger: ChannelMerger, responses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Merge the sensors of each subject, all less the same disc.

        Parameters
        ----------
        merger : ChannelMerger
        responses : dict of Tensor, each (n_trials, n_channels of the subject, n_times)

        Returns
        -------
        merged : Tensor, shape (n, n_virtual, n_times)
        subjects : Tensor of int, shape (n,)
            Places in the sorted names.
        """
        merged, numbers, hidden = [], [], merger.draw() if merger.training else None
        for subject, x in responses.items():
            check_trials(x, subject, self.sizes)
            number = self.order.index(subject)
            merged.append(merger(x, getattr(self, f"places_{number}"), hidden))
            numbers.append(torch.full((len(x),), number, device=x.device))
        return torch.cat(merged), torch.cat(numbers)


def at_times(said: Tensor, n_tokens: int) -> Tensor:
    """Read (n, dim, n_times) at n_tokens times, the nearest sample each: (n, n_tokens, dim)."""
    if said.shape[2] != n_tokens:
        said = F.interpolate(said, n_tokens, mode="nearest")
    return said.transpose(1, 2)


def _check(sizes: Sizes, readout: str) -> None:
    check_times(sizes, "brainmagick")
    if readout != "time":
        return
    allowed = {sizes.token_dim, sizes.n_tokens * sizes.token_dim}
    if not sizes.n_tokens or sizes.dim not in allowed:
        raise ValueError(
            f"readout=time says {sizes.n_tokens} tokens of {sizes.token_dim} over time, and a "
            f"pooled embedding of {sizes.dim} is neither their mean nor all of them: set "
            "embed.pooled=tokens, or train.model.readout=mean"
        )


def check_times(sizes: Sizes, model: str) -> None:
    """Refuse trials without a time axis."""
    if sizes.n_times is None:
        raise ValueError(
            f"model={model} reads trials with a time axis (channels × times), and these have "
            "none: choose model=residual_mlp, or preprocess=epochs"
        )


PART = re.compile(r"encoders\.meg\.(sequence|glus)\.(\d+)\.0\.weight")


def published(state: dict[str, tuple[int, ...]]) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint on the meta device, and rename its keys.

    Parameters
    ----------
    state : dict of tuple
        Published keys, whatever stands before ``merger.heads``, and shapes. The period of the
        dilations is in no shape: it is the published 5.

    Returns
    -------
    module : nn.Module
        Holds a `SimpleConv` under the name that `Brainmagick` gives it: ``net``.
    names : dict of str
        ``{published key: key in the module}``.

    Raises
    ------
    ValueError
        If the layout is not the published one.
    """
    first = next((key for key in state if key.endswith("merger.heads")), None)
    if first is None:
        raise ValueError("there is no merger.heads: this is no checkpoint of brainmagick's network")
    start = first.removesuffix("merger.heads")
    own = {k.removeprefix(start): tuple(s) for k, s in state.items() if k.startswith(start)}
    parts = {"sequence": {}, "glus": {}}
    for key, shape in own.items():
        if found := PART.fullmatch(key):
            parts[found[1]][int(found[2])] = shape
    needed = ("initial_linear.0.weight", "subject_layers.weights", "final.2.weight")
    missing = [k for k in needed if len(own.get(k, ())) != 3]
    if missing or 0 not in parts["sequence"]:
        missing += [] if 0 in parts["sequence"] else ["encoders.meg.sequence.0.0.weight"]
        raise ValueError(f"brainmagick's network has {missing[0]}, which this checkpoint lacks")
    layers, gates = parts["sequence"], parts["glus"]
    with torch.device("meta"):
        net = SimpleConv(
            out=own["final.2.weight"][1],
            n_subjects=own["subject_layers.weights"][0],
            hidden=layers[0][0],
            initial_linear=own["initial_linear.0.weight"][0],
            merger_channels=own["merger.heads"][0],
            merger_pos_dim=own["merger.heads"][1],
            depth=max(layers) + 1,
            kernel_size=layers[0][2],
            glu=min(gates) + 1 if gates else 0,
            glu_context=(gates[min(gates)][2] - 1) // 2 if gates else 1,
        )
    if lacking := sorted(net.state_dict().keys() - own.keys()):
        raise ValueError(f"brainmagick's network has {lacking[0]}, which this checkpoint lacks")
    return nn.ModuleDict({"net": net}), {start + key: f"net.{key}" for key in own}
