"""The contrastive losses of published M/EEG decoders: one formula with a few switches.

    logits[i, j] = scale * z_i . t_j / |t_j|        z_i the brain's embedding, or z_i / |z_i|

and the cross-entropy of brain i's picture i among the candidates j, and of picture i's brain where
both directions count. What the systems choose:

| system                 | unit length | scale                    | both ways | shared credit |
|------------------------|-------------|--------------------------|-----------|---------------|
| brainmagick [1]_       | no          | 1                        | no        | no            |
| NICE [2]_              | yes         | 1 / 0.07                 | yes       | no            |
| ATM [3]_               | no          | ln(1 / 0.07), learnt     | yes       | no            |
| UBP [4]_               | no          | softplus of that, learnt | yes       | no            |
| CognitionCapturer [5]_ | no          | ln(1 / 0.07)             | yes       | repeats       |

A learnt scale belongs to the network, which returns z already multiplied by it; `scale` is 1 then.
Of a z that ends in a LayerNorm over D numbers |z| is about sqrt(D): without unit length 2.66 is an
inverse temperature of 85 for D = 1024, with it one of 2.66, which hardly trains.

References
----------
.. [1] Défossez et al. (2023). Decoding speech perception from non-invasive brain recordings.
   Nature Machine Intelligence 5.
.. [2] Song et al. (2024). Decoding natural images from EEG for object recognition. ICLR.
.. [3] Li et al. (2024). Visual decoding and reconstruction via EEG embeddings with guided
   diffusion. NeurIPS.
.. [4] Wu et al. (2025). Bridging the vision-brain gap with an uncertainty-aware blur prior. CVPR.
.. [5] Zhang et al. (2025). CognitionCapturer. AAAI.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from neurodecode.contrastive.losses import NeverMixed
from neurodecode.core.ranges import Count, Positive


class ClipLoss(NeverMixed):
    """Cross-entropy of brains among pictures, and of pictures among brains.

    Parameters
    ----------
    normalise_brain : bool
        Whether brain embeddings count at unit length; pictures always do.
    symmetric : bool
        True: half of the loss asks for each picture's brain; False: only for each brain's picture.
    scale : float
        Inverse temperature, > 0; 1 where the network multiplies its answer by a scale of its own.
    soft_top_k : int or None
        How many trials of the same picture share the credit of a trial; None: none do, and another
        trial of the same picture in the batch is a wrong answer. Trials are of the same picture if
        their targets are equal. Summed over the trials of a picture both are the same loss, and so
        is the published one, unless the batch holds more repeats than may share.
    """

    def __init__(
        self,
        normalise_brain: bool = True,
        symmetric: bool = True,
        scale: Positive = 1 / 0.07,
        soft_top_k: Count | None = None,
    ):
        if not scale > 0:
            raise ValueError(f"scale is {scale}; an inverse temperature must be above 0")
        if soft_top_k is not None and soft_top_k < 1:
            raise ValueError(f"soft_top_k is {soft_top_k}; share with one trial at least, or null")
        self.normalise_brain = normalise_brain
        self.symmetric = symmetric
        self.scale = scale
        self.soft_top_k = soft_top_k

    def __call__(
        self,
        brain: Tensor,
        clip: Tensor,
        epoch: int,
        n_epochs: int,
        permutation: Tensor | None = None,
        lam: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch in nats; rows of any shape are flattened.

        Parameters
        ----------
        brain : Tensor, shape (n_pairs, ...)
        clip : Tensor, shape (n_candidates, ...)
            The first n_pairs are the targets in order; more than these are only wrong answers, and
            need `symmetric=False` and no shared credit.
        epoch, n_epochs : int
            Change nothing here.
        permutation, lam : Tensor, optional
            Refused: these losses are not for mixed trials.
        """
        self.refuse_mixed(permutation)
        logits = self.scores(brain, clip)
        if self.soft_top_k is None:
            return hard_loss(logits, self.symmetric)
        weights = shared_credit(clip, same_picture(clip), self.soft_top_k)
        return soft_loss(logits, weights, self.symmetric)

    def scores(self, brain: Tensor, clip: Tensor) -> Tensor:
        """Logits of every candidate for every brain, (n_pairs, n_candidates)."""
        brain, clip = brain.flatten(1), clip.flatten(1)
        if brain.shape[1] != clip.shape[1] or len(clip) < len(brain):
            raise ValueError(
                f"brain {tuple(brain.shape)} and clip {tuple(clip.shape)} must be equally long "
                "rows, and there must be a candidate for each brain"
            )
        if len(clip) > len(brain) and (self.symmetric or self.soft_top_k is not None):
            raise ValueError(
                f"{len(clip)} candidates for {len(brain)} brains: more candidates than brains need "
                "symmetric=false and soft_top_k=null"
            )
        if self.normalise_brain:
            brain = F.normalize(brain, dim=1)
        return self.scale * brain @ F.normalize(clip, dim=1).T

    def inverse_temperature(self, brain: Tensor) -> Tensor:
        """What cosines are multiplied by before the softmax, on average over a batch's brains."""
        if self.normalise_brain:
            return brain.new_tensor(self.scale)
        return self.scale * brain.detach().flatten(1).norm(dim=1).mean()


def hard_loss(logits: Tensor, symmetric: bool) -> Tensor:
    """Cross-entropy of logits (n_pairs, n_candidates) whose right candidate of row i is i."""
    own = torch.arange(len(logits), device=logits.device)
    by_row = F.cross_entropy(logits, own)
    return (by_row + F.cross_entropy(logits.T, own)) / 2 if symmetric else by_row


def soft_loss(logits: Tensor, weights: Tensor, symmetric: bool) -> Tensor:
    """Cross-entropy against weights (n_pairs, n_pairs), the same ones in both directions."""
    by_row = -(weights * logits.log_softmax(dim=1)).sum(dim=1).mean()
    if not symmetric:
        return by_row
    by_column = -(weights * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (by_row + by_column) / 2


def shared_credit(clip: Tensor, same: Tensor, top_k: int) -> Tensor:
    """How the credit of each trial is dealt among the trials of its picture [5]_.

    The cosine of two targets counts where both are of the same picture, and the other is among the
    `top_k` most similar of the batch or the trial itself.

    Parameters
    ----------
    clip : Tensor, shape (n_pairs, ...)
    same : Tensor of bool, shape (n_pairs, n_pairs)
        Which trials are of the same picture; the diagonal is true.
    top_k : int

    Returns
    -------
    weights : Tensor, shape (n_pairs, n_pairs)
        Rows sum to 1.
    """
    unit = F.normalize(clip.flatten(1), dim=1)
    cosine = unit @ unit.T
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    others = cosine.masked_fill(itself, 0)  # as published: the diagonal competes as a 0
    similar = itself.clone()
    similar.scatter_(1, others.topk(min(top_k, len(unit)), dim=1).indices, True)
    weights = torch.where(similar & same, cosine, 0)
    return weights / weights.sum(dim=1, keepdim=True)


def same_picture(clip: Tensor) -> Tensor:
    """Say which trials have equal targets: bool (n_pairs, n_pairs)."""
    _, picture = torch.unique(clip.flatten(1), dim=0, return_inverse=True)
    return picture[:, None] == picture
