"""The folder of a model: shipped, on disk or from the hub, and checked before a library reads it.

Folders of others are hostile until they are checked: nothing but JSON, text and safetensors is
read, no code of theirs runs, and a configuration that claims another network than the weights fill
is refused before any memory is taken for it.
"""

import logging
import re
from contextlib import contextmanager
from pathlib import Path

from neurodecode.core.claims import check_sizes, check_tensors, is_plain
from neurodecode.core.documents import read_json
from neurodecode.weights import weights_folder

LARGEST = 1 << 20  # of any size in a configuration; vocabularies reach 250 000
DEEPEST = 200  # layers
READ = ("*.json", "*.safetensors", "*.txt", "*.model")  # what is fetched: no pickles, no code
RUNS_CODE = ("auto_map", "attn_implementation", "_attn_implementation", "quantization_config")
OTHERS = ("*.fp16.*", "open_clip_*", "*.msgpack")  # further copies of the same weights
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def model_folder(
    model: str, revision: str | None = None, subfolder: str = "", also: tuple = ()
) -> Path:
    """Find the folder that a model's name means, and fetch it if it is a hub's.

    Parameters
    ----------
    model : str
        ``shipped:name``, a folder, or a hub id ``owner/name``.
    revision : str, optional
        Commit, tag or branch of a hub id; None: its main branch as it is now.
    subfolder : str
        Where in it the model lies (``vae`` of a diffusers pipeline); "": at its top.
    also : tuple of str
        Other subfolders that are fetched with it (``tokenizer``).

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it cannot be fetched.
    ValueError
        If a folder is given a revision, or the subfolder leads elsewhere.
    """
    if subfolder and not all(map(is_plain, subfolder.split("/"))):
        raise ValueError(f"subfolder {subfolder!r}: name a folder within {model}")
    folder = weights_folder(model)
    if folder is not None and revision is not None:
        raise ValueError(
            f"revision={revision!r} is for a hub id, but {model!r} is a folder: drop one of the two"
        )
    folder = folder or _fetched(model, revision, (subfolder, *also))
    if not (folder / subfolder).is_dir():
        raise FileNotFoundError(f"{folder} has no folder {subfolder}: {_how(model, revision)}")
    return folder / subfolder


def need_files(folder, *names) -> None:
    """Refuse a folder that lacks a file; `names` may hold tuples, of which one is enough.

    Raises
    ------
    FileNotFoundError
        Saying which file is missing, and how to get it.
    """
    for name in names:
        either = (name,) if isinstance(name, str) else name
        if not any((Path(folder) / one).is_file() for one in either):
            raise FileNotFoundError(
                f"{folder} is incomplete: it has no {' and no '.join(either)}; {_how()}"
            )


def weight_files(folder, stem: str = "model") -> list[Path]:
    """List a folder's files of weights: ``STEM.safetensors``, or all its index names.

    Parameters
    ----------
    folder : path
    stem : str
        ``model`` of transformers and timm, ``diffusion_pytorch_model`` of diffusers.

    Raises
    ------
    FileNotFoundError
        If one is missing, or there are weights in an unsafe format only.
    FalseClaim
        If a header does not fit its file.
    """
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        files = [whole]
    elif index.is_file():
        files = [folder / name for name in _shards(index)]
    else:
        unsafe = sorted(p.name for end in ("bin", "pt", "ckpt") for p in folder.glob(f"*.{end}"))
        why = f"; {unsafe[0]} may run code and is not read" if unsafe else ""
        raise FileNotFoundError(f"{folder} is incomplete: it has no {whole.name}{why}; {_how()}")
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder} is incomplete: {index.name} names {file.name}, which is not there; "
                f"{_how()}"
            )
        check_tensors(file)
    return files


def read_config(folder, name: str = "config.json") -> dict:
    """Read a configuration; refuse sizes that no weights could fill, and keys that run code.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is no JSON object, a size is beyond `LARGEST`, a number of layers beyond `DEEPEST`, or
        a key of `RUNS_CODE` is set.
    """
    need_files(folder, name)
    path = Path(folder) / name
    about = read_json(path)
    check_sizes(about, LARGEST, str(path))
    for key, value in _leaves(about):
        if key in RUNS_CODE and value is not None:
            raise ValueError(
                f"{path} sets {key}, which may run code: it is not loaded; if the model is one of "
                "the library's own, take the key out"
            )
        if "layers" in str(key) or "depth" in str(key):
            check_sizes(value, DEEPEST, f"{path}: {key}")
    return about


def check_fit(make, files, what) -> None:
    """Refuse a configuration that makes a network of more parameters than its weights have bytes.

    Parameters
    ----------
    make : callable () -> torch.nn.Module
        Called where tensors take no memory.
    files : list of path
    what : path
        The configuration, for the message.

    Raises
    ------
    ValueError
    """
    import torch

    try:
        with torch.device("meta"), _quiet():
            shell = make()
    except Exception as error:  # of any class of the library, over whatever the file says
        raise ValueError(f"{what} makes no network ({error}): fetch it again") from error
    n_parameters = sum(p.numel() for p in shell.parameters())
    n_bytes = sum(file.stat().st_size for file in files)
    if n_parameters > n_bytes:
        raise ValueError(
            f"{what} makes a model of {n_parameters} parameters, and its weights have {n_bytes} "
            "bytes: they are of different models"
        )


def load_transformer(kind: str, folder, device: str = "cpu", unused: tuple = ()):
    """Load a network of transformers in float32, whole or not at all: (network, what it lacks).

    Parameters
    ----------
    kind : str
        Class of transformers, such as ``CLIPModel`` or ``AutoModel``.
    folder : path
    device : str
    unused : tuple of str
        Parts, by the beginning of their names, which the weights may lack. They are random then,
        and the caller must not read them.

    Returns
    -------
    model : torch.nn.Module
    lacking : list of str
        Names of the tensors of `unused` parts that the weights lack.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If configuration and weights are of different networks, or either is damaged.
    """
    import torch
    import transformers

    read_config(folder)
    files, made = weight_files(folder), getattr(transformers, kind)
    own = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **own)
    except Exception as error:  # transformers raises many, over whatever the file says
        raise ValueError(f"{folder}/config.json is of no known model ({error})") from error
    if kind.startswith("CLIPText") and hasattr(config, "text_config"):
        config = config.text_config
    make = made.from_config if kind.startswith("Auto") else made
    check_fit(lambda: make(config), files, folder / "config.json")
    how = own | {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        with _quiet(), _without_bars():
            model, found = made.from_pretrained(folder, **how)
    except Exception as error:
        raise ValueError(
            f"{folder} cannot be loaded by transformers ({_first_line(error)}): its weights or its "
            "configuration are damaged; fetch it again"
        ) from error
    lacking = check_whole(found, folder, unused)
    return model.eval().requires_grad_(False).to(device), lacking


def check_whole(found: dict, folder, unused: tuple = ()) -> list[str]:
    """Refuse a network of which some part was not in the weights: it would be random.

    Returns the names that are lacking and unused.

    Parameters
    ----------
    found : dict
        The loading info of transformers or diffusers.
    folder : path
    unused : tuple of str
        Beginnings of the names of parts that nobody reads.

    Raises
    ------
    ValueError
    """
    missing = sorted(found["missing_keys"])
    lacking = [name for name in missing if not name.startswith(tuple(unused))]
    lacking += sorted(str(mismatch[0]) for mismatch in found.get("mismatched_keys", ()))
    if lacking:
        raise ValueError(
            f"the weights in {folder} lack {len(lacking)} tensors of the network that its "
            f"config.json describes, such as {lacking[0]}: they are of another model"
        )
    return missing


def _fetched(model, revision, subfolders):
    from huggingface_hub import snapshot_download

    if not HUB_ID.fullmatch(model):
        raise FileNotFoundError(
            f"{model!r} is not a folder with config.json, and no hub id (owner/name): give either"
        )
    wanted = [f"{place}/{end}" if place else end for place in subfolders for end in READ]
    deeper = ["*/*"] if set(subfolders) == {""} else []  # the hub's * matches folders as well
    how = {"allow_patterns": wanted, "ignore_patterns": [*OTHERS, *deeper]}
    try:
        return Path(snapshot_download(model, revision=revision, **how))
    except Exception as error:  # the hub, its cache and the network each raise their own
        raise FileNotFoundError(
            f"{model} could not be fetched ({_first_line(error)}): without a network fetch it "
            f"elsewhere, {_how(model, revision)}, and name that folder"
        ) from error


def _how(model="OWNER/NAME", revision=None):
    at = f" --revision {revision}" if revision else ""
    return f"fetch it whole, `hf download {model}{at} --local-dir FOLDER`"


def _shards(index):
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise ValueError(f"{index} maps no tensors to files: fetch it again")
    shards = sorted(set(names.values()))
    strange = [n for n in shards if not is_plain(n) or not n.endswith(".safetensors")]
    if strange:
        raise ValueError(f"{index} names {strange[0]!r:.80}, which is no safetensors file there")
    return shards


def _leaves(node):
    for name, value in node.items():
        yield name, value
        if isinstance(value, dict):
            yield from _leaves(value)


def _first_line(error):
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]:.300}"


@contextmanager
def _quiet():
    """Silence libraries that warn of a shell without weights."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _without_bars():
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
