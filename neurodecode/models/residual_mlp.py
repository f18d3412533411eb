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

from torch import Tensor, nn

from neurodecode.core.ranges import Count, CountOrNone, PartShare
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import Heads, activation, check_trials


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
        hidden: Count = 256,
        n_blocks: CountOrNone = 2,
        input_dropout: PartShare = 0.3,
        dropout: PartShare = 0.15,
        projector_hidden: Count = 256,
        linear_path: bool = True,
    ):
        super().__init__()
        self.sizes = sizes
        self.inputs = nn.ModuleDict(
            {s: nn.Linear(n * (sizes.n_times or 1), hidden) for s, n in sizes.channels.items()}
        )
        self.hide_channels = nn.Dropout(input_dropout)
        self.enter = nn.Identity() if linear_path else activation(hidden, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), *activation(hidden, dropout))
            for _ in range(n_blocks)
        )
        self.heads = Heads(sizes, hidden, projector_hidden, dropout)

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
        check_trials(responses, subject, self.sizes)
        z = self.enter(self.inputs[subject](self.hide_channels(responses.flatten(1))))
        for block in self.blocks:
            z = z + block(z)
        return self.heads(z)

    def start_at(
        self, linear: dict[str, tuple[Tensor, Tensor]], back: Tensor, scale: float = 5.0
    ) -> None:
        """Start close to linear decoders of a code; see `neurodecode.models.heads.Heads.spell`.

        Parameters
        ----------
        linear : dict of (weights, intercepts)
            For each subject: (n_channels, n_code) and (n_code,).
        back : Tensor, shape (n_code, n_tokens * token_dim)
            Tokens of a code.
        scale : float
        """
        if not isinstance(self.enter, nn.Identity):
            raise ValueError(
                "to start as linear decoders the network needs linear_path=true; or set "
                "train.linear_start=null"
            )
        self.heads.spell(self.inputs, linear, back, scale)
