"""fMRIPrep's output, written from the volumes of a small study: one signal in each format."""

import json

import nibabel
import numpy as np
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis, SeriesAxis
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

from neurodecode.core.views import read_table
from tests.data.small_study import write_json, write_tsv

MESH = 10242  # vertices of a hemisphere of fsaverage5
FIRST, STEP = 20, 7  # the vertices that have a signal: 20, 27, 34 …
MNI = "space-MNI152NLin2009cAsym_res-2"
LEFT, RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"


def write_fmriprep(root, source="simulated", spaces=("volume", "surface", "cifti")):
    """Write ``derivatives/fmriprep`` of a study whose masks and motion lie in `source`.

    The channels of the surface are the voxels of the mask: the first half on the left hemisphere,
    the second on the right. In CIFTI a third each lies left, right and in the thalamus.
    """
    write = {"volume": _write_volume, "surface": _write_surface, "cifti": _write_cifti}
    derived = root / "derivatives" / "fmriprep"
    write_json(
        derived / "dataset_description.json",
        {"Name": "fMRIPrep", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]},
    )
    for path in sorted(root.glob("sub-*/func/*_bold.nii.gz")):
        stem = path.name.removesuffix("_bold.nii.gz")
        subject = path.parts[-3]
        folder = derived / subject / "func"
        folder.mkdir(parents=True, exist_ok=True)
        old = root / "derivatives" / source / subject / "func"
        (mask,) = old.glob("*_desc-brain_mask.nii.gz")
        bold, mask = nibabel.load(path), nibabel.load(mask)
        signal = bold.get_fdata()[mask.get_fdata() > 0].T
        for space in spaces:
            write[space](folder / stem, signal, float(bold.header.get_zooms()[3]), bold, mask)
        write_confounds(
            folder / stem, read_table(old / f"{stem}_desc-confounds_timeseries.tsv"), signal
        )
    return derived


def write_confounds(stem, motion, signal, rng=None):
    """Write confounds with the columns of fMRIPrep, and their JSON."""
    rng = rng or np.random.default_rng(len(signal))
    n = len(signal)
    table = {c: motion[c].to_numpy() for c in motion if c.startswith(("trans", "rot"))}
    table |= {name: rng.standard_normal(n) for name in ("csf", "white_matter", "global_signal")}
    for name in list(table):
        slope = np.r_[np.nan, np.diff(table[name])]
        table |= {f"{name}_derivative1": slope, f"{name}_power2": table[name] ** 2}
        table[f"{name}_derivative1_power2"] = slope**2
    moved = np.r_[np.nan, np.full(n - 1, 0.1)]
    moved[[4 * n // 9, 4 * n // 9 + 1]] = 1.2
    table |= {"framewise_displacement": moved, "std_dvars": np.r_[np.nan, np.ones(n - 1)]}
    phase = np.pi * (np.arange(n) + 0.5) / n
    table |= {f"cosine{k:02d}": np.cos(phase * (k + 1)) for k in range(2)}
    table |= {f"a_comp_cor_{k:02d}": rng.standard_normal(n) for k in range(3)}
    table["non_steady_state_outlier00"] = (np.arange(n) == 0).astype(int)
    write_tsv(stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv"), table)
    about = {"Method": "aCompCor", "Retained": True, "Mask": "combined"}
    about |= {"CumulativeVarianceExplained": 0.4, "VarianceExplained": 0.1, "SingularValue": 1.0}
    write_json(
        stem.with_name(f"{stem.name}_desc-confounds_timeseries.json"),
        {f"a_comp_cor_{k:02d}": about for k in range(3)},
    )


def write_gifti(path, series, tr_s=None):
    """Write (n_volumes, n_vertices) as FreeSurfer does: an array a volume, TimeStep in ms."""
    arrays = [
        GiftiDataArray(np.asarray(v, np.float32), "NIFTI_INTENT_TIME_SERIES", "NIFTI_TYPE_FLOAT32")
        for v in series
    ]
    meta = {} if tr_s is None else {"TimeStep": f"{1000 * tr_s:f}"}
    nibabel.save(GiftiImage(darrays=arrays, meta=GiftiMetaData(meta)), path)


def write_cifti(path, values, models, tr_s=2.0, axis=None):
    """Write (n_volumes, n_grayordinates); `axis` instead of a series of volumes."""
    axis = axis or SeriesAxis(0, tr_s, len(values))
    image = Cifti2Image(np.asarray(values, np.float32), (axis, models))
    intent = "DENSE_SCALARS" if isinstance(axis, ScalarAxis) else "DENSE_SERIES"
    image.nifti_header.set_intent(f"NIFTI_INTENT_CONNECTIVITY_{intent}")
    nibabel.save(image, path)


def on_mesh(signal):
    """Put the columns of a signal on vertices of a hemisphere; NaN, or one value, elsewhere."""
    series = np.full((len(signal), MESH), np.nan)
    series[:, :FIRST] = 7.0
    series[:, vertices_of(signal.shape[1])] = signal
    return series


def vertices_of(n):
    """The vertices that the first `n` channels of a hemisphere lie on."""
    return FIRST + STEP * np.arange(n)


def models_of(n):
    """Brain models of `n` channels: a third each left, right and in the thalamus."""
    third = n // 3
    inside = np.zeros((40, 40, 40), bool)
    inside[tuple(np.unravel_index(100 + np.arange(n - 2 * third), inside.shape))] = True
    surface = lambda name: BrainModelAxis.from_surface(vertices_of(third), 32492, name)
    below = BrainModelAxis.from_mask(inside, "thalamus_left", np.diag([2.0, 2, 2, 1]))
    return surface(LEFT) + surface(RIGHT) + below


def _write_volume(stem, signal, tr_s, bold, mask):
    nibabel.save(bold, stem.with_name(f"{stem.name}_{MNI}_desc-preproc_bold.nii.gz"))
    nibabel.save(mask, stem.with_name(f"{stem.name}_{MNI}_desc-brain_mask.nii.gz"))
    about = {"RepetitionTime": tr_s, "SkullStripped": False}
    write_json(stem.with_name(f"{stem.name}_{MNI}_desc-preproc_bold.json"), about)


def _write_surface(stem, signal, tr_s, bold, mask):
    half = signal.shape[1] // 2
    for hemisphere, part in (("L", signal[:, :half]), ("R", signal[:, half:])):
        path = stem.with_name(f"{stem.name}_hemi-{hemisphere}_space-fsaverage5_bold.func.gii")
        write_gifti(path, on_mesh(part), tr_s)
        path.with_suffix("").with_suffix(".json").write_text(json.dumps({"RepetitionTime": tr_s}))


def _write_cifti(stem, signal, tr_s, bold, mask):
    path = stem.with_name(f"{stem.name}_space-fsLR_den-91k_bold.dtseries.nii")
    write_cifti(path, signal, models_of(signal.shape[1]), tr_s)
