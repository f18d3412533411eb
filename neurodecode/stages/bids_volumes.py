"""Volumes of a BIDS derivative: masks, regions, and one volume per trial."""

import gzip
import re

import numpy as np

NIFTI_1 = 32767  # trials that its header can count


def write_volumes(writer, subject, sources, trials):
    """Write masks, and the responses as one volume per trial, of one subject."""
    import nibabel

    artifact = writer.artifact("preprocess", subject)
    mask_name = writer.name(subject, "mask.nii.gz", desc="brain")
    writer.same(mask_name, artifact, "space/mask.nii.gz")
    writer.sidecar(mask_name, "The voxels that are channels.", sources, {"Type": "Brain"})
    mask = nibabel.load(artifact.path("space/mask.nii.gz"))
    inside = np.asarray(mask.dataobj) > 0
    _write_regions(writer, subject, mask, inside, mask_name)

    name = writer.name(subject, "statmap.nii.gz", stat="effect", desc="singletrial")
    responses = artifact.array("responses.npy")
    write_4d(writer.folder.path(name), responses, inside, mask)
    about = "Response to each trial; the last axis is trials, in the order of desc-trials."
    used = [*sources, bids_uri(mask_name), bids_uri(trials)]
    writer.sidecar(name, about, used, {"Units": "percent signal change"})


def write_4d(path, responses, inside, mask):
    """Write responses as a gzipped 4-D image, a volume at a time: memory stays flat.

    Parameters
    ----------
    path : path
        Of the ``.nii.gz``; equal responses give equal bytes.
    responses : array, shape (n_trials, n_channels)
    inside : ndarray of bool, shape (x, y, z)
        The voxels that are channels, in C order.
    mask : nibabel image
        Of the grid: its affine and units.
    """
    import nibabel

    shape = (*inside.shape, len(responses))
    image = nibabel.Nifti1Image if len(responses) <= NIFTI_1 else nibabel.Nifti2Image
    header = image(np.zeros((1, 1, 1), np.float32), mask.affine).header
    header.set_data_shape(shape)
    header.set_zooms((*mask.header.get_zooms()[:3], 1.0))
    header.set_xyzt_units("mm", "unknown")
    header.set_slope_inter(1, 0)
    header.set_data_offset(header.single_vox_offset)
    volume = np.zeros(inside.shape, np.float32)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        packed.write(header.binaryblock.ljust(header.single_vox_offset, b"\0"))
        for response in responses:
            volume[inside] = response
            packed.write(volume.tobytes(order="F"))


def _write_regions(writer, subject, mask, inside, mask_name):
    """Write a mask of each region of interest."""
    import nibabel

    if "space/rois.tsv" not in writer.artifact("preprocess", subject).files:
        return
    rois = writer.view.table("preprocess", "space/rois.tsv", subject)
    channels = np.flatnonzero(inside)
    for roi, members in rois.groupby("roi", sort=False):
        volume = np.zeros(inside.size, np.uint8)
        volume[channels[members["channel"].to_numpy(int)]] = 1
        name = writer.name(subject, "mask.nii.gz", label=label_of(roi))
        image = nibabel.Nifti1Image(volume.reshape(inside.shape), mask.affine)
        packed = gzip.compress(image.to_bytes(), 6, mtime=0)
        writer.folder.path(name).write_bytes(packed)
        more = {"Type": "ROI"}
        writer.sidecar(name, f"Region of interest: {roi}.", [bids_uri(mask_name)], more)


def bids_uri(name):
    """A file of this derivative, as `Sources` names it."""
    return f"bids::{name}"


def label_of(name):
    """A label as BIDS has it, letters and digits only: ``prior_only`` becomes ``priorOnly``."""
    first, *more = re.split(r"[^A-Za-z0-9]+", str(name).strip("_- ")) or [""]
    return first + "".join(word[:1].upper() + word[1:] for word in more)
