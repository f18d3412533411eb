"""Pictures from decoded image tokens: arrays in, arrays out, one seed per row."""

from typing import Protocol

import numpy as np

from neurodecode.core.ranges import Count, NotNegative
from neurodecode.diffusion.folder import check_folder
from neurodecode.weights import weights_folder


class Generator(Protocol):
    """What paints a picture from decoded tokens; it keeps nothing from one call to the next.

    Attributes
    ----------
    token_shape : tuple of (int or None, int or None)
        How many tokens of how many numbers; None: any.
    picture_px : int
        Height and width of what it paints.
    reads : tuple of str
        ``("tokens",)``, or ``("tokens", "captions")`` where it wants decoded sentences too.
    """

    token_shape: tuple[int | None, int | None]
    picture_px: int
    reads: tuple[str, ...]

    def generate(
        self,
        tokens: np.ndarray,
        seeds: list[int],
        start: np.ndarray | None = None,
        strength: float = 0.8,
        batch: int = 32,
        captions: list[str] | None = None,
    ) -> np.ndarray:
        """Generate uint8 pictures (n, picture_px, picture_px, 3), see `TokenGenerator.generate`.

        A row's noise depends on its seed alone: on a CPU the same seed gives the same picture in
        whatever batch, but for single grey levels.
        """


class TokenGenerator:
    """A saved `TokenPipeline` as a function of arrays.

    Parameters
    ----------
    path : str
        ``shipped:generator``, or a folder in diffusers' layout (with ``model_index.json``).
    steps : int
        Denoising steps from pure noise.
    guidance : float
        Classifier-free guidance; 1 is none and half the work.
    device : str
        ``cpu`` or ``cuda``.
    """

    reads = ("tokens",)

    def __init__(
        self,
        path: str = "shipped:generator",
        steps: Count = 4,
        guidance: NotNegative = 1.0,
        device: str = "cpu",
    ):
        folder = weights_folder(path)
        if folder is None or not (folder / "model_index.json").is_file():
            raise FileNotFoundError(f"{path!r} is no folder with a model_index.json of diffusers")
        if steps < 1:
            raise ValueError(f"steps={steps}: at least one denoising step is needed")
        self.steps, self.guidance, self.device = steps, guidance, device
        self._pipeline = _loaded(folder).to(device)
        self.token_shape = (None, self._pipeline.transformer.config.caption_channels)
        self.picture_px = self._pipeline.picture_shape[1]

    def generate(
        self,
        tokens: np.ndarray,
        seeds: list[int],
        start: np.ndarray | None = None,
        strength: float = 0.8,
        batch: int = 32,
        captions: list[str] | None = None,
    ) -> np.ndarray:
        """Generate a picture per row.

        Parameters
        ----------
        tokens : ndarray, shape (n, n_tokens, token_dim)
            On the scale of the target's own tokens.
        seeds : list of int, length n
            A row's noise depends on its seed alone, not on its batch.
        start : ndarray, shape (n, h, w, 3), values in [0, 1], or None
            Blurry pictures to begin from.
        strength : float in [0, 1]
            Noise at the beginning when there is a `start`: 1 ignores it, 0 returns it.
        batch : int
            Rows generated at once.
        captions : None
            It reads none.

        Returns
        -------
        pictures : ndarray of uint8, shape (n, picture_px, picture_px, 3)
        """
        self._check(tokens, seeds, start, strength)
        rows = [slice(first, first + batch) for first in range(0, len(tokens), batch)]
        parts = [
            self._some(tokens[r], seeds[r], None if start is None else start[r], strength)
            for r in rows
        ]
        none = np.empty((0, self.picture_px, self.picture_px, 3), np.uint8)
        return np.concatenate([none, *parts])

    def _check(self, tokens, seeds, start, strength):
        dim = self.token_shape[1]
        if tokens.ndim != 3 or tokens.shape[2] != dim:
            raise ValueError(
                f"tokens of shape {tokens.shape}: this generator was trained on tokens of "
                f"{dim} numbers, (n, n_tokens, {dim}); use the target it was trained with"
            )
        if len(seeds) != len(tokens) or (start is not None and len(start) != len(tokens)):
            raise ValueError(f"{len(tokens)} rows of tokens need as many seeds and starts")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength={strength} is not in [0, 1]")

    def _some(self, tokens, seeds, start, strength):
        import torch

        noise = torch.stack([self._noise(seed) for seed in seeds])
        if start is not None:
            start = torch.from_numpy(np.array(start, np.float32, order="C")).permute(0, 3, 1, 2)
            start = start.to(self.device)
        pictures = self._pipeline(
            torch.from_numpy(np.array(tokens, np.float32, order="C")).to(self.device),
            noise.to(self.device),
            start,
            strength,
            self.steps,
            self.guidance,
        )
        return (pictures * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def _noise(self, seed):
        import torch

        rng = torch.Generator().manual_seed(int(seed))  # on the CPU: the same on every device
        return torch.randn(self._pipeline.picture_shape, generator=rng)


def _loaded(folder):
    """Load a pipeline without diffusers' bar and its advice to install accelerate."""
    import torch
    from diffusers.utils import logging

    from neurodecode.diffusion.pipeline import TokenPipeline

    check_folder(folder, ["transformer", "scheduler"])
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return TokenPipeline.from_pretrained(
            str(folder),
            dtype=torch.float32,
            local_files_only=True,
            low_cpu_mem_usage=False,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except Exception as error:  # any of its parts' own
        raise ValueError(
            f"{folder} cannot be loaded by diffusers ({type(error).__name__}: {error}): a part of "
            "it is damaged; fetch it again"
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()
