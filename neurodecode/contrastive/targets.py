"""What brain activity is decoded into: the image and text embeddings of a CLIP [1]_.

Anything with the members of `Target` will do; `OpenClipTarget` serves every open_clip model with a
visual transformer, from the hub, from a local folder, or the small one that is shipped.

References
----------
.. [1] Radford, A. et al. (2021). Learning transferable visual models from natural language
   supervision. ICML.
"""

import logging
import math
from pathlib import Path
from typing import Protocol

import numpy as np

from neurodecode.core.claims import check_sizes, check_tensors
from neurodecode.core.documents import read_json
from neurodecode.weights import weights_folder

LARGEST = 1 << 17  # of any size in a configuration
DEEPEST = 200  # layers


class Target(Protocol):
    """An embedding space of pictures and texts."""

    dim: int
    n_tokens: int
    token_dim: int

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed uint8 pictures (n, h, w, 3): (n, dim) unit rows and (n, n_tokens, token_dim)."""

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: (n, dim) unit rows."""

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a few depths, shallow to deep: {name: (n, d)}."""


class OpenClipTarget:
    """An open_clip model as a target.

    The pooled embedding is what open_clip compares with texts, at unit length. The token grid is
    what precedes pooling: the patch tokens of the visual transformer's last block after `ln_post`,
    without the class token and before the projection (for a width-128 model of 4 x 4 patches:
    16 tokens of 128 numbers).

    Parameters
    ----------
    model : str
        ``shipped:clip``, a folder with ``open_clip_config.json`` and weights, or a name that
        open_clip knows (``ViT-B-32``, ``hf-hub:owner/model``), which is downloaded.
    pretrained : str or None
        open_clip's tag of the weights of a named model (``openai``); None for a folder.
    batch : int
        Pictures or texts embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    ValueError
        For a named model without `pretrained` (its weights would be random), a folder with it,
        or a model whose visual tower is no transformer.
    """

    def __init__(
        self,
        model: str = "shipped:clip",
        pretrained: str | None = None,
        batch: int = 128,
        device: str = "cpu",
    ):
        import open_clip

        name = _open_clip_name(model, pretrained)
        self.batch, self.device = batch, device
        try:
            self._model, _, self._preprocess = open_clip.create_model_and_transforms(
                name, pretrained=pretrained, precision="fp32", device=device
            )
        except Exception as error:  # open_clip, its hub and requests each raise their own
            if _is_at_hand(name, pretrained):
                raise ValueError(
                    f"{model} cannot be loaded by open_clip ({type(error).__name__}: {error}): its "
                    "weights or its configuration are damaged; fetch it again"
                ) from error
            raise ValueError(
                f"the weights {pretrained} of {model} could not be downloaded "
                f"({type(error).__name__}: {str(error).splitlines()[0]}): without a network name a "
                "file, embed.target.pretrained=/models/weights.safetensors, or choose "
                "embed=shipped_clip (for rendered scenes)"
            ) from error
        self._model.eval().requires_grad_(False)
        self._tokenizer = open_clip.get_tokenizer(name)
        if not hasattr(self._model.visual, "forward_intermediates"):
            raise ValueError(f"{model} has no visual transformer: choose a ViT model of open_clip")
        try:
            pooled, tokens = self.pictures(np.zeros((1, 64, 64, 3), np.uint8))
        except (TypeError, ValueError, RuntimeError) as error:  # of its own preparation
            if isinstance(error, NotImplementedError):  # of a device
                raise
            raise ValueError(
                f"{model} cannot prepare a picture ({error}): its preprocess_cfg is damaged"
            ) from error
        self.dim = pooled.shape[1]
        self.n_tokens, self.token_dim = tokens.shape[1:]

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed pictures.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (n, height, width, 3)
            Prepared (size, crop, scale) as the model's own open_clip configuration says.

        Returns
        -------
        pooled : ndarray of float32, shape (n, dim)
            Unit rows.
        tokens : ndarray of float32, shape (n, n_tokens, token_dim)
        """
        out = [self.embed(rows) for rows in self._batches(pictures)]
        pooled = np.concatenate([_numpy(pooled) for pooled, _ in out])
        return _unit(pooled), np.concatenate([_numpy(tokens) for _, tokens in out])

    def embed(self, prepared):
        """The pooled embeddings, not yet at unit length, and tokens of a tensor (n, 3, h, w) of
        pictures that are already as the model wants them, on the model's device."""
        out = self._intermediates(prepared, 1, True)
        return out["image_features"], out["image_intermediates"][-1]

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a quarter, half and three quarters of the depth, and pooled.

        Returns
        -------
        layers : dict of str to ndarray of float32, shape (n, d)
            ``block_2``, ... : the patch tokens after that block, flattened; ``pooled``.
        """
        found: dict[str, list[np.ndarray]] = {}
        for rows in self._batches(pictures):
            out = self._intermediates(rows, None, False)
            for name, values in _quarters(out["image_intermediates"]).items():
                found.setdefault(name, []).append(_numpy(values).reshape(len(values), -1))
            found.setdefault("pooled", []).append(_unit(_numpy(out["image_features"])))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: float32 unit rows (n, dim); a sentence too long is cut by the model."""
        import torch

        with torch.inference_mode():
            parts = [
                self._model.encode_text(self._tokenizer(list(some)).to(self.device))
                for some in _slices(texts, self.batch)
            ]
        return _unit(np.concatenate([_numpy(part) for part in parts]))

    def _batches(self, pictures):
        import torch
        from PIL import Image

        if pictures.dtype != np.uint8 or pictures.ndim != 4 or not len(pictures):
            raise ValueError(
                f"pictures of {pictures.dtype} {pictures.shape}: expected at least one, uint8, "
                "(n, height, width, 3)"
            )
        for some in _slices(pictures, self.batch):
            prepared = [self._preprocess(Image.fromarray(picture)) for picture in some]
            yield torch.stack(prepared).to(self.device)

    def _intermediates(self, rows, indices, normalise):
        import torch

        with torch.inference_mode():
            return self._model.visual.forward_intermediates(
                rows, indices=indices, normalize_intermediates=normalise, output_fmt="NLC"
            )


def _open_clip_name(model: str, pretrained: str | None) -> str:
    folder = weights_folder(model)
    if folder is not None:
        _check_folder(folder)
        if pretrained is not None:
            raise ValueError(
                f"pretrained={pretrained!r} is for named models, but {model!r} is a folder with "
                "its own weights: drop one of the two"
            )
        return f"local-dir:{folder}"
    if pretrained is None and not model.startswith("hf-hub:"):
        raise ValueError(
            f"{model!r} without `pretrained` would have random weights: name a tag, such as "
            "`openai` (`open_clip.list_pretrained()` lists them), or give a folder"
        )
    return model


def _check_folder(folder):
    """Read what can be forged in a model's folder before open_clip does: sizes and lengths."""
    path = folder / "open_clip_config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no model of open_clip: it has no {path.name}")
    about = read_json(path).get("model_cfg")
    if not isinstance(about, dict):
        raise ValueError(f"{path} has no model_cfg: it is not of a model of open_clip")
    check_sizes(about, LARGEST, str(path))
    layers = [part.get("layers", 0) for part in about.values() if isinstance(part, dict)]
    check_sizes(layers, DEEPEST, f"{path}: layers")
    n_bytes = 0
    for weights in [*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("*.pt")]:
        n_bytes += weights.stat().st_size
        if weights.suffix == ".safetensors":
            check_tensors(weights)
    n_parameters = _n_parameters(folder, path)
    if n_parameters > n_bytes:
        raise ValueError(
            f"{path} makes a model of {n_parameters} parameters, and its weights have {n_bytes} "
            "bytes: they are of different models"
        )


def _n_parameters(folder, path):
    """Count the parameters of a folder's model, without memory for them."""
    import open_clip
    import torch

    logging.disable(logging.WARNING)  # it says that the shell has no weights
    try:
        with torch.device("meta"):
            shell = open_clip.create_model(f"local-dir:{folder}", device="meta", load_weights=False)
    except Exception as error:  # open_clip, its towers and torch each raise their own
        raise ValueError(f"{path} makes no model of open_clip ({error}): fetch it again") from error
    finally:
        logging.disable(logging.NOTSET)
    return sum(p.numel() for p in shell.parameters())


def _is_at_hand(name: str, pretrained: str | None) -> bool:
    """Whether the weights lie on this machine, so that no network was asked."""
    return name.startswith("local-dir:") or (pretrained is not None and Path(pretrained).is_file())


def _quarters(blocks) -> dict:
    depths = sorted({math.ceil(len(blocks) * part / 4) for part in (1, 2, 3)})
    return {f"block_{depth}": blocks[depth - 1] for depth in depths}


def _slices(items, size):
    return (items[first : first + size] for first in range(0, len(items), size))


def _numpy(values) -> np.ndarray:
    return values.float().cpu().numpy()


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
