"""A sentence encoder as the target of texts: a local folder of transformers' own format."""

from pathlib import Path

import numpy as np

from neurodecode.core.claims import check_tensors
from neurodecode.core.documents import read_json
from neurodecode.weights import weights_folder

POOLINGS = ("mean_tokens", "cls_token")
OWN = {"local_files_only": True, "trust_remote_code": False}


class SentenceTarget:
    """Embed sentences by a transformer: the mean of its token vectors, at unit length [1]_.

    A folder of sentence-transformers says in ``1_Pooling/config.json`` whether the mean or the
    first token stands for the sentence; without that file the mean is taken.

    Parameters
    ----------
    model : str
        Folder with ``config.json``, tokenizer and weights (safetensors). Nothing is downloaded.
    batch : int
        Sentences embedded at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no ``config.json``.
    ValueError
        If the folder asks for a way of pooling other than the mean or the first token.

    References
    ----------
    .. [1] Reimers, N., & Gurevych, I. (2019). Sentence-BERT. EMNLP.
    """

    def __init__(self, model: str, batch: int = 128, device: str = "cpu"):
        folder = weights_folder(model)
        if folder is None or not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"{model!r} is not a folder with config.json: give that of a sentence encoder "
                "saved by transformers or sentence-transformers"
            )
        from transformers import AutoModel, AutoTokenizer

        for weights in folder.glob("*.safetensors"):
            check_tensors(weights)

        self.batch, self.device = batch, device
        self._first = _pooling(folder) == "cls_token"
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **OWN)
        self._model = AutoModel.from_pretrained(folder, use_safetensors=True, **OWN)
        self._model.eval().requires_grad_(False).to(device)
        self.dim = int(self._model.config.hidden_size)
        self.n_tokens = self.token_dim = 0  # it sees no pictures

    def texts(self, texts: list[str]) -> np.ndarray:
        """Embed sentences: float32 unit rows (n, dim); a sentence too long is cut by the model."""
        some = [
            self._embed(list(texts[i : i + self.batch])) for i in range(0, len(texts), self.batch)
        ]
        rows = np.concatenate(some)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _embed(self, texts):
        import torch

        words = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        words = words.to(self.device)
        with torch.inference_mode():
            vectors = self._model(**words).last_hidden_state  # (n, n_tokens, dim)
        if self._first:
            return vectors[:, 0].float().cpu().numpy()
        real = words["attention_mask"][..., None]
        return ((vectors * real).sum(dim=1) / real.sum(dim=1)).float().cpu().numpy()


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
