"""The MEG decoder of pictures of Benchetrit et al. [1]_: a trunk of brainmagick's parts, two heads.

    trunk: spatial attention -> 1x1 -> the subject's matrix -> 4 dilated convolutions
           -> 2048 x times -> one code of 2048, by a weighted sum over times
    heads: one is compared with pictures (cosine, learnt temperature), one says their raw latent

    loss = lambda CLIP(first head) + (1 - lambda) MSE(second head)

The pipeline's loss is this divided by lambda: `train.tokens_weight` = (1 - lambda) / lambda. Adam,
blind to the scale of a loss, descends both alike. No code was published: layers are those of the
paper's table, whose numbers of parameters they reproduce.

References
----------
.. [1] Benchetrit, Banville, King (2024). Brain decoding: toward real-time reconstruction of visual
   perception. ICLR.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.ranges import Count, Share
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.brainmagick import SimpleConv, Subjects, check_times
from neurodecode.models.side_heads import SideHeads

TEMPERATURE = 0.07  # of the contrast, before it is learnt
HIGHEST = 100.0  # largest factor of the cosine, as CLIP's


class AffineOverTime(nn.Module):
    """A weighted sum over times, the same for all features, and a constant."""

    def __init__(self, width: int, n_times: int):
        super().__init__()
        self.linear = nn.Linear(n_times, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Sum (n, width, n_times) to (n, width)."""
        return self.linear(x).squeeze(2)


class MeanOverTime(nn.Module):
    """The mean over times: without parameters."""

    def __init__(self, width: int, n_times: int):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Average (n, width, n_times) to (n, width)."""
        return x.mean(dim=2)


class AttentionOverTime(nn.Module):
    """Weigh times by what is said then: softmax_t(v . tanh(W x_t + b)), after Bahdanau."""

    def __init__(self, width: int, n_times: int, hidden: int = 256):
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Sum (n, width, n_times) to (n, width)."""
        weights = self.score(self.hidden(x.transpose(1, 2)).tanh()).softmax(dim=1)
        return (x @ weights).squeeze(2)


OVER_TIME = {"affine": AffineOverTime, "mean": MeanOverTime, "attention": AttentionOverTime}


class MegModule(nn.Module):
    """The published trunk and heads.

    Parameters
    ----------
    n_times, n_subjects : int
    heads : tuple of int
        Sizes of the latents that are said, one head each.
    aggregation : "affine", "mean" or "attention"
        How times become one.
    width : int
        Of the code.
    **options
        Of `SimpleConv`.
    """

    def __init__(
        self, n_times, n_subjects, heads=(768,), aggregation="affine", width=2048, **options
    ):
        super().__init__()
        self.trunk = SimpleConv(width, n_subjects, **{"depth": 4} | options)
        self.over_time = OVER_TIME[aggregation](width, n_times)
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in heads)

    def code(self, merged: Tensor, subjects: Tensor) -> Tensor:
        """The code of trials, (n, width); parameters as of `SimpleConv.code`."""
        return self.over_time(self.trunk.final(self.trunk.code(merged, subjects)))

    def forward(self, meg: Tensor, places: Tensor, subjects: Tensor) -> list[Tensor]:
        """What each head says of trials, (n, its size); parameters as of `SimpleConv.forward`."""
        code = self.code(self.trunk.merger(meg, places), subjects)
        return [head(code) for head in self.heads]


class Benchetrit(nn.Module):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    The first head is pooled, of length exp(s): the learnt inverse temperature, at most 100, so the
    loss has none of its own. The second says the tokens, which are the latent in its raw scale; the
    study's blurry picture has a third.

    Parameters
    ----------
    sizes : Sizes
        `n_times` and every subject's `positions` must be there.
    aggregation : "affine", "mean" or "attention"
        How times become one: a weighted sum, the mean, or weights that each trial decides.
    hidden, channels, basis, radius, depth
        Of the trunk, as in `neurodecode.models.brainmagick.Brainmagick`.
    width : int
        Of the code that the heads read.
    """

    def __init__(
        self,
        sizes: Sizes,
        aggregation: Literal["affine", "mean", "attention"] = "affine",
        hidden: Count = 320,
        channels: Count = 270,
        basis: Count = 2048,
        radius: Share = 0.2,
        depth: Count = 4,
        width: Count = 2048,
    ):
        super().__init__()
        check_times(sizes, "benchetrit")
        self.sizes, self.rows_of_subjects = sizes, "the matrices of subjects"
        self.subjects = Subjects(sizes, "benchetrit")
        self.net = MegModule(
            sizes.n_times,
            len(sizes.channels),
            (sizes.dim,),
            aggregation,
            width,
            hidden=hidden,
            initial_linear=channels,
            merger_channels=channels,
            merger_pos_dim=basis,
            merger_dropout=radius,
            depth=depth,
        )
        self.side = SideHeads(sizes, width)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject, n_times).

        Raises
        ------
        ValueError
            For a subject, channels or times that the network was not made for.
        """
        return self.together({subject: responses})

    def together(self, responses: dict[str, Tensor]) -> BrainOutput:
        """Decode trials of several subjects, in their order, as one batch of its batch norms."""
        code = self.net.code(*self.subjects(self.net.trunk.merger, responses))
        sharpness = self.scale.clamp(max=math.log(HIGHEST)).exp()
        pooled = sharpness * F.normalize(self.net.heads[0](code), dim=1)
        tokens, blurry = self.side(code)
        return BrainOutput(tokens, pooled, blurry)
