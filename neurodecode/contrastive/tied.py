"""SoftCLIP beside the squared error of unit vectors: what MindBridge asks of its heads [1]_.

References
----------
.. [1] Wang et al. (2024). MindBridge: a cross-subject brain decoding framework. CVPR.
"""

from torch import Tensor
from torch.nn import functional as F

from neurodecode.contrastive.losses import NeverMixed, soft_clip
from neurodecode.core.ranges import NotNegative, Positive


class SoftClipAndError(NeverMixed):
    """SoftCLIP at one temperature + `error` · mean squared error, both of unit vectors.

    Trials are never mixed.

    Parameters
    ----------
    temperature : float
        Softmax temperature of SoftCLIP.
    error : float
        Weight of the squared error. It is a mean over all numbers of unit vectors, 2 (1 - cosine) /
        dim, and so small that the published weight is 10,000.
    """

    def __init__(self, temperature: Positive = 0.005, error: NotNegative = 1e4):
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; it must be above 0")
        self.tau, self.error = temperature, error

    def temperature(self, epoch: int, n_epochs: int) -> float:
        """The same softmax temperature in every epoch."""
        return self.tau

    def __call__(
        self,
        brain: Tensor,
        clip: Tensor,
        epoch: int,
        n_epochs: int,
        permutation: Tensor | None = None,
        lam: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch; rows of any shape are flattened and scaled to unit length."""
        self.refuse_mixed(permutation)
        brain, clip = (F.normalize(rows.flatten(1), dim=1) for rows in (brain, clip))
        return soft_clip(brain, clip, self.tau) + self.error * F.mse_loss(brain, clip)
