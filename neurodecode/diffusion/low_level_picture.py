"""The decoded low-level picture as it is: what a low-level pipeline alone shows."""

import numpy as np

from neurodecode.core.ranges import Count


class LowLevelPicture:
    """No generator: the decoded low-level picture, enlarged. Tokens, seeds and strength count not.

    Parameters
    ----------
    picture_px : int
        Height and width of the pictures.
    """

    reads = ("tokens",)
    token_shape = (None, None)

    def __init__(self, picture_px: Count = 64):
        self.picture_px = picture_px

    def generate(
        self,
        tokens: np.ndarray,
        seeds: list[int],
        start: np.ndarray | None = None,
        strength: float = 0.8,
        batch: int = 32,
        captions: list[str] | None = None,
    ) -> np.ndarray:
        """Enlarge low-level pictures, bilinear: uint8 (n, picture_px, picture_px, 3).

        Raises
        ------
        ValueError
            Without pictures to show.
        """
        from neurodecode.diffusion.merging import enlarged, grey_levels

        if start is None:
            raise ValueError(
                "generator=low_level shows low-level pictures, and was given none: set "
                "reconstruct.strength below 1, name all conditions that are painted in "
                "reconstruct.start_from, and train a network that decodes them"
            )
        return grey_levels(enlarged(start, (self.picture_px, self.picture_px)))
