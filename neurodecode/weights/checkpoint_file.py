"""A checkpoint of anybody's, opened without running anything of it: names and dense tensors.

What `torch.save` writes is a program that builds objects. It is read as weights only, and before
that its instructions are listed: names of tensors' parts pass; other classes (a namespace of
options, a number of NumPy's) are replaced by something inert; a network that was saved whole, or
what is made to run code, is refused. Archives must hold what their directory claims.
"""

import io
import pickletools
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.claims import FalseClaim, check_tensors, is_plain, read_tensors

MIB = 1 << 20
DIRECTORY = 16 * MIB  # of an archive: the list of its files
ENTRIES = 100_000
PROGRAM = 16 * MIB  # of pickled instructions, beside the tensors' bytes
INSTRUCTIONS = 5_000_000
TIMES = 2  # tied weights are one tensor under several names; beyond this nobody ties
DEEPEST = 4
WRAPPERS = ("model_state_dict", "state_dict", "model", "best_state", "all_models")
WRAPPERS += ("model_state", "module", "network")
PREFIXES = ("module.", "_orig_mod.", "_forward_module.")
DENSE = re.compile(
    r"torch(\.storage)?\.\w*Storage|torch\._utils\._rebuild_(tensor(_v2)?|parameter)"
    r"|torch\.nn\.parameter\.Parameter|torch\.(Size|device|bool|double|half|float|long|int)"
    r"|torch\.(bfloat|complex|float|u?int)\d+|(collections|_collections)\.(OrderedDict|Counter)"
    r"|_codecs\.encode|builtins\.(set|complex)"
)
OTHER_TENSORS = re.compile(r"torch\._(utils|tensor)\.\w+|torch(\.\w+)*\.\w*Tensor")
NETWORK = re.compile(r"torch\.nn\.(modules|parallel|quantized)\.")
RUNS_CODE = re.compile(
    r"(os|posix|nt|sys|subprocess|runpy|pty|socket|shutil|importlib|ctypes|code|webbrowser|operator"
    r"|builtins)(\.|$)"
)
HARMLESS = re.compile(r"(builtins|__builtin__)\.(list|dict|int|float|str|bool|tuple|object|slice)")
BEGINNINGS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file: fetch it with `git lfs pull`",
    b"<": "a page of the web, not a checkpoint: fetch the file itself",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"\x89HDF": "an HDF5 file, not a checkpoint of PyTorch",
    b"%PDF": "a PDF",
}
SAVE_STATE = (
    "where you trust it and its code is installed, save its weights alone, torch.save("
    "torch.load(FILE, weights_only=False).state_dict(), 'weights.pth'), and import weights.pth"
)


@dataclass(frozen=True)
class Checkpoint:
    """What was found in a file.

    Attributes
    ----------
    state : dict of Tensor
        By name, without the wrappers' prefixes; not copied to memory where the file allows it.
    within : tuple of str
        The keys that led to it, such as ``("model_state_dict",)``.
    left : tuple of str
        What else the file holds, by key: optimiser states, losses, epochs.
    inert : tuple of str
        Classes that the file names and that were not made.
    """

    state: dict
    within: tuple = ()
    left: tuple = ()
    inert: tuple = ()


def read_checkpoint(path) -> Checkpoint:
    """Read the tensors of a checkpoint: of torch.save, old or new, or safetensors.

    Parameters
    ----------
    path : path
        A file, or a folder with ``model.safetensors`` whole or in parts.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FalseClaim
        If it is no checkpoint, was saved whole, is damaged, or is made to run code or to fill the
        memory.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: name the checkpoint that was downloaded")
    check_room(path, path.stat().st_size)
    with open(path, "rb") as file:
        start = file.read(64)
    for beginning, what in BEGINNINGS.items():
        if start.startswith(beginning):
            raise FalseClaim(f"{path} is {what}")
    if start[8:9] == b"{":
        return Checkpoint(_stripped(read_tensors(path, "torch")))
    return _unpickled(path, start[:2] == b"PK")


def check_room(path, n_bytes: int) -> None:
    """Refuse what would not fit into the memory that is free; where that cannot be told, nothing.

    Raises
    ------
    FalseClaim
    """
    free = _free_memory()
    if free is not None and n_bytes > free:
        raise FalseClaim(
            f"{path} needs {n_bytes / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
            "import it on a machine with more"
        )


def _of_folder(folder):
    from neurodecode.weights.folders import weight_files

    shards = any(any(folder.rglob(p)) for p in ("*zero_pp_rank_*", "*_optim_states.pt"))
    if shards or (folder / "zero_to_fp32.py").is_file():
        raise FalseClaim(
            f"{folder} is a checkpoint of DeepSpeed ZeRO, whose weights lie in pieces: join them "
            f"by the script that DeepSpeed put there, python {folder}/zero_to_fp32.py {folder} "
            "weights.pth, and import weights.pth"
        )
    files = weight_files(folder)
    check_room(folder, sum(file.stat().st_size for file in files))
    state = {}
    for file in files:
        check_tensors(file)
        state |= read_tensors(file, "torch")
    return Checkpoint(_stripped(state))


def _unpickled(path, zipped):
    import torch

    sizes = _check_archive(path) if zipped else None
    inert = _check_program(path, zipped)
    stand_ins = [(_mapping if n.endswith(".defaultdict") else Inert, n) for n in inert]
    try:
        with torch.serialization.safe_globals(stand_ins):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch raises many, over whatever the file says
        told = (str(error).splitlines() or [""])[0]
        raise FalseClaim(
            f"{path} is no readable checkpoint ({type(error).__name__}: {told:.200}): it is cut "
            "short or damaged, fetch it again; if it holds more than tensors, "
            f"{SAVE_STATE}"
        ) from None
    state, within, left = weights_within(found)
    if not state:
        raise FalseClaim(
            f"{path} holds no weights by name{_holds(found)}: if it is a network that was saved "
            f"whole, {SAVE_STATE}"
        )
    _check_dense(path, state, sizes)
    return Checkpoint(_stripped(state), within, left, tuple(inert))


def weights_within(found, depth: int = 0) -> tuple[dict, tuple, tuple]:
    """Find the mapping of names to tensors in what a file holds, under the usual wrappers.

    Returns
    -------
    state : dict of Tensor
        Empty if there is none.
    within : tuple of str
        The keys that led to it.
    left : tuple of str
        The keys beside it on the way.
    """
    import torch

    if not isinstance(found, Mapping):
        return {}, (), ()
    beside = lambda taken: tuple(str(k) for k in found if k not in taken)
    for name in WRAPPERS:
        if depth < DEEPEST and isinstance(found.get(name), Mapping):
            state, within, left = weights_within(found[name], depth + 1)
            if state:
                return state, (name, *within), beside([name]) + left
    state = {k: v.detach() for k, v in found.items() if isinstance(k, str) and torch.is_tensor(v)}
    return state, (), beside(state)


class Inert(list):
    """What stands in for a class that a checkpoint names: it does nothing, whatever it is told."""

    def __init__(self, *_):
        super().__init__()

    def __setstate__(self, _):
        pass


def _mapping(*_):
    return {}


def _check_archive(path):
    """Refuse an archive that claims what it has not; return how often it has which sizes."""
    size = path.stat().st_size
    cut = f"{path} is an archive without its directory: it is cut short; fetch it again"
    with open(path, "rb") as file:
        file.seek(max(0, size - (1 << 16) - 128))
        end = file.read()
    at = end.rfind(b"PK\5\6")
    if at < 0 or len(end) - at < 22:
        raise FalseClaim(cut)
    length = struct.unpack_from("<I", end, at + 12)[0]
    large = end.rfind(b"PK\6\6", 0, at)
    if length == 0xFFFFFFFF and 0 <= large <= len(end) - 56:
        length = struct.unpack_from("<Q", end, large + 40)[0]
    if length > min(DIRECTORY, size):
        raise FalseClaim(f"{path} claims a directory of {length} bytes: it is damaged, or a bomb")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise FalseClaim(f"{cut} ({error})") from None
    _check_entries(path, entries, size)
    return Counter(e.file_size for e in entries if "/data/" in e.filename)


def _check_entries(path, entries, size):
    names = [e.filename for e in entries]
    wrong = next((n for n in names if not all(map(is_plain, n.rstrip("/").split("/")))), None)
    if wrong is not None or len(set(names)) < len(names) or len(names) > ENTRIES:
        raise FalseClaim(
            f"{path} has {len(names)} files within, {wrong or 'a name twice'!r:.80} among them: no "
            "checkpoint is written like that, and it is not read"
        )
    if any(n.endswith("/constants.pkl") for n in names):
        raise FalseClaim(f"{path} is a network of TorchScript, which is code: {SAVE_STATE}")
    packed = [e for e in entries if e.compress_type or e.file_size != e.compress_size]
    claimed = sum(e.file_size for e in entries)
    if packed or claimed > size:
        what = f"{packed[0].filename} compressed" if packed else f"{claimed} bytes in {size}"
        raise FalseClaim(
            f"{path} claims to hold {what}: checkpoints are not compressed; it is another archive, "
            "or made to fill the memory"
        )
    programs = [e for e in entries if e.filename.endswith("/data.pkl")]
    if len(programs) != 1 or programs[0].file_size > PROGRAM:
        raise FalseClaim(f"{path} is an archive, and no checkpoint: it has no readable data.pkl")


def _check_program(path, zipped):
    """List what a checkpoint's instructions name; refuse what is no weights.

    Returns the names of classes that are to be replaced by something inert.
    """
    try:
        with open(path, "rb") as file:
            named = _named(path, io.BytesIO(_program(path)) if zipped else file, 1 if zipped else 5)
    except FalseClaim:
        raise
    except Exception as error:  # pickletools raises many, over whatever the file says
        raise FalseClaim(
            f"{path} is no checkpoint: neither safetensors nor a file of torch.save "
            f"({type(error).__name__}: {error!s:.100})"
        ) from None
    others = sorted(n for n in named if not DENSE.fullmatch(n))
    if network := next(filter(NETWORK.match, others), None):
        raise FalseClaim(
            f"{path} is a network that was saved whole ({network}): to open it would run its code, "
            f"so nothing of it was read; {SAVE_STATE}"
        )
    if evil := next((n for n in others if RUNS_CODE.match(n) and not HARMLESS.match(n)), None):
        raise FalseClaim(
            f"{path} names {evil}, which no weights need: it may be made to run code, and nothing "
            "of it was read"
        )
    if other := next(filter(OTHER_TENSORS.fullmatch, others), None):
        raise FalseClaim(
            f"{path} holds tensors that are not dense numbers ({other}): save plain ones, "
            "`{k: v.to_dense() for k, v in state.items()}`"
        )
    return others


def _program(path):
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        return archive.read(name)


def _named(path, file, n_parts):
    """The classes that pickled instructions name; nothing is carried out."""
    named, n = set(), 0
    for _ in range(n_parts):
        for code, argument, _ in pickletools.genops(file):
            n += 1
            if code.name == "GLOBAL":
                named.add(_named_now(argument.replace(" ", ".")))
            if code.name in ("STACK_GLOBAL", "INST", "OBJ") or n > INSTRUCTIONS:
                raise FalseClaim(
                    f"{path} was pickled in a way that torch.save does not use ({code.name}): "
                    f"{SAVE_STATE}"
                )
    return named


def _named_now(name):
    """What Python 3 calls a class that is pickled under its name of Python 2, as torch reads it."""
    module, dot, rest = name.partition(".")
    return {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module) + dot + rest


def _check_dense(path, state, sizes):
    """Refuse tensors that claim more than there is: repeated, empty or overlapping storage."""
    import torch

    claimed, total = {}, 0
    for name, tensor in state.items():
        storage = tensor.untyped_storage() if tensor.layout is torch.strided else None
        n_bytes = tensor.numel() * tensor.element_size()
        total += n_bytes
        if storage is None or tensor.is_quantized or not 0 < n_bytes <= storage.nbytes():
            raise FalseClaim(
                f"{path}: {name:.80} claims the shape {tuple(tensor.shape)}, which its numbers do "
                "not fill: it is damaged, or made to fill the memory"
            )
        claimed[storage.data_ptr()] = storage.nbytes()
    strange = Counter(claimed.values()) - sizes if sizes is not None else {}
    if total > TIMES * path.stat().st_size or strange:
        raise FalseClaim(
            f"{path} has {path.stat().st_size} bytes, and its tensors claim {total} of them in "
            "other pieces than there are: it is damaged, or made to fill the memory"
        )


def _stripped(state):
    """Without the prefixes of wrappers (data parallel, compiled) that all names share."""
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return _stripped({n.removeprefix(prefix): tensor for n, tensor in state.items()})
    return state


def _holds(found):
    keys = ", ".join(map(str, list(found)[:6])) if isinstance(found, Mapping) else ""
    return f" (only {keys:.200})" if keys else ""


def _free_memory():
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    text = found.get("MemAvailable", "").split()
    return int(text[0]) * 1024 if text else None
