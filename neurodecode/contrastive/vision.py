"""Vision towers without texts: DINOv2 [1]_, DINOv3 and any other of transformers or of timm.

References
----------
.. [1] Oquab, M. et al. (2024). DINOv2: learning robust visual features without supervision. TMLR.
.. [2] Darcet, T. et al. (2024). Vision transformers need registers. ICLR.
"""

import inspect
import math
from typing import Literal

import numpy as np

from neurodecode.contrastive.embedding import (
    check_pictures,
    image_processor,
    in_batches,
    layers_of,
    prepared,
    slices,
)
from neurodecode.core.claims import check_sizes
from neurodecode.weights.folders import (
    check_fit,
    load_transformer,
    model_folder,
    need_files,
    read_config,
    weight_files,
)

Tokens = Literal["grid", "class_and_grid", "all", "pooled"]
Pool = Literal["own", "mean"]
LARGEST_PX = 4096


class VisionTarget:
    """A vision tower of transformers as a target: DINOv2, DINOv3, ViT, SigLIP, ConvNeXt, ...

    Parameters
    ----------
    model : str
        A folder with ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``, or a
        hub id (``facebook/dinov2-large``).
    revision : str or None
        Commit, tag or branch of a hub id.
    tokens : str
        ``grid``: the patches; ``class_and_grid``: the class token before them; ``all``: registers
        [2]_ between the two as well; ``pooled``: one token, the pooled embedding before it is
        brought to unit length.
    pool : {"own", "mean"}
        ``own``: what the model calls pooled, else its class token, else the mean of the patches;
        ``mean``: of the tokens asked for (of the patches for ``pooled``).
    layer : int
        The block whose output is read, counted as transformers does: 0 before the first, -1 the
        last, which alone is followed by the model's last norm.
    batch : int
        Pictures embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If a file is missing, naming it.
    ValueError
        If configuration and weights are of different models, the model hides parts of pictures at
        random, has no class token that is asked for, or not that many blocks.
    """

    takes = ("pictures",)

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        tokens: Tokens = "grid",
        pool: Pool = "own",
        layer: int = -1,
        batch: int = 64,
        device: str = "cpu",
    ):
        folder = model_folder(model, revision)
        if "mask_ratio" in read_config(folder):
            raise ValueError(
                f"{folder} is of a masked autoencoder, which hides patches at random in "
                "transformers: choose its encoder from timm, embed=timm"
            )
        need_files(folder, "preprocessor_config.json")
        self._processor = image_processor(folder)
        whole, lacking = load_transformer(
            "AutoModel", folder, device, ("pooler.", "vision_model.h")
        )
        self._model = getattr(whole, "vision_model", whole)
        self._has_pooler = not lacking
        self._which, self._pool, self._layer = tokens, pool, layer
        self.batch, self.device = batch, device
        pooled, tokens = self.pictures(np.zeros((1, 64, 64, 3), np.uint8))
        self.dim = pooled.shape[1]
        self.n_tokens, self.token_dim = tokens.shape[1:]

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed uint8 pictures (n, height, width, 3), prepared as the folder says.

        Returns
        -------
        pooled : ndarray of float32, shape (n, dim)
            Unit rows.
        tokens : ndarray of float32, shape (n, n_tokens, token_dim)
        """
        batches = prepared(pictures, self._processor, self.batch, self.device)
        return in_batches(self._embed, batches)

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a quarter, half and three quarters of the depth, and pooled."""

        def represent(rows):
            seen = self._seen(rows)
            n_special = self._n_special(rows, in_a_row(seen.last_hidden_state))
            blocks = [in_a_row(hidden)[:, n_special:] for hidden in seen.hidden_states[1:]]
            return blocks, self._embed(rows)[0]

        batches = prepared(pictures, self._processor, self.batch, self.device)
        return layers_of(represent, batches)

    def _embed(self, rows):
        seen = self._seen(rows)
        last = self._layer == -1
        try:
            hidden = seen.last_hidden_state if last else seen.hidden_states[self._layer]
        except IndexError:
            raise ValueError(
                f"layer={self._layer}: the model has {len(seen.hidden_states) - 1} blocks"
            ) from None
        hidden = in_a_row(hidden)
        n_special = self._n_special(rows, hidden)
        own = getattr(seen, "pooler_output", None) if last and self._has_pooler else None
        return chosen(hidden, n_special, self._which, self._pool, own)

    def _seen(self, rows):
        import torch

        with torch.inference_mode():
            return self._model(pixel_values=rows, output_hidden_states=True)

    def _n_special(self, rows, hidden):
        """How many tokens before the patches are class token and registers."""
        patch = getattr(self._model.config, "patch_size", None)
        if not isinstance(patch, int):
            return 0
        n_patches = (rows.shape[-2] // patch) * (rows.shape[-1] // patch)
        most = 2 + (getattr(self._model.config, "num_register_tokens", 0) or 0)
        n_special = hidden.shape[1] - n_patches
        return n_special if 0 <= n_special <= most else 0


class TimmTarget:
    """A model of timm as a target: any that gives features before its head.

    Parameters
    ----------
    model : str
        A folder as timm saves one for the hub, with ``config.json`` and ``model.safetensors``, or
        a hub id (``timm/vit_base_patch14_dinov2.lvd142m``). Pictures are prepared as the
        configuration says.
    revision : str or None
        Commit, tag or branch of a hub id.
    tokens : str
        As of `VisionTarget`; of a convolutional network the grid is its last map.
    pool : {"own", "mean"}
        ``own``: as the model pools before its head; ``mean``: of the tokens asked for.
    batch : int
        Pictures embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If a file is missing, naming it.
    ValueError
        If timm knows no such architecture, or configuration and weights are of different models.
    """

    takes = ("pictures",)

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        tokens: Tokens = "grid",
        pool: Pool = "own",
        batch: int = 64,
        device: str = "cpu",
    ):
        folder = model_folder(model, revision)
        self._model = _load_timm(folder).to(device)
        self._prepare = _timm_preparation(self._model, folder / "config.json")
        self._which, self._pool = tokens, pool
        self.batch, self.device = batch, device
        pooled, tokens = self.pictures(np.zeros((1, 64, 64, 3), np.uint8))
        self.dim = pooled.shape[1]
        self.n_tokens, self.token_dim = tokens.shape[1:]

    def pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed uint8 pictures (n, height, width, 3): unit rows (n, dim), and tokens."""
        return in_batches(self._embed, self._batches(pictures))

    def _embed(self, rows):
        import torch

        with torch.inference_mode():
            features = self._model.forward_features(rows)
            own = self._model.forward_head(features, pre_logits=True)
        n_special = getattr(self._model, "num_prefix_tokens", 0)
        hidden = in_a_row(features, self._model.num_features)
        return chosen(hidden, n_special, self._which, self._pool, own)

    def _batches(self, pictures):
        import torch
        from PIL import Image

        check_pictures(pictures)
        for some in slices(pictures, self.batch):
            rows = [self._prepare(Image.fromarray(picture)) for picture in some]
            yield torch.stack(rows).to(self.device)


def in_a_row(features, n_channels: int | None = None):
    """Tokens (n, n_tokens, d) of tokens, or of maps (n, d, h, w) or (n, h, w, d).

    Parameters
    ----------
    features : tensor
    n_channels : int, optional
        d, where maps may have their channels last; None: they are first.
    """
    if features.ndim == 3:
        return features
    if n_channels is not None and features.shape[1] != n_channels:
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)


def chosen(hidden, n_special: int, which: str, pool: str, own=None):
    """Choose pooled embedding and tokens of all tokens of a tower.

    Parameters
    ----------
    hidden : tensor, shape (n, n_special + n_patches, d)
        Class token (if any), registers, patches.
    n_special : int
    which : {"grid", "class_and_grid", "all", "pooled"}
    pool : {"own", "mean"}
    own : tensor, shape (n, dim), optional
        What the model itself calls pooled; None: the class token, else the mean of the patches.

    Returns
    -------
    pooled : tensor, shape (n, dim)
    tokens : tensor, shape (n, n_tokens, d)

    Raises
    ------
    ValueError
        If there is no class token.
    """
    import torch

    grid = hidden[:, n_special:]
    if which == "class_and_grid" and not n_special:
        raise ValueError("tokens=class_and_grid: this model has no class token; choose grid")
    tokens = {"all": hidden, "grid": grid, "pooled": grid}.get(which)
    if tokens is None:
        tokens = torch.cat([hidden[:, :1], grid], dim=1)
    if pool == "mean":
        pooled = tokens.mean(dim=1)
    elif own is not None:
        pooled = own.flatten(1)
    else:
        pooled = hidden[:, 0] if n_special else grid.mean(dim=1)
    return pooled, pooled[:, None] if which == "pooled" else tokens


def _load_timm(folder):
    """Build a model of timm in float32 with a folder's weights, once they are found to fit."""
    import timm

    about = read_config(folder)
    name, path = about.get("architecture"), folder / "config.json"
    if not isinstance(name, str) or not timm.is_model(name):
        raise ValueError(f"{path} is of {name!r}, no architecture of timm: `timm.list_models()`")
    files = weight_files(folder)
    if len(files) != 1:
        raise ValueError(f"{folder} has its weights in {len(files)} files: timm reads one")
    arguments = about.get("model_args") or {}
    others = sorted(set(arguments) & set(inspect.signature(timm.create_model).parameters))
    if others:
        raise ValueError(f"{path}: model_args names {others[0]}, which is no size of a network")
    headless = arguments | {"num_classes": 0}
    check_fit(lambda: timm.create_model(name, **headless), files, path)
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except Exception as error:  # timm and torch each raise their own
        lines = str(error).splitlines() or [""]
        raise ValueError(
            f"{folder} cannot be loaded by timm ({type(error).__name__}: {' '.join(lines[:2])}): "
            "its weights or its configuration are damaged; fetch it again"
        ) from error
    return model.float().eval().requires_grad_(False)


def _timm_preparation(model, path):
    from timm.data import create_transform, resolve_model_data_config

    about = resolve_model_data_config(model)
    check_sizes(list(about["input_size"]), LARGEST_PX, f"{path}: input_size")
    share = about["crop_pct"]
    if not (isinstance(share, int | float) and 1 / 16 <= share and math.isfinite(share)):
        raise ValueError(f"{path}: crop_pct is {share}: the file is damaged")
    return create_transform(**about, is_training=False)
