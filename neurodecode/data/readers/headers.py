"""What the header of a recording claims, against what its file has: before anything is read.

Readers allocate what a header asks for. A few forged bytes ask for more memory than there is, let a
reader run in circles, or lead it to a file elsewhere. `check` looks at the lengths and names alone.
"""

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from neurodecode.core.claims import FalseClaim, check_ratio

NIFTI_HEADERS = {348: (40, 70, 108, "h", "f"), 540: (16, 12, 168, "q", "q")}
"""Size of the header -> places of dim, datatype, vox_offset, and types of the first and last."""
BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32}
BITS |= {1024: 64, 1280: 64, 1536: 128, 1792: 128, 2048: 256, 2304: 32}
FIF_TAGS = 5_000_000
CHANNELS = 20_000
ENTITY = re.compile(rb"<!ENTITY")
START = 1 << 16
MAT_MATRIX, MAT_COMPRESSED = 14, 15
MAT_CELL, MAT_STRUCT, MAT_OBJECT = 1, 2, 3
MAT_CHAR, MAT_SPARSE, MAT_LAST_NUMERIC = 4, 5, 15
MAT_NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
MAT_TEXTS = {16, 17, 18}
MAT_DEPTH = 32
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def check(path):
    """Check the header of a recording, by its ending; formats without claims pass.

    Parameters
    ----------
    path : path

    Raises
    ------
    FalseClaim
        Naming the file, what it claims, and what it has.
    """
    path = Path(path)
    checks = {
        (".nii", ".nii.gz"): check_nifti,
        (".gii",): check_gifti,
        (".fif", ".fif.gz"): check_fif,
        (".edf", ".bdf"): check_edf,
        (".vhdr",): check_brainvision,
        (".set",): check_eeglab,
        (".ds",): check_ctf,
    }
    for endings, one in checks.items():
        if path.name.endswith(endings):
            if path.is_dir() is not (endings == (".ds",)):
                kind = "folder" if path.is_dir() else "file"
                raise FalseClaim(f"{path} is a {kind}, which no recording of this ending is")
            one(path)


def check_nifti(path):
    """Compare the dimensions of a NIfTI file, of one or two, with its size."""
    size = path.stat().st_size
    packed = path.name.endswith(".gz")
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            header = file.read(544)
    except (OSError, EOFError, zlib.error) as error:
        raise FalseClaim(f"{path} is no readable gzip file ({error})") from None
    order = next((o for o in "<>" if _int(header, 0, o) in NIFTI_HEADERS), None)
    if order is None or len(header) < _int(header, 0, order):
        raise FalseClaim(f"{path} has no NIfTI header: it is cut short or damaged")
    dim_at, type_at, offset_at, dim_type, offset_type = NIFTI_HEADERS[_int(header, 0, order)]
    n, *dims = struct.unpack_from(f"{order}8{dim_type}", header, dim_at)
    (kind,) = struct.unpack_from(f"{order}h", header, type_at)
    (offset,) = struct.unpack_from(f"{order}{offset_type}", header, offset_at)
    if not 1 <= n <= 7 or any(d < 0 for d in dims[:n]) or kind not in BITS:
        raise FalseClaim(
            f"{path} claims {n} dimensions of {dims} and the data type {kind}: its header is "
            "damaged"
        )
    if not math.isfinite(offset) or offset < 0:
        raise FalseClaim(f"{path} claims that its values begin at byte {offset}: it is damaged")
    claimed = math.prod(dims[:n]) * BITS[kind] // 8
    if packed:
        check_ratio(path, int(offset) + claimed, size)
    elif offset + claimed > size:
        raise FalseClaim(
            f"{path} claims {' x '.join(map(str, dims[:n]))} values, {claimed} bytes from byte "
            f"{int(offset)}, and has {size}: it is cut short or damaged"
        )


def check_gifti(path):
    """Refuse a GIFTI file with entities, or with arrays that unpack to more than they claim."""
    import base64
    from xml.etree.ElementTree import ParseError, iterparse

    refuse_entities(path)
    size, sizes = path.stat().st_size, {"NIFTI_TYPE_UINT8": 1}
    inside = None
    try:
        for event, node in iterparse(str(path), ("start", "end")):
            if (event, node.tag) == ("start", "DataArray"):
                n = int(node.get("Dimensionality", 0))
                if not 0 < n <= 6:
                    raise FalseClaim(f"{path} claims an array of {n} dimensions: it is damaged")
                shape = [int(node.get(f"Dim{i}", 0)) for i in range(n)]
                width = sizes.get(node.get("DataType"), 4)
                inside = node.get("Encoding"), math.prod(shape) * width
                if any(d < 0 for d in shape):
                    raise FalseClaim(f"{path} claims an array of shape {shape}: it is damaged")
                check_ratio(path, inside[1], size)
            elif (event, node.tag) == ("end", "Data") and inside:
                encoding, claimed = inside
                if encoding == "GZipBase64Binary":
                    unpacker = zlib.decompressobj()
                    found = len(unpacker.decompress(base64.b64decode(node.text or ""), claimed + 1))
                    if found != claimed:
                        raise FalseClaim(
                            f"{path} claims an array of {claimed} bytes, and its data unpack to "
                            f"{'more' if found > claimed else found}: it is damaged"
                        )
                node.clear()
    except FalseClaim:
        raise
    except (ParseError, ValueError, LookupError, zlib.error, OSError) as error:
        raise FalseClaim(f"{path} is no readable GIFTI file ({error})") from None


def refuse_entities(path):
    """Refuse XML that defines entities: a few lines of them grow to gigabytes."""
    with open(path, "rb") as file:
        start = file.read(START)
    if ENTITY.search(start.replace(b"\0", b"")):  # UTF-16, too
        raise FalseClaim(f"{path} defines XML entities, which no surface file needs: not read")


def check_fif(path):
    """Follow the tags of a FIF file: each within the file, and none met twice."""
    size = path.stat().st_size
    if path.name.endswith(".gz"):
        return  # read as a stream: it ends where it ends
    position, seen = 0, 0
    with open(path, "rb") as file:
        while 0 <= position < size:
            file.seek(position)
            tag = file.read(16)
            if len(tag) < 16:
                raise FalseClaim(f"{path} ends within a tag, at byte {position}")
            kind, _, length, after = struct.unpack(">iIii", tag)
            if seen == 0 and kind != 100:
                raise FalseClaim(f"{path} does not begin as a FIF file does: it is another's")
            if length < 0 or position + 16 + length > size:
                raise FalseClaim(
                    f"{path} claims {length} bytes at byte {position}, and has {size} in all: it "
                    "is cut short or damaged"
                )
            if after > 0 and after <= position:
                raise FalseClaim(f"{path} leads back from byte {position} to {after}: damaged")
            seen += 1
            if seen > FIF_TAGS:
                raise FalseClaim(f"{path} has more than {FIF_TAGS} tags: it is damaged")
            position = position + 16 + length if after == 0 else after


def check_edf(path):
    """Check the numbers in the header of an EDF or BDF file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        header = file.read(256)
        numbers = {}
        for name, (first, last) in {
            "header bytes": (184, 192),
            "records": (236, 244),
            "duration of a record": (244, 252),
            "signals": (252, 256),
        }.items():
            numbers[name] = _text_number(path, name, header[first:last])
        n = int(numbers["signals"])
        if (
            not 0 < n <= CHANNELS
            or 256 * (n + 1) > size
            or numbers["header bytes"] != 256 * (n + 1)
        ):
            raise FalseClaim(
                f"{path} claims {n} signals and a header of {numbers['header bytes']:g} bytes, and "
                f"has {size} in all: it is cut short or damaged"
            )
        text = file.read(256 * n)[216 * n : 224 * n]
    samples = [_text_number(path, "samples", text[8 * i : 8 * i + 8]) for i in range(n)]
    if numbers["duration of a record"] < 0 or min(samples) < 1:
        raise FalseClaim(f"{path} claims a record without samples: it is damaged")
    width = 3 if path.suffix == ".bdf" else 2
    claimed = 256 * (n + 1) + max(int(numbers["records"]), 1) * int(sum(samples)) * width
    if claimed > size:
        raise FalseClaim(
            f"{path} is truncated: it claims {int(numbers['records'])} records, {claimed} bytes in "
            f"all, and has {size}"
        )


def check_brainvision(path):
    """Check that a BrainVision header names files beside it, and channels that it describes."""
    size = path.stat().st_size
    text = path.read_bytes()[: 16 << 20].decode("utf-8", "replace")
    for key, name in re.findall(r"(?im)^[ \t]*(DataFile|MarkerFile)[ \t]*=(.*)$", text):
        check_beside(path, name.strip(), key)
    for count in re.findall(r"(?im)^[ \t]*NumberOfChannels[ \t]*=[ \t]*(\d{1,9})", text):
        if int(count) > CHANNELS or int(count) * 3 > size:
            raise FalseClaim(f"{path} claims {count} channels in {size} bytes: it is damaged")


def check_beside(path, name, what):
    """Refuse a name in a header that leads to another folder than the header's own."""
    if name and (name in (".", "..") or re.search(r"[/\\\0]", name)):
        raise FalseClaim(
            f"{path} names {name!r} as its {what}, in another folder: a recording's files lie "
            "beside one another; correct the name"
        )


def check_eeglab(path):
    """Check the lengths in a MATLAB file (version 5 or HDF5) before it is unpacked."""
    with open(path, "rb") as file:
        start = file.read(1024)
    if start[:8] == HDF5_MAGIC or HDF5_MAGIC in (start[512:520],):
        check_hdf5(path)
    elif len(start) < 128 or start[126:128] not in (b"IM", b"MI"):
        raise FalseClaim(f"{path} is no MATLAB file, as its ending says")
    else:
        order = "<" if start[126:128] == b"IM" else ">"
        _mat_elements(path, memoryview(np.memmap(path, np.uint8, "r"))[128:], order, 0)


def check_hdf5(path):
    """Compare the shapes of an HDF5 file's arrays with its size; refuse what leads out of it."""
    import h5py

    size, count = path.stat().st_size, 0
    try:
        with h5py.File(path, "r") as file:
            todo, seen = [file], set()
            while todo:
                node = todo.pop()
                for name in node:
                    link = node.get(name, getlink=True)
                    count += 1
                    if not isinstance(link, h5py.HardLink) or count > FIF_TAGS:
                        raise FalseClaim(f"{path}: {name} leads elsewhere, and is not followed")
                    found = node[name]
                    address = h5py.h5o.get_info(found.id).addr
                    if isinstance(found, h5py.Group) and address not in seen:
                        todo.append(found)
                    elif isinstance(found, h5py.Dataset):
                        if found.is_virtual or found.external:
                            raise FalseClaim(f"{path}: {name} lies in another file: not read")
                        check_ratio(f"{path}: {name}", found.size * found.dtype.itemsize, size)
                    seen.add(address)
    except FalseClaim:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # of a damaged file
        raise FalseClaim(f"{path} is no readable HDF5 file ({error})") from None


def check_ctf(path):
    """Check that a CTF folder has the files of a recording, and none by a link out of it."""
    home = path.resolve()
    for file in path.rglob("*"):
        annexed = ".git/annex/objects" in file.resolve().as_posix()
        if file.is_symlink() and not annexed and not file.resolve().is_relative_to(home):
            raise FalseClaim(f"{file} leads out of its recording, to {file.resolve()}: not read")


def check_size(path, what, claimed, size):
    """Refuse a claim of more bytes than there are."""
    if claimed > size:
        raise FalseClaim(f"{path} claims {claimed} bytes for {what} and has {size}: it is damaged")


def _int(data, at, order):
    return struct.unpack_from(f"{order}i", data, at)[0] if len(data) >= at + 4 else 0


def _text_number(path, what, text):
    try:
        number = float(text.decode("ascii"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FalseClaim(f"{path} claims {text!r} as its {what}: it is damaged")
    return number


def _mat_elements(path, data, order, depth):
    """Walk the elements of a MATLAB 5 file: lengths within it, and cells no more than it holds."""
    at, data = 0, memoryview(data)
    while at + 8 <= len(data):
        kind, length, begin, step = _mat_tag(data, at, order)
        if kind not in MAT_NUMBERS | MAT_TEXTS | {MAT_MATRIX, MAT_COMPRESSED}:
            raise FalseClaim(f"{path} claims an element of the type {kind}: it is damaged")
        if begin + length > len(data):
            raise FalseClaim(
                f"{path} claims an element of {length} bytes where {len(data) - begin} are left: "
                "it is cut short or damaged"
            )
        if kind == MAT_COMPRESSED:
            _mat_elements(path, _inflated(path, data[begin : begin + length], order), order, depth)
        elif kind == MAT_MATRIX:
            _mat_matrix(path, data[begin : begin + length], order, depth)
        at = step if kind != MAT_COMPRESSED else begin + length


def _mat_tag(data, at, order):
    """Kind and bytes of an element, where they begin, and where the next one does."""
    first, length = struct.unpack_from(f"{order}II", data, at)
    if first >> 16:  # up to four bytes within the tag
        return first & 0xFFFF, first >> 16, at + 4, at + 8
    return first, length, at + 8, at + 8 + -(-length // 8) * 8


def _inflated(path, packed, order):
    """Unpack an element, as far as it claims."""
    unpacker = zlib.decompressobj()
    try:
        tag = unpacker.decompress(packed, 8)
        if len(tag) < 8:
            raise FalseClaim(f"{path} holds an empty compressed element: it is damaged")
        claimed = struct.unpack_from(f"{order}I", tag, 4)[0]
        check_ratio(path, claimed, len(packed))
        return tag + unpacker.decompress(unpacker.unconsumed_tail, claimed + 8)
    except zlib.error as error:
        raise FalseClaim(f"{path} holds damaged data ({error})") from None


def _mat_matrix(path, data, order, depth):
    if depth > MAT_DEPTH:
        raise FalseClaim(f"{path} is nested more than {MAT_DEPTH} deep: it is damaged")
    if len(data) < 24:
        return
    flags_kind, _, begin, at = _mat_tag(data, 0, order)
    kind = struct.unpack_from(f"{order}I", data, begin)[0] & 0xFF
    _, length, begin, at = _mat_tag(data, at, order)
    if begin + length > len(data):
        raise FalseClaim(f"{path} claims {length // 4} dimensions of a matrix: it is damaged")
    dims = struct.unpack_from(f"{order}{length // 4}i", data, begin)
    if any(d < 0 for d in dims) or len(dims) > 32:
        raise FalseClaim(f"{path} claims a matrix of shape {dims}: it is damaged")
    each = 8 if kind in (MAT_CELL, MAT_STRUCT, MAT_OBJECT) else 1 / 8
    if math.prod(dims) * each > len(data) and kind != 5:  # 5: sparse
        raise FalseClaim(
            f"{path} claims a matrix of {' x '.join(map(str, dims))} in {len(data)} bytes: it is "
            "damaged"
        )
    if kind in (MAT_CELL, MAT_STRUCT, MAT_OBJECT) and at < len(data):
        _mat_elements(path, data[at:], order, depth + 1)
    elif kind <= MAT_LAST_NUMERIC and at + 8 <= len(data):
        _mat_values(path, data, _mat_tag(data, at, order)[3], order, kind)


def _mat_values(path, data, at, order, kind):
    """Refuse values of a type that no matrix has: scipy looks it up beyond the end of its table."""
    known = MAT_NUMBERS | (MAT_TEXTS if kind == MAT_CHAR else set())
    while at + 8 <= len(data):
        found, length, begin, at = _mat_tag(data, at, order)
        if found not in known or begin + length > len(data):
            raise FalseClaim(
                f"{path} claims {length} bytes of the type {found} in a matrix: it is damaged"
            )
