"""Write a study's files so that the same study has the same bytes: no clock, no host."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd

SLOPE = 0.1  # scanner units per step of the stored integers: about 0.01 % of the signal


def write_json(path: Path, obj: dict) -> None:
    """Write indented JSON, as UTF-8; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(obj, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict:
    """Read a JSON object."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a BIDS table: tabs, eight decimals, ``n/a`` for what is missing; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.round(8).to_csv(path, sep="\t", index=False, lineterminator="\n", na_rep="n/a")


def write_pictures(paths: list[Path], pictures: np.ndarray) -> None:
    """Write uint8 pictures, (n, height, width, 3), as PNG."""
    from PIL import Image

    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path, compress_level=1)


def write_bold(
    path: Path,
    signal: np.ndarray,
    ijk: np.ndarray,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    tr_s: float,
) -> None:
    """Write a run, (n_volumes, n_voxels), as scaled 16-bit NIfTI; 0 outside the brain."""
    stored = np.clip(np.rint(signal / SLOPE), -32768, 32767).astype(np.int16)
    volume = np.zeros((len(stored), *shape[::-1]), dtype=np.int16)  # as the file has it: t, z, y, x
    volume[:, ijk[:, 2], ijk[:, 1], ijk[:, 0]] = stored
    _write_nifti(path, volume.transpose(3, 2, 1, 0), affine, slope=SLOPE, tr_s=tr_s)


def write_mask(
    path: Path, inside: np.ndarray, ijk: np.ndarray, shape: tuple[int, int, int], affine: np.ndarray
) -> None:
    """Write voxels, (n_voxels,) bool, as a volume of zeros and ones."""
    volume = np.zeros(shape, dtype=np.uint8)
    volume[tuple(ijk.T)] = inside
    _write_nifti(path, volume, affine)


def _write_nifti(path, volume, affine, slope=1.0, tr_s=None):
    import nibabel

    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(slope, 0)  # the integers are stored already: nothing is rescaled
    image.header.set_qform(affine, code="scanner")
    image.header.set_sform(affine, code="scanner")
    if tr_s is not None:
        image.header["pixdim"][4] = tr_s
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
