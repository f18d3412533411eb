"""A CLIP [1]_ in transformers' format as a target, with the tokens that published decoders read.

References
----------
.. [1] Radford, A. et al. (2021). Learning transferable visual models from natural language
   supervision. ICML.
.. [2] Xu, X. et al. (2023). Versatile Diffusion. ICCV.
"""

from typing import Literal

import numpy as np

from neurodecode.contrastive.embedding import (
    as_numpy,
    image_processor,
    in_batches,
    layers_of,
    prepared,
    slices,
    unit,
)
from neurodecode.weights.folders import load_transformer, model_folder, need_files, read_config

WHOLE, VISION = "clip", "clip_vision_model"  # model types of transformers


class ClipTarget:
    """A CLIP of transformers as a target (``openai/clip-vit-large-patch14`` and its like).

    The pooled embedding is the projected class token, at unit length. The tokens are one of these:

    - ``projected``: class token and patches after the last block, each normalised and projected as
      the class token alone is meant to be, then all divided by the length of the class token: what
      Versatile Diffusion [2]_, MindEye1, UMBRAE and MindBridge read of ViT-L/14 (257 x 768);
    - ``penultimate``: class token and patches after the last block but one, without a norm, which
      IP-Adapter plus reads of ViT-H-14 (257 x 1280);
    - ``pooled``: one token, the projected class token, not at unit length, which Stable unCLIP and
      IP-Adapter read.

    Parameters
    ----------
    model : str
        A folder with ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``, and
        a tokenizer if it is to embed texts, or a hub id. A vision tower alone
        (``CLIPVisionModelWithProjection``) embeds pictures only.
    revision : str or None
        Commit, tag or branch of a hub id.
    subfolder : str
        Where the model lies in it (``image_encoder`` of a Stable unCLIP).
    tokens : str
        Which tokens.
    batch : int
        Pictures or texts embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If a file is missing, naming it.
    ValueError
        If the folder is of no CLIP, or configuration and weights are of different models.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        subfolder: str = "",
        tokens: Literal["projected", "penultimate", "pooled"] = "projected",
        batch: int = 64,
        device: str = "cpu",
    ):
        folder = model_folder(model, revision, subfolder, also=("feature_extractor",))
        kind = read_config(folder).get("model_type")
        if kind not in (WHOLE, VISION):
            raise ValueError(
                f"{folder}/config.json is of a {kind}, not of a {WHOLE} or {VISION}: for other "
                "towers choose embed=dinov2_l, embed=timm or embed=clip_text"
            )
        self._processor = _processor(folder, whole=kind == WHOLE)
        made = "CLIPModel" if kind == WHOLE else "CLIPVisionModelWithProjection"
        self._model, _ = load_transformer(made, folder, device)
        self.takes = ("pictures", "texts") if kind == WHOLE else ("pictures",)
        self._tokenizer = tokenizer_of(folder) if kind == WHOLE else None
        self._which, self.batch, self.device = tokens, batch, device
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
        return in_batches(self._embed, self._batches(pictures))

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: float32 unit rows (n, dim); a sentence too long is cut."""
        return unit(np.concatenate([pooled for pooled, _ in self._sentences(texts)]))

    def text_tokens(self, texts: list[str]) -> np.ndarray:
        """Embed sentences word by word: float32 (n, 77, dim) of CLIP.

        Every token is projected, then all are divided by the length of the pooled embedding, as
        for pictures (Versatile Diffusion's text condition, UMBRAE's and MindBridge's target).
        """
        return np.concatenate([tokens for _, tokens in self._sentences(texts)])

    def layers(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """Represent pictures at a quarter, half and three quarters of the depth, and pooled.

        Returns
        -------
        layers : dict of str to ndarray of float32, shape (n, d)
            ``block_6``, ...: the patches after that block, flattened; ``pooled``.
        """

        def represent(rows):
            seen = self._seen(rows)
            blocks = [hidden[:, 1:] for hidden in seen.hidden_states[1:]]
            return blocks, self._model.visual_projection(seen.pooler_output)

        return layers_of(represent, self._batches(pictures))

    def _embed(self, rows):
        seen = self._seen(rows)
        project = self._model.visual_projection
        pooled = project(seen.pooler_output)
        if self._which == "pooled":
            return pooled, pooled[:, None]
        if self._which == "penultimate":
            return pooled, seen.hidden_states[-2]
        tokens = project(self._model.vision_model.post_layernorm(seen.last_hidden_state))
        return pooled, tokens / tokens[:, :1].norm(dim=-1, keepdim=True)

    def _seen(self, rows):
        import torch

        with torch.inference_mode():
            return self._model.vision_model(pixel_values=rows, output_hidden_states=True)

    def _sentences(self, texts):
        """Pooled embeddings and tokens of sentences, some at a time."""
        if self._tokenizer is None:
            raise ValueError("this CLIP is a vision tower alone: it embeds no texts")
        for some in slices(list(texts), self.batch):
            pooled, tokens = projected_sentences(self._model, self._tokenizer, some, self.device)
            yield as_numpy(pooled), as_numpy(tokens)

    def _batches(self, pictures):
        return prepared(pictures, self._processor, self.batch, self.device)


def tokenizer_of(folder):
    """Read the tokenizer of a model's folder, or of the folder ``tokenizer`` beside it.

    Raises
    ------
    FileNotFoundError
        If neither holds one.
    """
    from transformers import AutoTokenizer

    files = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
    beside = folder.parent / "tokenizer"
    place = beside if any((beside / name).is_file() for name in files) else folder
    if not any((folder / name).is_file() for name in files):
        need_files(place, files)
        folder = place
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many, over whatever the files say
        raise ValueError(f"{folder} holds no tokenizer ({error}): fetch it again") from error


def projected_sentences(model, tokenizer, texts: list[str], device: str, n_words: int = 77):
    """Embed sentences by the text side of a CLIP of transformers.

    Parameters
    ----------
    model : transformers.CLIPModel or CLIPTextModelWithProjection
    tokenizer : transformers tokenizer
    texts : list of str
    device : str
    n_words : int
        To which sentences are padded or cut.

    Returns
    -------
    pooled : tensor, shape (n, dim)
        Projected, not at unit length.
    tokens : tensor, shape (n, n_words, dim)
        Projected, divided by the length of `pooled`.
    """
    import torch

    words = tokenizer(
        texts, padding="max_length", max_length=n_words, truncation=True, return_tensors="pt"
    ).to(device)
    with torch.inference_mode():  # without a mask, as pipelines do: padding looks back as well
        said = model.text_model(input_ids=words["input_ids"])
        pooled = model.text_projection(said.pooler_output)
        tokens = model.text_projection(said.last_hidden_state)
    return pooled, tokens / pooled.norm(dim=-1)[:, None, None]


def _processor(folder, whole):
    """How pictures are prepared; a vision tower in a pipeline may leave that to its neighbour."""
    from transformers import CLIPImageProcessor

    beside = folder.parent / "feature_extractor"
    for place in (folder, beside):
        if (place / "preprocessor_config.json").is_file():
            return image_processor(place)
    if whole:
        need_files(folder, "preprocessor_config.json")
    side = read_config(folder).get("image_size", 224)
    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
