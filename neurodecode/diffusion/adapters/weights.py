"""Where a pipeline of diffusers lies, in which numbers it computes, how it is kept in memory."""

import importlib.util
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurodecode.diffusion.folder import check_folder
from neurodecode.weights import weights_folder

Dtype = Literal["float32", "float16", "bfloat16"]
Memory = Literal["all_on_device", "offload", "sequential", "tiled"]
SHARDS = ("*/*.safetensors", "*/*.safetensors.index*.json")


@dataclass(frozen=True)
class Weights:
    """How the weights of a pipeline are found and kept.

    Parameters
    ----------
    path : str
        A folder in diffusers' layout, or the id of a repository of the hub, which is downloaded.
    revision : str or None
        Commit or branch of the repository; None: its newest.
    variant : str or None
        Of the files of weights, such as ``fp16``; None: the plain ones.
    dtype : {"float32", "float16", "bfloat16"}
        The numbers it computes with.
    memory : {"all_on_device", "offload", "sequential", "tiled"}
        All parts on the device; only the part at work; only the layer at work (slow); or all on
        the device with pictures encoded and decoded one by one, in tiles.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    ValueError
        For float16 on a CPU, or an offload that cannot be.
    """

    path: str
    revision: str | None = None
    variant: str | None = None
    dtype: Dtype = "float32"
    memory: Memory = "all_on_device"
    device: str = "cpu"

    def __post_init__(self):
        on_cpu = str(self.device).startswith("cpu")
        if self.dtype == "float16" and on_cpu:
            raise ValueError(
                "dtype=float16 on device=cpu: CPUs have no fast half precision, and some layers "
                "none; take dtype=float32 or bfloat16, or device=cuda"
            )
        if self.memory not in ("offload", "sequential"):
            return
        if on_cpu:
            raise ValueError(
                f"memory={self.memory} moves parts between a GPU and the CPU, and device=cpu has "
                "no GPU: take memory=all_on_device or tiled, or device=cuda"
            )
        if importlib.util.find_spec("accelerate") is None:
            raise ValueError(
                f"memory={self.memory} needs the package accelerate: pip install accelerate, or "
                "take memory=all_on_device or tiled"
            )

    def folder(self, without: Sequence[str] = ()) -> Path:
        """Find the folder, downloading the repository's safetensors if it is one of the hub.

        Raises
        ------
        FileNotFoundError
            If there is no such folder and the hub gives none.
        """
        found = weights_folder(self.path)
        if found is not None:
            return found
        weights = [f"*/*.{self.variant}*.safetensors"] if self.variant else [SHARDS[0]]
        others = [] if self.variant else ["*.fp16*", "*.non_ema*"]
        return downloaded(
            self.path,
            self.revision,
            allow=["model_index.json", "*/*.json", "*/*.txt", *weights],
            ignore=[*others, *(f"{name}/*" for name in without)],
        )

    def pipeline(self, kind: type, needed: Sequence[str], without: Sequence[str] = (), **parts):
        """Load a pipeline, once its folder is found to be whole and what it says.

        Parameters
        ----------
        kind : class of diffusers
        needed : sequence of str
            Parts that it must have.
        without : sequence of str
            Parts that are left out.
        **parts : object
            Loaded already.
        """
        folder = self.folder(without)
        hub = self.path if weights_folder(self.path) is None else None
        check_folder(folder, needed, self.variant, [*without, *parts], hub)
        return self.read(kind, folder, **_left_out(kind, without), **parts)

    def read(self, kind: type, folder: Path, **options):
        """Call `kind.from_pretrained` on files that are there and run no code."""
        import torch

        with quiet():
            try:
                return kind.from_pretrained(
                    str(folder),
                    dtype=getattr(torch, self.dtype),
                    variant=self.variant,
                    local_files_only=True,
                    low_cpu_mem_usage=importlib.util.find_spec("accelerate") is not None,
                    use_safetensors=True,
                    trust_remote_code=False,
                    **options,
                )
            except Exception as error:  # any of its parts' own
                raise ValueError(
                    f"{folder} cannot be loaded by diffusers ({type(error).__name__}: {error}): a "
                    "part of it is damaged; fetch it again"
                ) from error

    def place(self, pipeline):
        """Put a pipeline where `memory` says, and return it."""
        if self.memory == "offload":
            pipeline.enable_model_cpu_offload(device=self.device)
        elif self.memory == "sequential":
            pipeline.enable_sequential_cpu_offload(device=self.device)
        else:
            pipeline.to(self.device)
        if self.memory != "all_on_device":
            pipeline.vae.enable_slicing()
        if self.memory == "tiled":
            pipeline.vae.enable_tiling()
        return pipeline


def downloaded(hub, revision, allow, ignore=()):
    """Fetch files of a repository of the hub, if they are not there yet: their folder.

    Raises
    ------
    FileNotFoundError
        If it gives none: there is no such repository, or no connection.
    """
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            hub, revision=revision, allow_patterns=list(allow), ignore_patterns=list(ignore)
        )
    except (OSError, ValueError) as error:  # what the hub's own errors are
        raise FileNotFoundError(
            f"{hub!r} is no folder here, and the hub gives none ({type(error).__name__}): where "
            f"there is a connection, hf download {hub} --local-dir FOLDER, then name that folder"
        ) from error
    return Path(found)


@contextmanager
def quiet():
    """Load without the libraries' bars and advice, such as to install accelerate."""
    from diffusers.utils import logging
    from transformers.utils import logging as other

    before = [(log, log.is_progress_bar_enabled(), log.get_verbosity()) for log in (logging, other)]
    for log, *_ in before:
        log.disable_progress_bar()
        log.set_verbosity_error()
    try:
        yield
    finally:
        for log, bar, level in before:
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()


def _left_out(kind, without):
    """None for each part that a pipeline would have; nothing for those it has not."""
    import inspect

    known = inspect.signature(kind.__init__).parameters
    return {name: None for name in without if name in known}
