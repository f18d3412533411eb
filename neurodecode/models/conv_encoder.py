"""A convolutional encoder of trials with a time axis, beside a linear spatiotemporal decoder.

    u_0 = M_subject x                        mix sensors, at each time; one mixture for each subject
    u_k = u_{k-1} + Dropout(GELU(Norm(conv_k(u_{k-1}))))     along time, dilated 1, 2, 4 … [1]_
    z   = W_subject vec(x) + sum_t a_t u_K(t)                what all heads read, linearly

W is what a linear decoder can do with every sensor at every time; training may start there
(`start_at`). The convolutions add what it cannot: they share their filters over times, and learn
when to look (a).

References
----------
.. [1] Defossez et al. (2023). Decoding speech perception from non-invasive brain recordings.
   Nature Machine Intelligence 5. The layers are ours; the order mix, subject, convolve is theirs.
"""

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import Heads, check_trials


class ConvEncoder(nn.Module):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    Parameters
    ----------
    sizes : Sizes
        What the data decide; `n_times` must be there.
    hidden : int
        Width of the code z that all subjects share.
    width : int
        Filters of each convolution.
    n_blocks : int
        Convolutions; the k-th looks at every 2^k-th sample.
    kernel : int
        Samples that a filter spans; odd.
    linear : bool
        Whether there is W, the linear decoder beside the convolutions.
    input_dropout : float
        Share of sensors hidden in training, each with all its times, 0 to 1.
    dropout : float
        Share of features hidden after each convolution, 0 to 1.
    projector_hidden : int
        Width of the contrastive head's nonlinear part.
    """

    def __init__(
        self,
        sizes: Sizes,
        hidden: Count = 256,
        width: Count = 64,
        n_blocks: Count = 3,
        kernel: Count = 5,
        linear: bool = True,
        input_dropout: PartShare = 0.2,
        dropout: PartShare = 0.5,
        projector_hidden: Count = 256,
    ):
        super().__init__()
        _check(sizes, kernel)
        self.sizes = sizes
        n_times, subjects = sizes.n_times, sizes.channels.items()
        self.mix = nn.ModuleDict({s: nn.Conv1d(n, width, 1) for s, n in subjects})
        self.convolve = nn.ModuleList(_block(width, kernel, 2**k, dropout) for k in range(n_blocks))
        self.when = nn.Parameter(torch.full((n_times,), 1 / n_times))
        self.widen = nn.Linear(width, hidden)
        features = {s: nn.Linear(n * n_times, hidden) for s, n in subjects} if linear else {}
        self.inputs = nn.ModuleDict(features)
        self.hide_sensors = nn.Dropout1d(input_dropout)
        self.heads = Heads(sizes, hidden, projector_hidden, dropout)

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject.

        Parameters
        ----------
        responses : Tensor, shape (n_trials, n_channels of this subject, n_times)
            Scaled by the statistics of training rows.
        subject : str

        Raises
        ------
        ValueError
            For a subject, channels or times that the network was not made for.
        """
        check_trials(responses, subject, self.sizes)
        seen = self.hide_sensors(responses)
        u = self.mix[subject](seen)
        for block in self.convolve:
            u = u + block(u)
        z = self.widen(torch.einsum("nwt,t->nw", u, self.when))
        if self.inputs:
            z = z + self.inputs[subject](seen.flatten(1))
        return self.heads(z)

    def start_at(
        self, linear: dict[str, tuple[Tensor, Tensor]], back: Tensor, scale: float = 5.0
    ) -> None:
        """Start close to linear decoders of a code; see `neurodecode.models.heads.Heads.spell`.

        Parameters
        ----------
        linear : dict of (weights, intercepts)
            For each subject: (n_channels * n_times, n_code) and (n_code,).
        back : Tensor, shape (n_code, n_tokens * token_dim)
            Tokens of a code.
        scale : float
        """
        if not self.inputs:
            raise ValueError(
                "to start as linear decoders the network needs linear=true; or set "
                "train.linear_start=null"
            )
        self.heads.spell(self.inputs, linear, back, scale)


def _block(width: int, kernel: int, dilation: int, dropout: float) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv1d(width, width, kernel, padding=padding, dilation=dilation)
    # normalised over filters and times of each trial: a trial's answer depends on no other trial
    return nn.Sequential(convolution, nn.GroupNorm(1, width), nn.GELU(), nn.Dropout(dropout))


def _check(sizes: Sizes, kernel: int) -> None:
    if sizes.n_times is None:
        raise ValueError(
            "the convolutional encoder reads trials with a time axis (channels × times), and these "
            "have none: choose model=residual_mlp, or preprocess=epochs"
        )
    if kernel % 2 == 0:
        raise ValueError(f"kernel is {kernel}: give an odd number of samples")
