"""A prior that was trained before the brain was seen: from a belief about a picture to its tokens.

What a decoder says of a picture is turned into a belief about a short code of its tokens (`belief`:
a mean and a variance for each component). The prior draws codes that a picture could have by
denoising diffusion [1]_, and spells out their tokens. It is trained once, on pictures alone, for
beliefs of every strength; what a study adds is how far its decoder is to be believed, a regression
line for each component. So a thousand training pictures need not teach what pictures look like.

References
----------
.. [1] Ramesh et al. (2022). Hierarchical text-conditional image generation with CLIP latents.
.. [2] Ho, Salimans (2022). Classifier-free diffusion guidance.
"""

import json

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.claims import built_to_fit, check_sizes, read_tensors
from neurodecode.core.documents import read_json
from neurodecode.core.ranges import CountOrNone, Positive
from neurodecode.diffusion.belief import believe, calibrate
from neurodecode.diffusion.latent_network import CodeDecoder, CodeDenoiser
from neurodecode.diffusion.noise import noise
from neurodecode.diffusion.sampling import steps_of, walk
from neurodecode.diffusion.schedule import cosine_schedule
from neurodecode.weights import weights_folder

WEIGHTS, CONFIG = "model.safetensors", "config.json"
LARGEST = 1 << 16  # of any size in a configuration


class LatentPrior(nn.Module):
    """Diffusion over codes of image tokens, given a belief about the code.

    Parameters
    ----------
    n_tokens, dim : int
        Image tokens and their size.
    n_code : int
        Components of the code.
    denoiser, decoder : dict, optional
        width, hidden and n_blocks of `CodeDenoiser` and of `CodeDecoder`.
    n_steps : int
        Steps of the cosine noise schedule.
    n_told : int
        The first components of the code, which words tell; 0 where there were no words.
    rest_noise : float
        How many times the noise found on validation trials the other components are taken to have,
        if there are any that words tell. A decoder's errors on them are not the even noise that the
        prior was trained with, and it draws conclusions from them about what words tell.

    Attributes
    ----------
    mean, std : Tensor, shape (n_tokens, dim)
        By which tokens are standardised.
    readout : Tensor, shape (n_tokens * dim, n_code)
        The code, see `token_code`.
    """

    reads, comes_trained, descends = "code", True, False

    def __init__(
        self,
        n_tokens: int,
        dim: int,
        n_code: int,
        denoiser: dict | None = None,
        decoder: dict | None = None,
        n_steps: int = 100,
        n_told: CountOrNone = 0,
        rest_noise: Positive = 1.0,
    ):
        super().__init__()
        self.sizes = {"n_code": n_code, "n_steps": n_steps, "n_told": n_told}
        self.caution = np.where((np.arange(n_code) < n_told) | (n_told == 0), 1.0, rest_noise)
        self.rest_noise = rest_noise
        self.sizes |= {"denoiser": denoiser or {}, "decoder": decoder or {}}
        self.denoiser = CodeDenoiser(n_code, **(denoiser or {}))
        self.decoder = CodeDecoder(n_code, n_tokens * dim, **(decoder or {}))
        self.schedule = cosine_schedule(n_steps)
        alpha_bar = torch.as_tensor(self.schedule.alphas_cumprod, dtype=torch.float32)
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)
        self.register_buffer("mean", torch.zeros(n_tokens, dim))
        self.register_buffer("std", torch.ones(n_tokens, dim))
        self.register_buffer("readout", torch.zeros(n_tokens * dim, n_code))

    def node(self, given: dict) -> dict:
        """The configuration node that builds this network again, without its weights."""
        made = {"_target_": f"{__name__}.LatentPrior", **self.sizes}
        return made | {"rest_noise": self.rest_noise}

    def statistics(self) -> dict[str, np.ndarray]:
        """Mean and spread by which tokens are standardised for this prior."""
        return {"tokens_mean": self.mean.cpu().numpy(), "tokens_std": self.std.cpu().numpy()}

    def read(self, tokens: Tensor) -> Tensor:
        """The code of standardised tokens (n, n_tokens, dim): (n, n_code)."""
        return tokens.flatten(1) @ self.readout.to(tokens)

    def linear_tokens(self) -> Tensor:
        """The shortest tokens of a code, by a linear map (n_code, n_tokens * dim)."""
        return torch.linalg.pinv(self.readout)

    def calibrate(self, said: np.ndarray, true: np.ndarray, stimulus: np.ndarray) -> dict:
        """How far a decoder of codes is to be believed, see `belief.calibrate`."""
        return calibrate(said, true, stimulus)

    def condition(self, said: np.ndarray, calibration: dict, n_repeats: np.ndarray) -> np.ndarray:
        """Beliefs (n, 2, n_code), see `belief.believe`."""
        return believe(said, calibration, n_repeats, self.caution)

    def loss(self, code: Tensor, belief: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of denoised codes at random steps; `generator` is a CPU generator."""
        t = torch.randint(len(self.alpha_bar), (len(code),), generator=generator).to(code.device)
        fresh = noise(code.shape, generator, code.dtype, code.device)
        a = self.alpha_bar[t][:, None]
        x_t = a.sqrt() * code + (1 - a).sqrt() * fresh
        return F.mse_loss(self.denoiser(x_t, t, a[:, 0], belief).float(), code)

    @torch.no_grad()
    def sample(
        self,
        belief: Tensor | None,
        seeds: list[int],
        n_sampling: int | None = None,
        eta: float = 1.0,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw one set of image tokens per row.

        Parameters
        ----------
        belief : Tensor or None, shape (n, 2, n_code)
            None draws from the prior alone: no brain.
        seeds : list of int, length n
            Each row has its own noise: what it becomes does not depend on the other rows.
        n_sampling : int, optional
            DDIM with this many evaluations; None walks through every step (DDPM).
        eta : float
            Noise of DDIM: 0 none, 1 as much as DDPM. Not used by DDPM.
        guidance : float
            1 draws a fair sample of what is believed; above 1 moves further from what would be
            believed without a brain [2]_.

        Returns
        -------
        tokens : Tensor, shape (n, n_tokens, dim), standardised
        """
        if belief is not None and len(belief) != len(seeds):
            raise ValueError(f"{len(belief)} beliefs, {len(seeds)} seeds: give one each")
        none = torch.stack([torch.zeros_like(self.readout[0]), torch.ones_like(self.readout[0])])
        none = none.expand(len(seeds), -1, -1)

        def predict(x_t: Tensor, t: int) -> Tensor:
            times = torch.full((len(x_t),), t, device=x_t.device)
            denoise = lambda given: self.denoiser(x_t, times, self.alpha_bar[times], given)
            if belief is None or guidance == 1:
                return denoise(none if belief is None else belief)
            without = denoise(none)
            return without + guidance * (denoise(belief) - without)

        steps = steps_of(self.schedule, n_sampling, eta)
        code = walk(steps, predict, self.readout[0], seeds)
        return self.decoder(code).unflatten(1, self.mean.shape)


def pretrained(path: str, n_tokens: int, dim: int, rest_noise: Positive = 1.0) -> LatentPrior:
    """Load a trained prior.

    Parameters
    ----------
    path : str
        ``shipped:prior``, or a folder with ``config.json`` and ``model.safetensors``.
    n_tokens, dim : int
        Of the tokens that are decoded.
    rest_noise : float
        As of `LatentPrior`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the prior was trained for other tokens.
    """
    folder = weights_folder(path)
    if folder is None or not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"{path!r} is no folder with a {CONFIG} of a latent prior")
    sizes = read_json(folder / CONFIG)
    weights = read_tensors(folder / WEIGHTS, "torch")
    if "mean" not in weights or weights["mean"].ndim != 2:
        raise ValueError(f"{folder / WEIGHTS} holds no prior: its mean (n_tokens, dim) is missing")
    own = tuple(weights["mean"].shape)
    if own != (n_tokens, dim):
        raise ValueError(
            f"the prior {path} was trained for {own[0]} tokens of {own[1]} numbers, but the "
            f"embedding has {n_tokens} of {dim}: choose prior=dalle2, which is trained in the run, "
            "or the embedding that this prior belongs to"
        )
    for part in ("denoiser", "decoder"):
        if not isinstance(sizes.get(part) or {}, dict):
            raise ValueError(f"{folder / CONFIG}: {part} is {sizes[part]!r:.60}, not sizes by name")
        check_sizes((sizes.get(part) or {}).get("n_blocks", 0), len(weights), folder / CONFIG)
    check_sizes(sizes, LARGEST, str(folder / CONFIG))
    make = lambda: LatentPrior(n_tokens, dim, **sizes, rest_noise=rest_noise)
    prior = built_to_fit(make, weights, folder / CONFIG)
    prior.load_state_dict({name: array.float() for name, array in weights.items()})
    return prior.eval()


def save(prior: LatentPrior, folder) -> None:
    """Write a prior's folder: its sizes, and its weights in float16."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(prior.sizes, indent=1) + "\n")
    state = prior.state_dict()
    save_file({k: v.half().contiguous().cpu() for k, v in state.items()}, folder / WEIGHTS)
