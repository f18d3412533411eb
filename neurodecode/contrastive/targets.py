"""What brain activity is decoded into: the image and text embeddings of a CLIP [1]_.

Anything with the members of `Target` will do; `OpenClipTarget` serves every open_clip model with a
visual transformer, from the hub, from a local folder, or the small one that is shipped.

References
----------
.. [1] Radford, A. et al. (2021). Learning transferable visual models from natural language
   supervision. ICML.
"""

from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from neurodecode.contrastive.embedding import (
    as_numpy,
    check_pictures,
    in_batches,
    layers_of,
    slices,
    unit,
)
from neurodecode.core.claims import check_sizes, check_tensors
from neurodecode.core.documents import read_json
from neurodecode.weights import weights_folder
from neurodecode.weights.folders import DEEPEST, LARGEST, check_fit


class Target(Protocol):
    """An embedding space of pictures, texts or sounds; what `takes` lacks need not be there.

    Without `takes` a target takes pictures and texts. `pooled` are unit rows, which are compared;
    `tokens` are what the prior draws and the generator is given, exactly as that expects them.
    """

    takes: tuple[str, ...]  # of "pictures", "texts", "sounds"
    dim: int
    n_tokens: int
    token_dim: int

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed uint8 pictures (n, h, w, 3): (n, dim) unit rows and (n, n_tokens, token_dim)."""

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: (n, dim) unit rows."""

    def sounds(self, sounds: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Embed sounds (samples, rate in Hz): (n, dim) unit rows and (n, n_tokens, token_dim)."""

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a few depths, shallow to deep: {name: (n, d)}."""


class FlatTokens:
    """A target whose pooled embedding is all of its tokens, at unit length: what MindEye contrasts.

    Texts are left out: theirs cannot be compared with it.

    Parameters
    ----------
    target : Target
        With tokens.
    """

    def __init__(self, target: Target):
        self.target = target
        self.takes = tuple(t for t in getattr(target, "takes", ("pictures",)) if t != "texts")
        self.n_tokens, self.token_dim = target.n_tokens, target.token_dim
        self.dim = target.n_tokens * target.token_dim

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed pictures, as `Target` does."""
        return _flat(self.target.pictures(pictures)[1])

    def sounds(self, sounds: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Embed sounds, as `Target` does."""
        return _flat(self.target.sounds(sounds)[1])

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a few depths, as the target itself."""
        return self.target.layers(pictures)


def scored(target: Target, pooled: Literal["own", "tokens"]) -> Target:
    """The target as what is scored of it: its own pooled embedding, or all of its tokens.

    Raises
    ------
    ValueError
        If tokens are asked for and there are none.
    """
    if pooled == "own":
        return target
    if not target.n_tokens:
        raise ValueError("embed.pooled=tokens, but the embedding has no tokens: embed.pooled=own")
    return FlatTokens(target)


def _flat(tokens):
    return unit(tokens.reshape(len(tokens), -1).astype(np.float32)), tokens


Tokens = Literal["grid", "class_and_grid", "last_no_norm", "penultimate", "pooled"]


class OpenClipTarget:
    """An open_clip model as a target.

    The pooled embedding is what open_clip compares with texts, at unit length. The tokens are one
    of these, of the visual transformer with patches and one class token:

    - ``grid``: the patches after the last block and `ln_post`, before the projection: what
      open_clip >= 2.23 hands out as tokens and MindEye2 [2]_ reads of ViT-bigG-14 (256 x 1664; it
      ran open_clip 2.24);
    - ``class_and_grid``: the same, the class token before them;
    - ``last_no_norm``: the patches after the last block, without `ln_post`, as open_clip < 2.23
      handed them out;
    - ``penultimate``: class token and patches after the last block but one, without a norm, as
      IP-Adapter plus reads ViT-H-14 (257 x 1280);
    - ``pooled``: one token, the projected embedding, not at unit length, as Stable unCLIP and
      IP-Adapter read it.

    Parameters
    ----------
    model : str
        ``shipped:clip``, a folder with ``open_clip_config.json`` and weights, or a name that
        open_clip knows (``ViT-B-32``, ``hf-hub:owner/model``), which is downloaded.
    pretrained : str or None
        open_clip's tag of the weights of a named model (``openai``); None for a folder.
    tokens : str
        Which tokens.
    compat : {"mindeye2"} or None
        ``mindeye2``: pictures are halved in contrast, to 0.5-1, before they are normalised, as the
        published MindEye2 does by giving [0, 1] to a preparation that expects [-1, 1]. Its
        checkpoints and those of its generator want it; nothing else does.
    batch : int
        Pictures or texts embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    ValueError
        For a named model without `pretrained` (its weights would be random), a folder with it,
        or a model whose visual tower is no transformer.

    References
    ----------
    .. [2] Scotti, P. S. et al. (2024). MindEye2. ICML.
    """

    takes = ("pictures", "texts")

    def __init__(
        self,
        model: str = "shipped:clip",
        pretrained: str | None = None,
        tokens: Tokens = "grid",
        compat: Literal["mindeye2"] | None = None,
        batch: int = 128,
        device: str = "cpu",
    ):
        import open_clip

        name = _open_clip_name(model, pretrained)
        self.batch, self.device = batch, device
        self._which, self._compat = tokens, compat
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
        return in_batches(self.embed, self._batches(pictures))

    def embed(self, prepared):
        """The pooled embeddings, not yet at unit length, and tokens of a tensor (n, 3, h, w) of
        pictures that are already as the model wants them, on the model's device."""
        last_two = 2 if self._which == "penultimate" else 1
        out = self._intermediates(prepared, last_two, self._which in ("grid", "class_and_grid"))
        return out["image_features"], self._tokens(out)

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a quarter, half and three quarters of the depth, and pooled.

        Returns
        -------
        layers : dict of str to ndarray of float32, shape (n, d)
            ``block_2``, ... : the patch tokens after that block, flattened; ``pooled``.
        """

        def represent(rows):
            out = self._intermediates(rows, None, False)
            return out["image_intermediates"], out["image_features"]

        return layers_of(represent, self._batches(pictures))

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: float32 unit rows (n, dim); a sentence too long is cut by the model."""
        import torch

        with torch.inference_mode():
            parts = [
                self._model.encode_text(self._tokenizer(list(some)).to(self.device))
                for some in slices(texts, self.batch)
            ]
        return unit(np.concatenate([as_numpy(part) for part in parts]))

    def _tokens(self, out):
        """The tokens asked for, (n, n_tokens, token_dim), of what `_intermediates` returned."""
        import torch

        if self._which == "pooled":
            return out["image_features"][:, None]
        depth = 0 if self._which == "penultimate" else -1
        grid = out["image_intermediates"][depth]
        if self._which not in ("class_and_grid", "penultimate"):
            return grid
        return torch.cat([out["image_intermediates_prefix"][depth], grid], dim=1)

    def _batches(self, pictures):
        import torch
        from PIL import Image

        check_pictures(pictures)
        for some in slices(pictures, self.batch):
            prepared = [self._preprocess(Image.fromarray(picture)) for picture in some]
            rows = torch.stack(prepared).to(self.device)
            yield self._halved(rows) if self._compat == "mindeye2" else rows

    def _halved(self, rows):
        """((x + 1) / 2 - mean) / std of pictures x that are normalised, (x - mean) / std."""
        mean, std = (
            rows.new_tensor(values)[:, None, None]
            for values in (self._model.visual.image_mean, self._model.visual.image_std)
        )
        return (rows + (1 - mean) / std) / 2

    def _intermediates(self, rows, indices, normalise):
        import torch

        with torch.inference_mode():
            return self._model.visual.forward_intermediates(
                rows,
                indices=indices,
                normalize_intermediates=normalise,
                output_fmt="NLC",
                output_extra_tokens=True,
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
    weights = [p for end in ("safetensors", "bin", "pt") for p in folder.glob(f"*.{end}")]
    if not weights:
        raise FileNotFoundError(f"{folder} has no weights beside {path.name}: fetch it whole")
    for file in weights:
        if file.suffix == ".safetensors":
            check_tensors(file)
    check_fit(lambda: _shell(folder), weights, path)


def _shell(folder):
    import open_clip

    return open_clip.create_model(f"local-dir:{folder}", device="meta", load_weights=False)


def _is_at_hand(name: str, pretrained: str | None) -> bool:
    """Whether the weights lie on this machine, so that no network was asked."""
    return name.startswith("local-dir:") or (pretrained is not None and Path(pretrained).is_file())
