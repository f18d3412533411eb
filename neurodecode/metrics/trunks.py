"""The networks that published image metrics look through, and where their weights are found.

Each is used only with the very weights that published tables used: a file is recognised by the
digest in its name, an architecture by the names and shapes of its parameters. There is no fallback:
without its weights a network is `missing`, and its rows say so.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from neurodecode.core.claims import check_ratio, read_tensors
from neurodecode.core.documents import read_json
from neurodecode.core.download import download

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP_ARCHITECTURE = "ViT-L-14-quickgelu"  # open_clip's name of OpenAI's ViT-L/14
CLIP_FILE = "open_clip_model.safetensors"


@dataclass(frozen=True)
class Trunk:
    """A network, and how published tables feed and read it.

    Parameters
    ----------
    size_px : int
        Side of the pictures it is fed; no centre crop.
    mean, std : tuple of float
        Per channel, of pictures in [0, 1].
    nodes : dict of str to str
        First part of a row's name -> the module whose output is read, flattened.
    build : callable
        Make the architecture from a state dict: ``build(state) -> module``, strictly.
    file : str
        Name of the published file.
    source : str
        Its URL, or ``owner/name`` on the Hugging Face hub.
    """

    size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    nodes: dict[str, str]
    build: Callable
    file: str
    source: str

    def find(self, weights=None):
        """Find the weights' file: `weights` (a file, or a folder that holds `file`), else a cache.

        Without `weights`, that is torch hub's (``torch.hub.get_dir()/checkpoints``), or that of the
        Hugging Face hub.

        Returns
        -------
        path : Path or None
        reason : str or None
            Why there is none, and what to do.
        """
        place = Path(weights).expanduser() if weights else self._cached()
        path = place / self.file if place and place.is_dir() else place
        if path is None or not path.is_file():
            looked = f"no {self.file} in {place}" if weights else f"no {self.file} in the cache"
            return None, f"weights missing: {looked}; get it from {self.source}"
        wrong = _wrong_bytes(path) or _wrong_clip(path)
        return (None, wrong) if wrong else (path, None)

    def download(self):
        """Fetch the published file into the cache; OSError where that fails."""
        if not self._on_hub:
            download(self.source, _checkpoints() / self.file, sha256=_digest_in(self.file))
            return
        from huggingface_hub import hf_hub_download

        hf_hub_download(self.source, self.file)

    def load(self, path, device="cpu"):
        """Build the network with the weights of a file, ready to be read.

        Raises
        ------
        ValueError
            Where the file holds the weights of another network.
        """
        try:
            network = self.build(_state(path))
        except (RuntimeError, KeyError) as error:
            told = " ".join(str(error).split())[:300]
            raise ValueError(f"{path} does not hold the weights of {self.file}: {told}") from error
        return network.eval().requires_grad_(False).to(device)

    def prepare(self, pictures):
        """Normalise float pictures (n, size, size, 3) in [0, 1]: a tensor (n, 3, size, size)."""
        import torch

        normal = (pictures - np.float32(self.mean)) / np.float32(self.std)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(normal, -1, 1)))

    def read(self, network, pictures, device="cpu"):
        """Run the network and read its nodes: ``{row: (n, d) float32}``."""
        import torch

        outputs, hooks = {}, []
        for row, node in self.nodes.items():
            keep = lambda module, given, out, row=row: outputs.update({row: out.flatten(1).clone()})
            hooks.append(network.get_submodule(node).register_forward_hook(keep))
        with torch.inference_mode():
            network(self.prepare(pictures).to(device))
        for hook in hooks:
            hook.remove()
        return {row: outputs[row].float().cpu().numpy() for row in self.nodes}

    @property
    def _on_hub(self):
        return "://" not in self.source

    def _cached(self):
        if not self._on_hub:
            return _checkpoints() / self.file
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.source, self.file)
        return Path(found) if isinstance(found, str) else None


def torchvision_network(name, **how):
    """Build a torchvision architecture from its whole state dict: ``build`` of a `Trunk`."""

    def build(state):
        import torchvision

        network = getattr(torchvision.models, name)(weights=None, **how)
        network.load_state_dict(state)
        return network

    return build


def swav_network(state):
    """Build SwAV's ResNet-50 from its training checkpoint: ``module.`` before every key.

    The projection head and the prototypes are of training only; the classifier was never trained,
    and comes after the node that is read.
    """
    import torch
    import torchvision

    trained = {key.removeprefix("module."): value for key, value in state.items()}
    trunk = {k: v for k, v in trained.items() if not k.startswith(("projection_head", "prototype"))}
    network = torchvision.models.resnet50(weights=None)
    found = network.load_state_dict(trunk, strict=False)
    lacking = [key for key in found.missing_keys if not key.startswith("fc.")]
    if lacking or found.unexpected_keys:
        raise KeyError(f"missing {lacking[:3]}, unexpected {found.unexpected_keys[:3]}")
    network.fc = torch.nn.Identity()
    return network


def clip_network(state):
    """Build the visual tower of OpenAI's CLIP ViT-L/14 from open_clip's state dict."""
    import open_clip
    import torch

    network = open_clip.create_model(CLIP_ARCHITECTURE, precision="fp32", load_weights=False)
    network.load_state_dict(state)
    return torch.nn.Sequential(network.visual)  # the tower is node "0"; its texts are not needed


def _state(path):
    import torch

    if path.suffix == ".safetensors":
        return read_tensors(path, "torch")
    _check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of its unpickler, of zip files, or of numbers out of range
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{path} is no file of weights alone ({told}): pickles may run code, and are not opened"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds {type(state).__name__}, not weights by name")
    return state.get("state_dict", state)


def _check_archive(path):
    """Refuse a checkpoint, a zip file since torch 1.6, that unpacks to more than its size."""
    import zipfile

    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is a damaged archive ({error}): fetch it again") from error
    for entry in entries:
        check_ratio(f"{path}: {entry.filename}", entry.file_size, entry.compress_size)


def _checkpoints():
    """Where torch hub keeps its files: ``torch.hub.get_dir()``, without importing torch for it."""
    cached = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", Path(cached) / "torch"))
    return home.expanduser() / "hub/checkpoints"


def _digest_in(name):
    found = re.search(r"-([0-9a-f]{8})\.", name)
    return found and found.group(1)


def _wrong_bytes(path):
    """Say so where the digest in a published file's name is not that of its bytes."""
    said = _digest_in(path.name)
    if said and not _digest(path, path.stat().st_mtime_ns).startswith(said):
        return f"weights damaged: the bytes of {path} are not those its name promises; get it anew"
    return None


def _wrong_clip(path):
    """Say so where open_clip's configuration beside the weights is that of another model."""
    beside = path.with_name("open_clip_config.json")
    if path.name != CLIP_FILE or not beside.is_file():
        return None
    import open_clip

    said = read_json(beside).get("model_cfg", {})
    asked = open_clip.get_model_config(CLIP_ARCHITECTURE)
    differs = [k for k in ("embed_dim", "quick_gelu") if said.get(k) != asked.get(k)]
    vision = said.get("vision_cfg", {})
    differs += [k for k, value in asked["vision_cfg"].items() if vision.get(k) != value]
    if differs:
        return f"weights missing: {path.parent} is not {CLIP_ARCHITECTURE} ({', '.join(differs)})"
    return None


@cache
def _digest(path, changed):
    return hashlib.sha256(path.read_bytes()).hexdigest()


TORCH = "https://download.pytorch.org/models/"
TRUNKS = {
    "alexnet": Trunk(
        256,
        *IMAGENET,
        {"alexnet2": "features.4", "alexnet5": "features.11"},
        torchvision_network("alexnet"),
        "alexnet-owt-7be5be79.pth",
        TORCH + "alexnet-owt-7be5be79.pth",
    ),
    # transform_input: what torchvision switches on with its weights, which were trained elsewhere
    "inception": Trunk(
        342,
        *IMAGENET,
        {"inception": "avgpool"},
        torchvision_network("inception_v3", transform_input=True, init_weights=False),
        "inception_v3_google-0cc3c7bd.pth",
        TORCH + "inception_v3_google-0cc3c7bd.pth",
    ),
    "clip": Trunk(
        224,
        *CLIP,
        {"clip": "0"},
        clip_network,
        CLIP_FILE,
        "timm/vit_large_patch14_clip_224.openai",
    ),
    "effnet": Trunk(
        255,
        *IMAGENET,
        {"effnet": "avgpool"},
        torchvision_network("efficientnet_b1"),
        "efficientnet_b1-c27df63c.pth",
        TORCH + "efficientnet_b1-c27df63c.pth",
    ),
    "swav": Trunk(
        224,
        *IMAGENET,
        {"swav": "avgpool"},
        swav_network,
        "swav_800ep_pretrain.pth.tar",
        "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
    ),
}
