"""Text towers as targets: sentence encoders, CLIP's text side, T5 [1]_, in transformers' format.

References
----------
.. [1] Raffel, C. et al. (2020). Exploring the limits of transfer learning with a unified
   text-to-text transformer. JMLR.
.. [2] Reimers, N., & Gurevych, I. (2019). Sentence-BERT. EMNLP.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from neurodecode.contrastive.clip import projected_sentences, tokenizer_of
from neurodecode.contrastive.embedding import in_batches, slices
from neurodecode.core.documents import read_json
from neurodecode.core.ranges import Count
from neurodecode.weights.folders import load_transformer, model_folder, read_config

POOLINGS = ("mean_tokens", "cls_token")
CLIP = ("clip", "clip_text_model")  # model types of transformers
ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
Tokens = Literal["none", "last", "penultimate", "projected"]


class SentenceTarget:
    """Embed sentences by a transformer: at unit length, and word by word where that is wanted.

    A sentence is the mean of its token vectors [2]_; of a folder of sentence-transformers whose
    ``1_Pooling/config.json`` says so, its first token; of a CLIP, what CLIP pools, projected where
    the model has a projection.

    Parameters
    ----------
    model : str
        Folder with ``config.json``, tokenizer and ``model.safetensors``, or a hub id.
    revision : str or None
        Commit, tag or branch of a hub id.
    subfolder : str
        Where the encoder lies in it (``text_encoder`` of a diffusers pipeline, whose tokenizer lies
        in ``tokenizer`` beside it).
    tokens : str
        ``none``; ``last``: after the last block and norm, as Stable Diffusion is conditioned
        (77 x 768 of ViT-L/14); ``penultimate``: after the last block but one, without a norm, as
        SDXL is; ``projected``: of a CLIP, projected and divided by the length of the pooled
        embedding, as Versatile Diffusion is.
    words : int or None
        Tokens of a sentence, cut or padded to; None: 77 of a CLIP, else as many as it reads, at
        most 512.
    batch : int
        Sentences embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it lacks a file, naming it.
    ValueError
        If the folder asks for a way of pooling other than the mean or the first token, or the model
        has no such tokens.
    """

    takes = ("texts",)

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        subfolder: str = "",
        tokens: Tokens = "none",
        words: Count | None = None,
        batch: int = 128,
        device: str = "cpu",
    ):
        folder = model_folder(model, revision, subfolder, also=("1_Pooling", "tokenizer"))
        about = read_config(folder)
        kind = about.get("model_type")
        self._is_clip = kind in CLIP
        self._tokenizer = tokenizer_of(folder)
        self._model, _ = load_transformer(_class_of(about), folder, device, ("pooler.",))
        self._projects = hasattr(self._model, "text_projection")
        if tokens == "projected" and not self._projects:
            raise ValueError(f"{folder} projects nothing: choose tokens=last or tokens=penultimate")
        self._first = _pooling(folder) == "cls_token"
        self._which, self.batch, self.device = tokens, batch, device
        self._words = words or self._longest()
        config = self._model.config
        projection = self._model.text_projection if self._projects else None
        self.dim = int(projection.out_features if projection else config.hidden_size)
        self.n_tokens = self._words if tokens != "none" else 0
        self.token_dim = int(self.dim if tokens == "projected" else config.hidden_size)
        self.token_dim *= tokens != "none"

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: float32 unit rows (n, dim); a sentence too long is cut."""
        return self._embedded(texts)[0]

    def text_tokens(self, texts: list[str]) -> np.ndarray:
        """Embed sentences word by word: float32 (n, n_tokens, token_dim)."""
        return self._embedded(texts)[1]

    def _longest(self):
        if self._is_clip:
            return 77
        most = getattr(self._model.config, "max_position_embeddings", None) or 512
        return min(self._tokenizer.model_max_length, most, 512)

    def _embedded(self, texts):
        return in_batches(self._embed, slices(list(texts), self.batch))

    def _embed(self, texts):
        """Pooled embeddings (n, dim), and tokens (n, n_tokens, token_dim), or one of no length."""
        if self._which == "projected":
            return projected_sentences(
                self._model, self._tokenizer, texts, self.device, self._words
            )
        import torch

        with torch.inference_mode():
            words, said = self._said(texts)
            pooled = self._pooled(words, said)
        if self._which == "none":
            return pooled, pooled[:, None, :0]
        return pooled, said.last_hidden_state if self._which == "last" else said.hidden_states[-2]

    def _said(self, texts):
        """The words of sentences, padded, and what the encoder makes of them."""
        whole = self._which != "none" or self._is_clip
        words = self._tokenizer(
            texts,
            padding="max_length" if whole else True,
            max_length=self._words,
            truncation=True,
            return_tensors="pt",
        ).to(self.device)
        if self._is_clip:  # its attention looks back only, and pipelines let padding look too
            words = {"input_ids": words["input_ids"]}
        encoder = getattr(self._model, "text_model", self._model)
        return words, encoder(**words, output_hidden_states=True)

    def _pooled(self, words, said):
        if self._is_clip:
            pooled = said.pooler_output
            return self._model.text_projection(pooled) if self._projects else pooled
        vectors = said.last_hidden_state
        if self._first:
            return vectors[:, 0]
        real = words["attention_mask"][..., None]
        return (vectors * real).sum(dim=1) / real.sum(dim=1)


def _class_of(about):
    """The class of transformers that encodes texts and nothing else."""
    kind = about.get("model_type")
    if kind == "clip":
        return "CLIPTextModelWithProjection"
    if kind == "clip_text_model":
        return (about.get("architectures") or ["CLIPTextModel"])[0]
    return ENCODERS.get(kind, "AutoModel")


def _pooling(folder: Path) -> str:
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean_tokens"
    said = read_json(path)
    chosen = [name.removeprefix("pooling_mode_") for name, on in said.items() if on is True]
    modes = [name for name in chosen if f"pooling_mode_{name}" in said]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ValueError(f"{path} asks for {modes}: known are one of {', '.join(POOLINGS)}")
    return modes[0]
