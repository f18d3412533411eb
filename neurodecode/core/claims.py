"""What the header of an array file claims, against what the file has: before anything is read."""

import ast
import importlib
import json
import math
import zlib
from pathlib import Path

from neurodecode.core.errors import UserError

BITS = {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16}
BITS |= {"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64}
BITS |= {"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8}
BITS |= {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
NPY_HEADER = 10_000  # numpy's own limit
TENSORS_HEADER = 100 << 20  # as safetensors' own reader
DEFLATE = 1032  # more bytes than this one byte of a gzip stream cannot stand for
LIKELY = 100  # and this is more than recordings ever shrink
SMALL = 256 << 20  # below this much memory nobody asks how far a file was compressed


class FalseClaim(UserError, ValueError):
    """A file whose header tells of other bytes than there are."""


def check_npy(path, size=None, file=None):
    """Compare the header of an ``.npy`` file with its size.

    Parameters
    ----------
    path : path
    size : int, optional
        Bytes there are; None: of the file.
    file : binary file, optional
        Already open, at the start of the array (in an ``.npz``).

    Raises
    ------
    FalseClaim
        If it is no array, holds Python objects, or its header claims other bytes than there are.
    """
    from numpy.lib import format as npy

    if file is None:
        size = _size(path)
        with open(path, "rb") as opened:
            return check_npy(path, size, opened)
    start = file.read(8)
    if start[:6] != npy.MAGIC_PREFIX or start[6] not in (1, 2, 3):
        raise FalseClaim(f"{path} is not a NumPy array (.npy): save it by np.save")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    begin = 8 + width + length
    if length > NPY_HEADER or begin > size:
        raise FalseClaim(
            f"{path} claims a header of {length} bytes and has {size} in all: it is cut short or "
            "damaged; write it again"
        )
    shape, dtype = _npy_header(path, file.read(length))
    claimed = begin + math.prod(shape) * dtype.itemsize
    if claimed != size:
        raise FalseClaim(
            f"{path} claims an array of shape {shape} and {dtype}, {claimed} bytes, and has "
            f"{size}: it is cut short or damaged; write it again"
        )
    return None


def check_npz(path):
    """Compare the headers of the arrays in an ``.npz`` file with what it has.

    Raises FalseClaim, also where an array is compressed as no real one is.
    """
    import zipfile

    _size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                check_ratio(f"{path}: {entry.filename}", entry.file_size, entry.compress_size)
                with archive.open(entry) as file:
                    check_npy(f"{path}: {entry.filename}", entry.file_size, file)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError) as error:
        raise FalseClaim(f"{path} is no readable .npz ({error}): write it by np.savez") from error


def check_ratio(what, claimed, size):
    """Refuse a compressed stream that claims to hold more than it can, or than recordings do.

    Parameters
    ----------
    what : path or str
    claimed, size : int
        Bytes after and before it is unpacked.
    """
    if claimed > size * DEFLATE or (claimed > SMALL and claimed > size * LIKELY):
        raise FalseClaim(
            f"{what} claims {claimed} bytes in {size} compressed ones: no recording shrinks so "
            f"far ({LIKELY} times); it is damaged, or made to fill the memory, and is not read"
        )


def check_tensors(path):
    """Compare the header of a safetensors file with its size and with itself.

    Raises
    ------
    FalseClaim
        If the header is no JSON of tensors, or lengths, shapes and offsets do not fit the file.
    """
    size = _size(path)
    with open(path, "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(TENSORS_HEADER, size - 8):
            raise FalseClaim(
                f"{path} claims a header of {length} bytes and has {size} in all: it is no "
                "safetensors file, or is cut short; fetch it again"
            )
        text = file.read(length)
    end = 0
    for name, (first, last, claimed) in sorted(_spans(path, text).items(), key=lambda i: i[1]):
        if first != end or last - first != claimed:
            raise FalseClaim(
                f"{path} claims {claimed} bytes for {name!r} and gives it {last - first}, from "
                f"{first} (the one before ends at {end}): it is damaged; fetch it again"
            )
        end = last
    if 8 + length + end != size:
        raise FalseClaim(
            f"{path} claims {8 + length + end} bytes and has {size}: it is cut short or damaged; "
            "fetch it again"
        )


def read_tensors(path, framework="numpy"):
    """Read a safetensors file as ``{name: array}``, once its header is found to fit it.

    Parameters
    ----------
    path : path
    framework : {"numpy", "torch"}
        Whose arrays.

    Raises
    ------
    FalseClaim
        As `check_tensors` does, or for a type that the framework has not.
    """
    from safetensors import SafetensorError

    check_tensors(path)
    try:
        return importlib.import_module(f"safetensors.{framework}").load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise FalseClaim(f"{path} cannot be read ({error}): fetch it again") from error


def built_to_fit(make, weights, what):
    """Build a network, once it is found to have the parameters of a file: no more, no larger.

    Parameters
    ----------
    make : callable () -> torch.nn.Module
        Called first where tensors take no memory, so that a forged size costs none.
    weights : dict
        Arrays by name.
    what : str
        The file, for the message.

    Raises
    ------
    FalseClaim
        If the sizes in a configuration are not those of the weights.
    """
    import torch

    try:
        with torch.device("meta"):
            own = {name: tuple(t.shape) for name, t in make().state_dict().items()}
    except (TypeError, KeyError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        raise FalseClaim(f"{what}: no network can be made of these sizes ({error})") from error
    there = {name: tuple(array.shape) for name, array in weights.items()}
    differ = sorted(n for n in own.keys() | there.keys() if own.get(n) != there.get(n))
    if differ:
        raise FalseClaim(
            f"{what}: the sizes make {own.get(differ[0], 'nothing')} of {differ[0]}, the weights "
            f"hold {there.get(differ[0], 'nothing')} ({len(differ)} differ): configuration and "
            "weights are of different networks"
        )
    return make()


def check_sizes(node, most, where):
    """Refuse a configuration with a number beyond what its weights could fill.

    Parameters
    ----------
    node : object
        Of JSON.
    most : int
    where : str
    """
    if isinstance(node, dict):
        for name, value in node.items():
            check_sizes(value, most, f"{where}: {name}")
    elif isinstance(node, list):
        for value in node:
            check_sizes(value, most, where)
    elif isinstance(node, int | float) and not -most <= node <= most:
        raise FalseClaim(f"{where} is {node}, beyond {most}: the file is damaged")


def is_plain(name):
    """Whether a name leads to no other folder: no separator, not ``..``."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0")


def check_manifest(manifest, where):
    """Refuse a manifest that is not as the store writes it, or names files outside its folder.

    Raises
    ------
    UserError
    """
    files, config = manifest.get("files"), manifest.get("config", {})
    if not isinstance(files, dict) or not isinstance(config, dict):
        raise UserError(f"{where} names no files: it is damaged; run again")
    for name, about in files.items():
        sized = isinstance(about, dict) and isinstance(about.get("sha256"), str)
        sized = sized and type(about.get("size")) is int
        if not sized or not all(map(is_plain, name.split("/"))):
            raise UserError(
                f"{where} names the file {name!r:.80}: names lie below the artifact's folder and "
                "have a digest and a size; it is damaged, or made to lead elsewhere"
            )


def _size(path):
    path = Path(path)
    if path.is_dir():
        raise FalseClaim(f"{path} is a folder, where a file is expected")
    return path.stat().st_size


def _npy_header(path, header):
    """Shape and type of a header, which is a literal of Python; nothing in it is evaluated."""
    import numpy as np

    try:
        found = ast.literal_eval(header.decode("latin-1"))
        shape, dtype = found["shape"], np.dtype(found["descr"])
        whole = all(type(n) is int and n >= 0 for n in shape)
        whole &= set(found) == {"descr", "fortran_order", "shape"}
    except Exception as error:  # of a literal, a missing key, or no type of numpy
        raise FalseClaim(f"{path} has no readable header ({error}): write it again") from error
    if not whole:
        raise FalseClaim(f"{path} has the header {found}: it is damaged; write it again")
    if dtype.hasobject:
        raise FalseClaim(
            f"{path} holds Python objects, which may run code and are not opened: save numbers, or "
            "ids as text"
        )
    return shape, dtype


def _spans(path, text):
    """First and last byte, and bytes by shape and type, of every tensor of a header."""
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        return {
            name: (
                *map(int, entry["data_offsets"]),
                (math.prod(map(_whole, entry["shape"])) * BITS[entry["dtype"]] + 7) // 8,
            )
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FalseClaim(
            f"{path} has no readable header ({type(error).__name__}: {error}): it is no "
            "safetensors file, or damaged; fetch it again"
        ) from error


def _whole(n):
    if type(n) is not int or n < 0:
        raise ValueError(f"a length of {n}")
    return n
