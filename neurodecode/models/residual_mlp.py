"""A residual network read by three heads: per-subject input layers, then layers all subjects share.

    z_0 = W_subject x                                (a linear code of the trial, one space for all)
    z_k = z_{k-1} + Dropout(GELU(LayerNorm(Linear(z_{k-1}))))      the blocks of MindEye [1]_

The heads read z linearly, so what a linear decoder can do lies on the network's straight path, and
the blocks add to it. The published network passes z_0 through a nonlinearity first
(`linear_path=False`). Training may also start there: `start_at` puts a linear decoder of each
subject into the input layers.

References
----------
.. [1] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS.
"""

import math

import torch
from torch import Tensor, nn

from neurodecode.models.base import BrainOutput, Sizes


class ResidualMLP(nn.Module):
    """Decode trials of any known subject into tokens, a pooled embedding and a blurry picture.

    Parameters
    ----------
    sizes : Sizes
        What the data decide.
    hidden : int
        Width of the shared code z.
    n_blocks : int
        Residual blocks.
    input_dropout : float
        Share of channels hidden from the network in training, the regularisation that matters
        most when channels are noisy; 0 to 1.
    dropout : float
        Share of features hidden in each block.
    projector_hidden : int
        Width of the contrastive head's nonlinear part.
    linear_path : bool
        False: z_0 passes LayerNorm, GELU and dropout, as published.
    """

    def __init__(
        self,
        sizes: Sizes,
        hidden: int = 256,
        n_blocks: int = 2,
        input_dropout: float = 0.3,
        dropout: float = 0.15,
        projector_hidden: int = 256,
        linear_path: bool = True,
    ):
        super().__init__()
        self.sizes = sizes
        self.inputs = nn.ModuleDict(
            {s: nn.Linear(n * (sizes.n_times or 1), hidden) for s, n in sizes.channels.items()}
        )
        self.hide_channels = nn.Dropout(input_dropout)
        self.enter = nn.Identity() if linear_path else _activation(hidden, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), *_activation(hidden, dropout))
            for _ in range(n_blocks)
        )
        self.pooled = nn.Linear(hidden, sizes.dim)
        self.projector = nn.Sequential(
            nn.Linear(hidden, projector_hidden),
            *_activation(projector_hidden, dropout),
            nn.Linear(projector_hidden, sizes.dim),
        )
        n_values = sizes.n_tokens * sizes.token_dim
        self.tokens = nn.Linear(hidden, n_values) if n_values else None
        self.blurry = nn.Linear(hidden, math.prod(sizes.blurry)) if sizes.blurry else None

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject.

        Parameters
        ----------
        responses : Tensor, shape (n_trials, n_channels of this subject[, n_times])
            Scaled by the statistics of training rows.
        subject : str

        Raises
        ------
        ValueError
            For a subject, or a number of channels, that the network was not made for.
        """
        self._check(responses, subject)
        z = self.enter(self.inputs[subject](self.hide_channels(responses.flatten(1))))
        for block in self.blocks:
            z = z + block(z)
        sizes, tokens, blurry = self.sizes, None, None
        if self.tokens is not None:
            tokens = self.tokens(z).unflatten(1, (sizes.n_tokens, sizes.token_dim))
        if self.blurry is not None:
            blurry = self.blurry(z).unflatten(1, sizes.blurry) + 0.5  # mid-grey is the start
        return BrainOutput(tokens, self.pooled(z) + self.projector(z), blurry)

    def start_at(
        self, linear: dict[str, tuple[Tensor, Tensor]], back: Tensor, scale: float = 5.0
    ) -> None:
        """Start close to linear decoders of a code, which tokens are spelt from.

        The first n_code units of z_0 become `scale` times the decoders' answers, the same for all
        subjects; the token head undoes the scale. The larger it is, the less the blocks, which are
        random at first and add to the same units, disturb the answers, and the less the first
        steps of training move them.

        Parameters
        ----------
        linear : dict of (weights, intercepts)
            For each subject: (n_channels, n_code) and (n_code,).
        back : Tensor, shape (n_code, n_tokens * token_dim)
            Tokens of a code.
        scale : float
        """
        n_code, hidden = len(back), self.tokens.in_features
        if n_code > hidden or not isinstance(self.enter, nn.Identity):
            raise ValueError(
                f"to start as linear decoders of {n_code} numbers, the network needs "
                f"linear_path=true and hidden={n_code} or more; or set train.linear_start=null"
            )
        with torch.no_grad():
            for subject, (weights, intercepts) in linear.items():
                self.inputs[subject].weight[:n_code] = scale * weights.T
                self.inputs[subject].bias[:n_code] = scale * intercepts
            self.tokens.weight.zero_()
            self.tokens.bias.zero_()
            self.tokens.weight[:, :n_code] = back.T / scale

    def _check(self, responses: Tensor, subject: str) -> None:
        known = self.sizes.channels
        if subject not in known:
            raise ValueError(
                f"the network knows {', '.join(known)}, not {subject!r}: train it with them"
            )
        if responses.shape[1] != known[subject]:
            raise ValueError(
                f"{subject} has {responses.shape[1]} channels but the network was made for "
                f"{known[subject]}: use the same mask and channel selection, or retrain"
            )


def _activation(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))
