"""Say in words what is on a picture, by an image-to-text model of transformers (GIT, BLIP, ...)."""

from pathlib import Path

import numpy as np

from neurodecode.core.claims import FalseClaim, check_sizes, check_tensors
from neurodecode.core.documents import read_json
from neurodecode.core.ranges import Count
from neurodecode.weights import weights_folder

LARGEST, DEEPEST = 1 << 20, 200  # of any size in a configuration; of its layers
NEEDED = ("config.json", "preprocessor_config.json", "tokenizer_config.json")


class PictureCaptioner:
    """A saved captioner as a function of pictures; greedy, so that it needs no seed.

    Parameters
    ----------
    model : str
        A folder as ``save_pretrained`` writes it (model and processor), or a hub name such as
        microsoft/git-base-coco or Salesforce/blip-image-captioning-base.
    prompt : str
        How a caption begins; "": the model says it all.
    longest : int
        Most tokens of a caption.
    batch : int
        Pictures told at once.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If the folder, or a file of it, is missing; the message says which.
    ValueError
        If transformers cannot make a captioner of it.
    """

    def __init__(
        self,
        model: str,
        prompt: str = "",
        longest: Count = 20,
        batch: Count = 16,
        device: str = "cpu",
    ):
        folder = weights_folder(model)
        if folder is not None:
            check_folder(folder)
        self.prompt, self.longest, self.batch, self.device = prompt, longest, batch, device
        self._processor, self._model = _loaded(folder or model)
        self._model = self._model.to(device).eval()

    def captions(self, pictures: np.ndarray) -> list[str]:
        """Caption uint8 pictures (n, height, width, 3), one text each."""
        starts = range(0, len(pictures), self.batch)
        return [text for i in starts for text in self._some(pictures[i : i + self.batch])]

    def _some(self, pictures):
        import torch

        how = {"text": [self.prompt] * len(pictures)} if self.prompt else {}
        given = self._processor(images=list(pictures), return_tensors="pt", **how)
        given = {name: tensor.to(self.device) for name, tensor in given.items()}
        with torch.inference_mode():
            told = self._model.generate(**given, max_new_tokens=self.longest, do_sample=False)
        texts = self._processor.batch_decode(told, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def check_folder(folder: Path) -> None:
    """Refuse a folder that lacks a file, or whose sizes and tensors cannot be."""
    weights = sorted(folder.glob("*.safetensors"))
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    # later versions of transformers keep all of the processor in one file
    if (folder / "processor_config.json").is_file() and NEEDED[1] in missing:
        missing.remove(NEEDED[1])
    missing += [] if weights else ["model.safetensors"]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: save model and processor there with "
            "save_pretrained, or fetch the whole folder (huggingface-cli download NAME "
            f"--local-dir {folder.name})"
        )
    for file in weights:
        check_tensors(file)
    config = read_json(folder / "config.json")
    check_sizes(config, LARGEST, f"{folder / 'config.json'}")
    for part in (config, *(c for c in config.values() if isinstance(c, dict))):
        check_sizes(part.get("num_hidden_layers", 0), DEEPEST, f"{folder / 'config.json'}: layers")
    _check_fit(folder, sum(file.stat().st_size for file in weights))


def _check_fit(folder, n_bytes):
    """Refuse a configuration that makes another network than the weights fill."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            shell = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
    except Exception as error:  # any of transformers' own
        raise ValueError(f"{folder} is no captioner of transformers ({error})") from error
    n_parameters = sum(p.numel() for p in shell.parameters())
    if n_parameters > n_bytes:
        raise FalseClaim(
            f"{folder / 'config.json'} makes a network of {n_parameters} parameters, and its "
            f"weights have {n_bytes} bytes: they are of different networks"
        )


def _loaded(place):
    """Load processor and model; safetensors alone, and no code of others."""
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    how = {"local_files_only": isinstance(place, Path), "trust_remote_code": False}
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, found = AutoModelForImageTextToText.from_pretrained(
            place, use_safetensors=True, output_loading_info=True, **how
        )
        processor = AutoProcessor.from_pretrained(place, **how)
    except Exception as error:  # any of transformers' own, and of the hub
        raise ValueError(
            f"{place} cannot be loaded by transformers ({type(error).__name__}: {error}): give a "
            "folder or a name of an image-to-text model, whole"
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()
    if lost := sorted(found["missing_keys"]):
        raise ValueError(
            f"{place} lacks {len(lost)} tensors of its network, such as {lost[0]}: fetch it again"
        )
    return processor, model
