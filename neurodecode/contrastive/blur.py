"""Pictures as the eye has them: sharp where one looks, blurred around, for what brains are told of.

    seen = w sharp + (1 - w) blurred,     w = exp(-falloff d / L) / 2

d is the distance from the centre and L that of the far corner. At the centre, too, half of the
picture is blurred: brains say little of fine detail, and an embedding of it is not to be matched.

References
----------
.. [1] Wu et al. (2025). Bridging the vision-brain gap with an uncertainty-aware blur prior. CVPR.
"""

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.ranges import Count, NotNegative

PUBLISHED_PX = 224  # side of the pictures that the published kernel is given for


def sharp_share(height: int, width: int, falloff: float = 3.0) -> np.ndarray:
    """Share w of the sharp picture at every pixel: (height, width), 0.5 at the centre [1]_."""
    y, x = np.arange(height)[:, None] - height // 2, np.arange(width) - width // 2
    corner = np.hypot(height - height // 2 - 1, width - width // 2 - 1)
    return 0.5 * np.exp(-falloff * np.minimum(1, np.hypot(y, x) / max(corner, 1)))


def foveated(pictures: np.ndarray, kernel_px: int = 51, falloff: float = 3.0) -> np.ndarray:
    """Blur pictures around their centre [1]_.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, height, width, 3)
    kernel_px : int
        Side of the blur's kernel, odd, for pictures of 224 pixels; of others it is in proportion.
        The standard deviation is OpenCV's for a kernel: 0.3 ((kernel_px - 1) / 2 - 1) + 0.8.
    falloff : float
        How fast sharpness falls from the centre to the corners.

    Returns
    -------
    seen : ndarray of uint8, shape (n, height, width, 3)

    Raises
    ------
    ValueError
        If the kernel is even.
    """
    from scipy.ndimage import gaussian_filter

    if kernel_px % 2 == 0:
        raise ValueError(f"kernel_px is {kernel_px}: give an odd number of pixels")
    height, width = pictures.shape[1:3]
    scale = min(height, width) / PUBLISHED_PX
    radius = (kernel_px - 1) / 2
    sigma = 0.3 * (radius - 1) + 0.8
    share = sharp_share(height, width, falloff)[..., None]
    blurred = gaussian_filter(
        pictures.astype(np.float32),
        (0, scale * sigma, scale * sigma, 0),
        mode="mirror",
        radius=(0, round(scale * radius), round(scale * radius), 0),
    )
    return np.rint(share * pictures + (1 - share) * blurred).astype(np.uint8)


class FoveatedTarget:
    """Another target, which sees pictures as the eye has them when it embeds them.

    Pooled embeddings are of the blurred pictures, in training and in every comparison; tokens, from
    which pictures are painted, are of the sharp ones.

    Parameters
    ----------
    target : dict
        The other target's node, with its `_target_`.
    kernel_px : int
        Side of the blur's kernel, odd, for pictures of 224 pixels; 1: no blur.
    falloff : float
        How fast sharpness falls from the centre to the corners; 0: not at all.

    Raises
    ------
    ValueError
        If the other target takes no pictures, or the kernel is even.
    """

    def __init__(self, target: dict, kernel_px: Count = 51, falloff: NotNegative = 3.0):
        self._target = build(target)
        self.takes = getattr(self._target, "takes", ("pictures", "texts"))
        if "pictures" not in self.takes:
            raise ValueError(f"{target['_target_']} takes no pictures: there is nothing to blur")
        if kernel_px % 2 == 0:
            raise ValueError(f"kernel_px is {kernel_px}: give an odd number of pixels")
        self.dim = self._target.dim
        self.n_tokens, self.token_dim = self._target.n_tokens, self._target.token_dim
        self.kernel_px, self.falloff = kernel_px, falloff

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Embed uint8 pictures (n, h, w, 3): pooled ones blurred, tokens sharp."""
        pooled, tokens = self._target.pictures(foveated(pictures, self.kernel_px, self.falloff))
        return pooled, self._target.pictures(pictures)[1] if self.n_tokens else tokens

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences as the other target does."""
        return self._target.texts(texts)

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent sharp pictures as the other target does."""
        return self._target.layers(pictures)
