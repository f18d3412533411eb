"""What all adapters share: rows to batches, noise by seed, the denoising loop, latents to pictures.

A family says what its network is told (`_conditioned`); everything else is here, so that every
one of them can begin from a picture, and a row never depends on the rows beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Some rows that are painted at once.

    Parameters
    ----------
    tokens : tensor, shape (n, n_tokens, token_dim)
        On the device, of the network's type.
    rngs : list of torch.Generator, length n
        On the CPU, one a row: whatever is random of a row is drawn from its own.
    start : tensor, shape (n, 3, picture_px, picture_px), values in [-1, 1], or None
    captions : list of str, length n, or None
    """

    tokens: object
    rngs: list
    start: object
    captions: list[str] | None

    def __len__(self):
        return len(self.rngs)

    def noise(self, *shape):
        """Draw standard normal numbers, (n, *shape), on the tokens' device."""
        import torch

        from neurodecode.diffusion.noise import rows_of_noise

        drawn = rows_of_noise(shape, self.rngs, torch.float32, self.tokens.device)
        return drawn.to(self.tokens)


class Adapter(ABC):
    """A pipeline of diffusers as a `neurodecode.diffusion.generator.Generator`.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        With a `scheduler` and a `vae`.
    weights : neurodecode.diffusion.adapters.weights.Weights
        Where it is placed.
    steps : int
        Denoising steps from pure noise; a beginning on the way takes its share of them.
    guidance : float
        Classifier-free guidance; 1 or less is none, and half the work.
    picture_px : int or None
        Height and width of the pictures; None: what the network was trained on.
    """

    reads = ("tokens",)
    token_shape: tuple[int | None, int | None] = (None, None)
    _sentence = None  # encoded once, for all rows
    img2img = True  # begins from the start's latents; else only the network is told of it
    upcasts = False  # SDXL's VAE overflows in float16, and is taken to float32 where it says so

    def __init__(self, pipeline, weights, steps, guidance, picture_px=None):
        if steps < 1:
            raise ValueError(f"steps={steps}: at least one denoising step is needed")
        self.steps, self.guidance, self.device = steps, guidance, weights.device
        self._pipeline, self._scheduler = weights.place(pipeline), pipeline.scheduler
        scale = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        self.picture_px = picture_px or self._network.config.sample_size * scale
        if self.picture_px % scale:
            raise ValueError(f"picture_px={picture_px}: a multiple of {scale} is needed")
        side = self.picture_px // scale
        self._latent_shape = (pipeline.vae.config.latent_channels, side, side)

    @classmethod
    def of(cls, pipeline, sentence=None, **options):
        """Take a pipeline that is in memory already; `options` are those of the class.

        `sentence`, as `neurodecode.diffusion.adapters.prompts.encode` returns one, is for a
        pipeline without a text encoder.
        """
        made = cls(path=pipeline, **{"device": str(pipeline.device)} | options)
        made._sentence = sentence
        return made

    @abstractmethod
    def _conditioned(self, rows: Rows) -> Callable:
        """Return what the network says, ``(latents, t) -> tensor``.

        `latents` are n rows, or with guidance 2 n: without the condition, then with it.
        """

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
            See the class's `token_shape`.
        seeds : list of int, length n
            A row's noise depends on its seed alone, not on its batch.
        start : ndarray, shape (n, h, w, 3), values in [0, 1], or None
            Pictures to begin from: encoded, and noised to where `strength` says.
        strength : float in [0, 1]
            1 ignores the start, 0 returns it (resized).
        batch : int
            Rows generated at once.
        captions : list of str, length n, or None
            Where the class `reads` them.

        Returns
        -------
        pictures : ndarray of uint8, shape (n, picture_px, picture_px, 3)
        """
        self._check(tokens, seeds, start, strength, captions)
        pictures = np.empty((len(tokens), self.picture_px, self.picture_px, 3), np.uint8)
        for first in range(0, len(tokens), batch):
            some = slice(first, first + batch)
            given = [None if rows is None else rows[some] for rows in (start, captions)]
            pictures[some] = self._some(tokens[some], seeds[some], strength, *given)
        return pictures

    def _check(self, tokens, seeds, start, strength, captions):
        wanted, shape = self.token_shape, tokens.shape[1:]
        if tokens.ndim != 3 or any(w not in (None, n) for w, n in zip(wanted, shape, strict=True)):
            told = ", ".join(str(w or "any") for w in wanted)
            raise ValueError(
                f"tokens of shape {tokens.shape}: {type(self).__name__} reads (n, {told}); choose "
                "the embedding (embed=…) that it belongs to"
            )
        others = [rows for rows in (seeds, start, captions) if rows is not None]
        if any(len(rows) != len(tokens) for rows in others):
            raise ValueError(f"{len(tokens)} rows of tokens need as many seeds, starts, captions")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength={strength} is not in [0, 1]")
        if "captions" in self.reads and captions is None:
            raise ValueError(f"{type(self).__name__} reads captions, one a row, and got none")

    def _some(self, tokens, seeds, strength, start, captions):
        import torch

        with torch.inference_mode():
            begun = None if start is None or strength == 1 else self._resized(start)
            if begun is not None and strength == 0:
                return _bytes(begun)
            rngs = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
            tokens = torch.from_numpy(np.array(tokens, np.float32, order="C"))
            rows = Rows(tokens.to(self.device, self._network.dtype), rngs, begun, captions)
            pictures = _bytes(self._decoded(self._denoised(rows, strength)))
        self._pipeline.maybe_free_model_hooks()
        return pictures

    def _resized(self, start):
        import torch
        import torch.nn.functional as F

        start = torch.from_numpy(np.array(start, np.float32, order="C")).permute(0, 3, 1, 2)
        size = (self.picture_px, self.picture_px)
        if start.shape[2:] != size:
            start = F.interpolate(start, size, mode="bilinear", antialias=True)
        return start.to(self.device) * 2 - 1

    def _denoised(self, rows, strength):
        import torch

        say, guided = self._conditioned(rows), self.guidance > 1
        latents, timesteps = self._begun(rows, strength)
        more = {"generator": rows.rngs} if _takes_generator(self._scheduler) else {}
        for t in timesteps:
            twice = torch.cat([latents] * 2) if guided else latents
            said = say(self._scheduler.scale_model_input(twice, t), t)
            if guided:
                without, told = said.chunk(2)
                said = without + self.guidance * (told - without)
            latents = self._scheduler.step(said, t, latents, **more, return_dict=False)[0]
        return latents

    def _begun(self, rows, strength):
        """The latents to begin with, and the timesteps that are left."""
        self._set_timesteps()
        timesteps = self._scheduler.timesteps
        if rows.start is None or not self.img2img:
            return self._pure_noise(rows), timesteps
        n_left = max(int(self.steps * strength + 1e-9), 1)  # .29 of 100 are 29, whatever floats say
        first = (self.steps - n_left) * self._scheduler.order
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(first)
        clean, noise = self._encoded(rows), self._noise(rows)
        at = timesteps[first : first + 1].repeat(len(rows))
        return self._scheduler.add_noise(clean, noise, at), timesteps[first:]

    def _pure_noise(self, rows):
        return self._noise(rows) * self._scheduler.init_noise_sigma

    def _noise(self, rows):
        return rows.noise(*self._latent_shape)

    def _set_timesteps(self):
        self._scheduler.set_timesteps(self.steps, device=self.device)

    @property
    def _network(self):
        return self._pipeline.unet

    def _encoded(self, rows):
        """The latents of the pictures to begin from."""
        mean, spread = _scale(self._pipeline.vae)
        with self._precise_vae() as vae:
            drawn = vae.encode(rows.start.to(vae.dtype)).latent_dist.sample(rows.rngs)
        return ((drawn - mean) / spread).to(rows.tokens)

    def _decoded(self, latents):
        mean, spread = _scale(self._pipeline.vae)
        with self._precise_vae() as vae:
            return vae.decode(latents.to(vae.dtype) * spread + mean, return_dict=False)[0]

    def _precise_vae(self):
        return _in_float32(self._pipeline.vae, self.upcasts)


def _scale(vae):
    """Mean and standard deviation of what a VAE encodes, as its configuration says."""
    import torch

    config = vae.config
    if getattr(config, "latents_mean", None) and getattr(config, "latents_std", None):
        column = lambda values: torch.tensor(values)[:, None, None].to(vae.device)
        return column(config.latents_mean), column(config.latents_std) / config.scaling_factor
    return 0.0, 1 / config.scaling_factor


class _in_float32:
    """Within this, a VAE that overflows in float16 computes in float32."""

    def __init__(self, vae, wanted):
        import torch

        self.vae, self.dtype = vae, vae.dtype
        self.needed = wanted and vae.dtype == torch.float16 and vae.config.force_upcast

    def __enter__(self):
        import torch

        return self.vae.to(dtype=torch.float32) if self.needed else self.vae

    def __exit__(self, *error):
        if self.needed:
            self.vae.to(dtype=self.dtype)


def _takes_generator(scheduler):
    import inspect

    return "generator" in inspect.signature(scheduler.step).parameters


def _bytes(pictures):
    """Pictures in [-1, 1] (n, 3, h, w) as uint8 (n, h, w, 3)."""
    shown = (pictures / 2 + 0.5).clamp(0, 1).float()
    return (shown * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
