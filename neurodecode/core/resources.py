"""What to say when a machine has too little of something: disk, rights, memory of the GPU."""

import errno
import re
import shutil
import sys
from pathlib import Path

from neurodecode.core.errors import DamagedArtifact, UserError

PRESETS = {"full": 1.0, "half": 0.5, "quarter": 0.25, "eighth": 0.125}  # conf/memory: of a batch
ROOM_BYTES = 4 << 20  # less than this is a full disk: file systems keep a little back
GIB = 1 << 30


class OutOfResources(UserError):
    """The disk is full, a folder cannot be written, or the GPU has too little memory."""


def explained(error, folder, memory="full"):
    """Turn an error that comes from the machine into one that says what to do.

    Parameters
    ----------
    error : Exception
    folder : path
        Where was being written.
    memory : str
        The preset of batch sizes in use, from conf/memory.

    Returns
    -------
    explained : OutOfResources or None
        None where the error has another cause.
    """
    if isinstance(error, UserError | DamagedArtifact):
        return None
    # a GPU without room for the first byte raises another error than a full one
    if "torch" in sys.modules and re.search(r"CUDA.*out of memory", str(error)):
        return OutOfResources(_gpu(error, memory))
    if isinstance(error, MemoryError):
        return OutOfResources(
            f"the main memory is full ({error}): ask for a machine with more, give fewer subjects "
            "at once (subjects=[…]), or fewer processes (n_jobs)"
        )
    number = getattr(error, "errno", None)
    full = number in (errno.ENOSPC, errno.EDQUOT)
    # libraries that write say it in their own ways, without the number
    if full or (_free(folder) < ROOM_BYTES and not isinstance(error, ValueError)):
        return OutOfResources(_disk(error, folder))
    if isinstance(error, PermissionError) or number == errno.EROFS:
        name = getattr(error, "filename", None) or folder
        return OutOfResources(
            f"{name} cannot be read or written ({_reason(error)}): give folders that are yours, "
            "store=… for the artifacts, hydra.run.dir=… for the run"
        )
    return None


def fitting_preset(needed_bytes, total_bytes, memory="full"):
    """Return the largest smaller preset that should fit, and what it would take in bytes.

    Memory is taken to grow with the size of the batches; a tenth of the device is kept free.

    Returns
    -------
    preset : str or None
        None if not even the smallest fits.
    bytes : float
    """
    whole = needed_bytes / PRESETS[memory]
    for name, share in PRESETS.items():
        if share < PRESETS[memory] and whole * share <= 0.9 * total_bytes:
            return name, whole * share
    return None, whole * min(PRESETS.values())


def _gpu(error, memory):
    total, others, held = _gpu_memory()
    needed = held + _asked(str(error))
    if others > total / 2:
        return (
            f"the GPU ran out of memory: other processes hold {others / GIB:.1f} of its "
            f"{total / GIB:.1f} GiB; choose another by CUDA_VISIBLE_DEVICES, wait, or give "
            "device=cpu. Finished stages are kept"
        )
    preset, takes = fitting_preset(needed, total - others, memory)
    way_out = (
        f"run again with memory={preset}, which should take about {takes / GIB:.1f} GiB"
        if preset
        else "not even memory=eighth should fit: choose a smaller model, or device=cpu"
    )
    return (
        f"the GPU ran out of memory: about {needed / GIB:.1f} GiB were needed with "
        f"memory={memory}, it has {total / GIB:.1f} GiB; {way_out}. Finished stages are kept"
    )


def _gpu_memory():
    """Bytes of the GPU, those that other processes hold, and the most that this one held."""
    import torch

    if not torch.cuda.is_available():
        return 0, 0, 0
    free, total = torch.cuda.mem_get_info()
    others = max(total - free - torch.cuda.memory_reserved(), 0)
    return total, others, torch.cuda.max_memory_reserved()


def _asked(text):
    """The bytes that a failed allocation asked for, from torch's message; 0 if it does not say."""
    found = re.search(r"allocate ([\d.]+) (B|KiB|MiB|GiB)", text)
    if found is None:
        return 0.0
    return float(found[1]) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": GIB}[found[2]]


def _disk(error, folder):
    name = getattr(error, "filename", None) or folder
    free = _free(folder)
    return (
        f"the disk is full: {name} could not be written ({_reason(error)}); {free / GIB:.2f} GiB "
        f"are left below {folder}. Nothing half-written is kept, what was finished is: free space "
        "or give store=/another/disk, then run the same command"
    )


def _reason(error):
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _free(folder):
    """Bytes left where a folder lies, or would lie."""
    folder = Path(folder).absolute()
    there = next(p for p in [folder, *folder.parents] if p.exists())
    return shutil.disk_usage(there).free
