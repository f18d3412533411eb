"""The brain network of MindEye, with the parameter names and shapes of its published checkpoints.

    backbone:   Linear-LayerNorm-GELU-Dropout, residual blocks of the same, Linear to all tokens
    projector:  each token through LayerNorm-GELU-Linear three times, for the contrastive loss

One network per subject; for one that several subjects share see `residual_mlp`.

References
----------
.. [1] Scotti et al. (2023). Reconstructing the mind's eye. NeurIPS. Defaults are those of its
   released model for 257 image tokens of CLIP ViT-L/14.
"""

from torch import Tensor, nn


class MindEye1(nn.Module):
    """Map one subject's voxels to image tokens and to their contrastive projection [1]_.

    Parameters
    ----------
    in_dim : int
        Voxels.
    out_dim : int
        Values of all tokens together; a multiple of `clip_size`.
    clip_size : int
        Values per token.
    h : int
        Width of the residual blocks.
    n_blocks : int
        Residual blocks.
    projector_hidden : int
        Width of the projector's hidden layers.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int = 257 * 768,
        clip_size: int = 768,
        h: int = 4096,
        n_blocks: int = 4,
        projector_hidden: int = 2048,
    ):
        super().__init__()
        if out_dim % clip_size:
            raise ValueError(f"out_dim {out_dim} is not a multiple of clip_size {clip_size}")
        self.clip_size = clip_size
        self.lin0 = _block(in_dim, h, dropout=0.5)
        self.mlp = nn.ModuleList(_block(h, h, dropout=0.15) for _ in range(n_blocks))
        self.lin1 = nn.Linear(h, out_dim)
        widths = (clip_size, projector_hidden, projector_hidden, clip_size)
        self.projector = nn.Sequential(
            *(
                layer
                for n_in, n_out in zip(widths, widths[1:], strict=False)
                for layer in (nn.LayerNorm(n_in), nn.GELU(), nn.Linear(n_in, n_out))
            )
        )

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """Decode trials, (n_trials, in_dim).

        Returns
        -------
        backbone : Tensor, shape (n_trials, out_dim)
            The condition of the diffusion prior.
        projected : Tensor, shape (n_trials, n_tokens, clip_size)
            What the contrastive loss and retrieval read.
        """
        x = self.lin0(voxels)
        for block in self.mlp:
            x = x + block(x)
        backbone = self.lin1(x)
        return backbone, self.projector(backbone.unflatten(1, (-1, self.clip_size)))


def _block(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU(), nn.Dropout(dropout)
    )
