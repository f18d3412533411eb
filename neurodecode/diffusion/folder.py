"""Is the folder of a saved pipeline whole, and what it says it is? Before anything of it is loaded.

Naming a part imports its library, so parts may come from diffusers and transformers alone; a
configuration may claim any size, so each network is built once where tensors take no memory and
compared with the numbers that its weights hold.
"""

import inspect
from pathlib import Path

from neurodecode.core.claims import check_tensors
from neurodecode.core.documents import read_json
from neurodecode.weights.folders import read_config

LIBRARIES = {
    "diffusers": "diffusers",
    "transformers": "transformers",
    "stable_diffusion": "diffusers.pipelines.stable_diffusion",
    "versatile_diffusion": (
        "diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet"
    ),
}
READ_BY_NAME = {  # what a part without weights is read from: all of the files of one line
    "scheduler": [["scheduler_config.json"]],
    "tokenizer": [["tokenizer.json"], ["vocab.json", "merges.txt"]],
    "processor": [["preprocessor_config.json"]],
}


def check_folder(folder, needed, variant=None, without=(), hub=None):
    """Check the parts of a saved pipeline.

    Parameters
    ----------
    folder : path
        In diffusers' layout, with ``model_index.json``.
    needed : sequence of str
        Parts that must be there, such as ``unet``; others are checked where they are named.
    variant : str, optional
        Of the weights' files, such as ``fp16``.
    without : sequence of str
        Parts that will not be loaded, and need not be there.
    hub : str, optional
        Where to get it, for the message.

    Raises
    ------
    FileNotFoundError
        Listing all files that are missing, and how to get them.
    ValueError
        If a part is of another library, or its configuration is of other weights.
    """
    folder, get = Path(folder), _how_to_get(hub, folder)
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"{folder} is no folder with a model_index.json of diffusers, with {_and(needed)} "
            f"beside it{get}"
        )
    kinds = _kinds(folder, needed, without)
    missing = [f"{name}: model_index.json names none" for name in needed if name not in kinds]
    for name, kind in kinds.items():
        missing += [f"{name}/{file} is missing" for file in lacking(folder / name, kind, variant)]
    if missing:
        raise FileNotFoundError(f"{folder} is not whole: {'; '.join(missing)}{get}")
    for name, kind in kinds.items():
        if _has_weights(kind):
            check_network(folder / name, kind, variant)


def check_network(folder, kind, variant=None):
    """Refuse a network of other sizes than its weights: made up, they would take any memory.

    Parameters
    ----------
    folder : path
        With ``config.json`` and safetensors.
    kind : class
        Of diffusers or transformers.
    variant : str, optional
    """
    import torch

    path, config = folder / "config.json", read_config(folder)
    try:
        with torch.device("meta"):
            shell = _shell(kind, config)
    except Exception as error:  # any of a network's own, for numbers and types it cannot take
        raise ValueError(
            f"{path} makes no {kind.__name__} ({type(error).__name__}: {error}): fetch it again"
        ) from error
    n_parameters = sum(p.numel() for p in shell.parameters())
    n_numbers = sum(_count(file) for file in weight_files(folder, kind, variant))
    if n_parameters > n_numbers:
        raise ValueError(
            f"{path} makes a network of {n_parameters} parameters, and its weights hold "
            f"{n_numbers} numbers: they are of different networks"
        )


def weight_files(folder, kind, variant=None):
    """List the files of a network's weights: one, or the shards that an index names."""
    end = f".{variant}" if variant else ""
    stem = "model" if kind.__module__.startswith("transformers") else "diffusion_pytorch_model"
    for index in (f"{stem}.safetensors.index{end}.json", f"{stem}{end}.safetensors.index.json"):
        if (folder / index).is_file():
            shards = read_json(folder / index).get("weight_map", {})
            names = sorted({Path(str(name)).name for name in shards.values()})
            return [folder / name for name in names]
    return [folder / f"{stem}{end}.safetensors"]


def _kinds(folder, needed, without):
    """The classes of the parts that a pipeline's index names."""
    path = folder / "model_index.json"
    index = read_json(path)
    if not isinstance(index.get("_class_name"), str):
        raise ValueError(f"{path} names no pipeline: it is damaged")
    found = {}
    for name, part in index.items():
        plain = name.startswith("_") or part is None or isinstance(part, bool | int | float | str)
        if name in without or plain or part == [None, None]:
            if name in needed and not isinstance(part, list):
                raise ValueError(f"{path} takes its {name} from {part}: it is damaged")
            continue
        found[name] = _kind(name, part, path)
    return found


def _kind(name, part, path):
    import importlib

    library = part[0] if isinstance(part, list) and len(part) == 2 else None
    if library not in LIBRARIES or not isinstance(part[1], str) or "/" in name or ".." in name:
        raise ValueError(
            f"{path} takes its {name} from {part}: only parts of diffusers and transformers are "
            "loaded"
        )
    kind = getattr(importlib.import_module(LIBRARIES[library]), part[1], None)
    if not inspect.isclass(kind) or not hasattr(kind, "from_pretrained"):
        raise ValueError(
            f"{path} takes its {name} from {part}: the {library} installed here has no such part"
        )
    return kind


def lacking(folder, kind, variant):
    """Names of the files that a part needs and has not."""
    if not _has_weights(kind):
        role = [r for r in READ_BY_NAME if r in _role(kind)]
        choices = READ_BY_NAME[role[0]] if role else [[]]
        gaps = [[f for f in files if not (folder / f).is_file()] for files in choices]
        return min(gaps, key=len)
    files = [folder / "config.json", *weight_files(folder, kind, variant)]
    return [f.name + _instead(folder, f) for f in files if not f.is_file()]


def _instead(folder, file):
    """What lies there in place of a file of weights."""
    if file.suffix != ".safetensors":
        return ""
    others = sorted(f.name for f in folder.glob("*.safetensors"))
    if others:
        return f" (there is {_and(others)}: another variant=)"
    pickles = sorted(f.name for f in folder.glob("*.bin"))
    return f" (only {_and(pickles)}, a pickle, which is not opened)" if pickles else ""


def _role(kind):
    names = " ".join(c.__name__ for c in kind.__mro__).lower()
    return names.replace("imageprocessing", "processor").replace("featureextract", "processor")


def _has_weights(kind):
    from torch import nn

    return issubclass(kind, nn.Module)


def _shell(kind, config):
    if hasattr(kind, "from_config"):
        return kind.from_config(config)
    return kind(kind.config_class.from_dict(config))


def _count(file):
    """How many numbers a safetensors file holds."""
    import math

    from safetensors import safe_open

    check_tensors(file)
    with safe_open(file, framework="numpy") as opened:
        return sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())


def _how_to_get(hub, folder):
    return f"; get it by: hf download {hub} --local-dir {folder}" if hub else ""


def _and(names):
    return ", ".join(names)
