"""Merging a generated picture with the low-level one: structure from one, content from the other.

A merge is called with uint8 pictures (n, px, px, 3) and the low-level ones, float in [0, 1] of any
size, and returns uint8 pictures of the first's size.

References
----------
.. [1] Scotti, P. S. et al. (2024). MindEye2: shared-subject models enable fMRI-to-image with 1 hour
   of data. ICML.
"""

import numpy as np

from neurodecode.core.ranges import Positive, Share


class Pixelwise:
    """A weighted mean of both pictures [1]_: ``(1 - low_level) generated + low_level blurry``.

    Parameters
    ----------
    low_level : float in [0, 1]
        Weight of the low-level picture; MindEye2's is .25.
    """

    def __init__(self, low_level: Share = 0.25):
        self.low_level = low_level

    def __call__(self, generated: np.ndarray, blurry: np.ndarray) -> np.ndarray:
        """Merge pictures, see the module."""
        return grey_levels(
            (1 - self.low_level) * (generated / 255)
            + self.low_level * enlarged(blurry, generated.shape[1:3])
        )


class Frequencies:
    """Low spatial frequencies of the low-level picture, high ones of the generated.

    ``generated + share G(blurry - generated)``, G being a Gaussian low-pass filter.

    Parameters
    ----------
    cycles : float
        Spatial frequency, in cycles a picture, of which half the amplitude passes G.
    share : float in [0, 1]
        Of the low frequencies that is taken from the low-level picture.
    """

    def __init__(self, cycles: Positive = 4.0, share: Share = 1.0):
        self.cycles, self.share = cycles, share

    def __call__(self, generated: np.ndarray, blurry: np.ndarray) -> np.ndarray:
        """Merge pictures, see the module."""
        from scipy.ndimage import gaussian_filter

        height, width = generated.shape[1:3]
        # exp(-2 pi^2 sigma^2 f^2) = 1/2 at f = cycles / side
        sigma = np.sqrt(np.log(2) / 2) / (np.pi * self.cycles)
        apart = enlarged(blurry, (height, width)) - generated / 255
        low = gaussian_filter(apart, (0, sigma * height, sigma * width, 0), mode="reflect")
        return grey_levels(generated / 255 + self.share * low)


def enlarged(pictures: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale pictures in [0, 1] to (height, width), bilinear: float32 (n, *size, 3)."""
    import torch
    from torch.nn.functional import interpolate

    channels_first = torch.from_numpy(np.array(pictures, np.float32)).permute(0, 3, 1, 2)
    scaled = interpolate(channels_first, size, mode="bilinear", antialias=True)
    return scaled.permute(0, 2, 3, 1).numpy()


def grey_levels(pictures: np.ndarray) -> np.ndarray:
    """Round pictures in [0, 1] to uint8."""
    return np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
