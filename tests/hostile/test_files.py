"""Hand-made files: false claims, bombs, and names that lead elsewhere."""

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from neurodecode.core.claims import (
    FalseClaim,
    check_manifest,
    check_npy,
    check_npz,
    check_tensors,
    read_tensors,
)
from neurodecode.core.documents import parse_yaml, read_json, read_text_table, read_yaml
from neurodecode.core.errors import ConfigError, UserError
from neurodecode.data.readers import headers
from neurodecode.data.stimuli import check_inside, load_pictures, picture_size


def nifti(shape=(4, 4, 4, 10), n_bytes=2560):
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", header, 70, 16, 32)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    return bytes(header) + bytes(n_bytes)


def test_a_volume_that_claims_more_than_its_file_has(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti())
    assert headers.check(path) is None
    path.write_bytes(nifti((30000, 30000, 30000, 10)))
    with pytest.raises(FalseClaim, match="a.nii claims 30000 x 30000 x 30000 x 10 .* and has 2912"):
        headers.check(path)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(nifti((2000, 2000, 100, 2), 1 << 20)))
    with pytest.raises(FalseClaim, match="made to fill the memory"):
        headers.check(packed)


def test_a_surface_with_entities_is_not_read(tmp_path):
    path = tmp_path / "a.func.gii"
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE GIFTI [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>']
    path.write_text("\n".join([*lines, "<GIFTI>&b;</GIFTI>"]))
    with pytest.raises(FalseClaim, match="defines XML entities"):
        headers.check(path)


def test_a_surface_unpacks_to_what_it_claims(tmp_path):
    import base64
    import zlib

    data = base64.b64encode(zlib.compress(bytes(1 << 20))).decode()
    array = '<DataArray DataType="NIFTI_TYPE_FLOAT32" Dimensionality="1" Dim0="10" '
    array += f'Encoding="GZipBase64Binary"><Data>{data}</Data></DataArray>'
    path = tmp_path / "a.func.gii"
    path.write_text(f"<GIFTI>{array}</GIFTI>")
    with pytest.raises(
        FalseClaim, match="claims an array of 40 bytes, and its data unpack to more"
    ):
        headers.check(path)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([(100, 31, 20, 0), (101, 3, 2**31 - 1, 0)], "claims 2147483647 bytes"),
        ([(100, 31, 20, 0), (101, 3, 4, 16)], "leads back from byte 36 to 16"),
        ([(7, 31, 20, 0)], "does not begin as a FIF file"),
    ],
)
def test_tags_of_a_fif_file_lie_in_it_and_lead_on(tmp_path, tags, message):
    path = tmp_path / "a.fif"
    path.write_bytes(b"".join(struct.pack(">iIii", *t) + bytes(min(t[2], 20)) for t in tags))
    with pytest.raises(FalseClaim, match=message):
        headers.check(path)


@pytest.mark.parametrize("name", ["../secret.eeg", "/etc/passwd", "..\\secret.eeg"])
def test_a_header_names_no_file_in_another_folder(tmp_path, name):
    path = tmp_path / "a.vhdr"
    path.write_text(f"[Common Infos]\nDataFile={name}\nNumberOfChannels=2\n")
    with pytest.raises(FalseClaim, match="as its DataFile, in another folder"):
        headers.check(path)


def test_an_array_of_hdf5_is_no_larger_than_its_file_can_hold(tmp_path):
    import h5py

    for name, make in {
        "bomb": lambda f: f.create_dataset("x", (10**6, 10**6), "f8", chunks=(100, 100)),
        "away": lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/hosts", "/x")),
        "raw": lambda f: f.create_dataset("x", (9,), "u1", external=[("/etc/passwd", 0, 9)]),
    }.items():
        path = tmp_path / f"{name}.set"
        with h5py.File(path, "w") as file:
            make(file)
        with pytest.raises(FalseClaim, match="fill the memory|leads elsewhere|in another file"):
            headers.check(path)


def test_a_cell_array_is_no_longer_than_its_file(tmp_path):
    flags = struct.pack("<IIII", 6, 8, 1, 0)
    dims = struct.pack("<IIii", 5, 8, 2**30, 2**30)
    body = flags + dims + struct.pack("<II", 1, 0)
    path = tmp_path / "a.set"
    path.write_bytes(b"MATLAB".ljust(124) + b"\0\1IM" + struct.pack("<II", 14, len(body)) + body)
    with pytest.raises(FalseClaim, match="claims a matrix of 1073741824 x 1073741824"):
        headers.check(path)


def test_an_array_that_claims_more_or_holds_objects(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4), np.float32))
    assert check_npy(path) is None
    path.write_bytes(path.read_bytes().replace(b"(3, 4)", b"(9**9,)"))
    with pytest.raises(FalseClaim, match="no readable header"):
        check_npy(path)
    np.save(path, np.zeros((3, 4), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(3, 4), ", b"(3,4444)"))
    with pytest.raises(FalseClaim, match=r"shape \(3, 4444\) .* and has 176"):
        check_npy(path)
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(FalseClaim, match="may run code"):
        check_npy(path)


def test_an_npz_bomb_is_not_unpacked(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(300 << 20, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embeddings.npy", buffer.getvalue())
    with pytest.raises(FalseClaim, match="embeddings.npy claims 3145.* compressed ones"):
        check_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": 3},
        {"a": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}},
        [],
    ],
)
def test_offsets_of_tensors_fit_their_file(tmp_path, header):
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(FalseClaim, match=r"a\.safetensors"):
        read_tensors(path)
    path.write_bytes(struct.pack("<Q", 2**63) + text)
    with pytest.raises(FalseClaim, match="claims a header of 9223372036854775808 bytes"):
        check_tensors(path)


def test_a_picture_of_too_many_pixels_and_postscript(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (20_000, 5_000)).save(path)
    with pytest.raises(ValueError, match="a.png (claims 20000 x 5000|cannot be read)"):
        picture_size(path)
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        load_pictures(tmp_path, ["a.png"])


def test_pictures_lie_in_the_data_set(tmp_path):
    root, away = tmp_path / "study", tmp_path / "away"
    (root / "stimuli").mkdir(parents=True)
    (root / ".git" / "annex" / "objects").mkdir(parents=True)
    away.mkdir()
    for place in (away / "p.png", root / ".git" / "annex" / "objects" / "p"):
        place.write_bytes(b"x")
    for name in ("../../away/p.png", "/etc/passwd", "a\0b"):
        with pytest.raises(ValueError, match="outside its folder stimuli"):
            check_inside(root / "stimuli" / name, root, name)
    link = root / "stimuli" / "p.png"
    link.symlink_to(away / "p.png")
    with pytest.raises(ValueError, match="out of the data set, and is not followed"):
        check_inside(link, root, "p.png")
    link.unlink()
    link.symlink_to("../.git/annex/objects/p")
    assert check_inside(link, root, "p.png") is None
    (root / "stimuli" / "linked").symlink_to(away)  # a folder, as on clusters
    assert check_inside(root / "stimuli" / "linked" / "p.png", root, "linked/p.png") is None


@pytest.mark.parametrize("name", ["../up.npy", "/etc/passwd", "a/../../b", "", "a\\b"])
def test_a_manifest_names_files_below_its_folder(name):
    right = {"sha256": "0", "size": 1}
    assert check_manifest({"files": {"space/a.npy": right}, "config": {}}, "m") is None
    with pytest.raises(UserError, match="m names the file"):
        check_manifest({"files": {name: right}, "config": {}}, "m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\n", None),
        ("a: &a [*a]\n", "refers to itself"),
        ("a: 1\na: 2\n", "'a' stands there twice"),
        ("!!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("[" * 100, "levels"),
        ("{" * 50_000, "levels"),
        ("a: 2001-99-99", "month"),
    ],
)
def test_yaml_is_plain_and_bounded(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    if message is None:
        assert read_yaml(path) == {"a": ["x", "x"], "b": [["x", "x"]] * 2}
        return
    with pytest.raises(ConfigError, match=message) as error:
        read_yaml(path)
    assert str(path) in str(error.value)


def test_a_bomb_of_aliases_is_not_unpacked():
    lines = ["a0: &a0 [lol]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
    ]
    with pytest.raises(ConfigError, match="grows to more than"):
        parse_yaml("\n".join(lines), "a recipe")


def test_json_is_bounded_and_of_the_kind_expected(tmp_path):
    path = tmp_path / "a.json"
    for text, message in {
        "[" * 10**5: "nested too deeply",
        "[]": "holds list",
        "{": "valid",
    }.items():
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_json(path)


def test_a_line_longer_than_its_header_does_not_shift_the_columns(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("onset\tduration\n1\t2\t3\n4\t5\t6\n")
    with pytest.raises(ValueError, match="names 2 columns, and its first line has 3 values"):
        read_text_table(path, "onsets")
    path.write_bytes(b"\xff\xfe\x80\tb\n1\t2\n")
    with pytest.raises(ValueError, match="a.tsv is not a readable table"):
        read_text_table(path, "onsets")
