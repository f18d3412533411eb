"""Say in words what is on a picture, by an image-to-text model of transformers (GIT, BLIP, ...)."""

from pathlib import Path

import numpy as np

from neurodecode.core.ranges import Count
from neurodecode.weights.folders import load_transformer, model_folder

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
        folder = model_folder(model)
        check_folder(folder)
        self.prompt, self.longest, self.batch, self.device = prompt, longest, batch, device
        self._model, _ = load_transformer("AutoModelForImageTextToText", folder, device)
        self._processor = _processor(folder)

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
    """Refuse a folder that lacks a file, and name all that are missing."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    # later versions of transformers keep all of the processor in one file
    if (folder / "processor_config.json").is_file() and NEEDED[1] in missing:
        missing.remove(NEEDED[1])
    missing += [] if list(folder.glob("*.safetensors")) else ["model.safetensors"]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: save model and processor there with "
            f"save_pretrained, or fetch the whole, hf download NAME --local-dir {folder.name}"
        )


def _processor(folder):
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # any of transformers' own
        raise ValueError(
            f"{folder} has no processor that transformers can read ({type(error).__name__}: "
            f"{error}): fetch it again"
        ) from error
