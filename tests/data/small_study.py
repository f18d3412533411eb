"""A tiny BIDS study on disk, with planted responses, for the tests of reading and preprocessing."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from PIL import Image

SHAPE = (4, 3, 2)
TR_S = 2.0
N_VOLUMES = 90
PICTURES = [f"p{i:02d}.png" for i in range(8)]
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def write_study(root, subjects=("sub-01", "sub-02"), n_runs=2, rng=None, noise=0.0):
    """Write a study of eight pictures, each shown once a run; return ``{subject: weights}``.

    The response of a voxel to picture i is ``weights[i]`` percent, shape (8, n_voxels), added to a
    mean between 800 and 1200; voxels outside the mask (the last plane) hold 0.
    """
    root, rng = Path(root), rng or np.random.default_rng(0)
    (root / "stimuli").mkdir(parents=True)
    for name in PICTURES:
        picture = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(picture).save(root / "stimuli" / name)
    write_tsv(
        root / "stimuli" / "stimuli.tsv",
        {
            "stim_file": PICTURES,
            "stimulus_id": [n[:-4] for n in PICTURES],
            "caption": [f"picture {n}" for n in PICTURES],
            "partition": ["test" if i < 2 else "train" for i in range(8)],
            "shape": ["disc", "star"] * 4,
        },
    )
    write_json(root / "dataset_description.json", {"Name": "small", "BIDSVersion": "1.10.0"})
    write_json(root / "task-scenes_bold.json", {"RepetitionTime": TR_S, "TaskName": "scenes"})
    return {s: _write_subject(root, s, n_runs, rng, noise) for s in subjects}


def mask_of_study():
    """Return the study's brain mask, True where there is brain, shape `SHAPE`."""
    inside = np.ones(SHAPE, bool)
    inside[..., -1] = False
    return inside


def write_tsv(path, columns):
    """Write a table as BIDS wants it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False, na_rep="n/a")


def write_json(path, obj):
    """Write JSON, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(obj))


def write_nifti(path, data, tr_s=None):
    """Write a NIfTI file on the study's grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    if tr_s is not None:
        image.header.set_zooms((3.0, 3.0, 3.0, tr_s))
    nibabel.save(image, path)


def response(onsets_s, times_s):
    """Sample nilearn's response to 1 s of stimulation, peak 1: (n_volumes, n_trials)."""
    from nilearn.glm.first_level import glover_hrf

    step_s = 0.02
    shape = np.convolve(np.ones(int(1 / step_s)), glover_hrf(step_s, oversampling=1))
    after_s = np.asarray(times_s)[:, None] - np.asarray(onsets_s)
    return np.interp(after_s, step_s * np.arange(len(shape)), shape / shape.max(), left=0, right=0)


def _write_subject(root, subject, n_runs, rng, noise):
    inside = mask_of_study()
    weights = rng.standard_normal((len(PICTURES), inside.sum()))
    means = np.linspace(800, 1200, inside.sum())
    func = Path(subject) / "func"
    derived = root / "derivatives" / "simulated" / func
    write_nifti(derived / f"{subject}_task-scenes_desc-brain_mask.nii.gz", inside.astype(np.uint8))
    early = inside & (np.arange(SHAPE[0]) < 2)[:, None, None]
    write_nifti(derived / f"{subject}_task-scenes_desc-early_mask.nii.gz", early.astype(np.uint8))
    times_s = TR_S * np.arange(N_VOLUMES)
    for number in range(1, n_runs + 1):
        stem = f"{subject}_task-scenes_run-{number:02d}"
        order = rng.permutation(len(PICTURES))
        onsets_s = 6.0 + 18.0 * np.arange(len(PICTURES)) + 2.0 * rng.integers(0, 3, len(PICTURES))
        percent = response(onsets_s, times_s) @ weights[order]
        percent += noise * rng.standard_normal(percent.shape)
        bold = np.zeros((*SHAPE, N_VOLUMES), np.float32)
        bold[inside] = (means * (1 + percent / 100)).T
        write_nifti(root / func / f"{stem}_bold.nii.gz", bold, TR_S)
        write_tsv(
            root / func / f"{stem}_events.tsv",
            {
                "onset": onsets_s,
                "duration": 1.0,
                "trial_type": "picture",
                "stim_file": [PICTURES[i] for i in order],
            },
        )
        motion = 0.01 * rng.standard_normal((N_VOLUMES, 6)).cumsum(axis=0)
        names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
        write_tsv(
            derived / f"{stem}_desc-confounds_timeseries.tsv",
            dict(zip(names, motion.T, strict=True)) | {"global_signal": percent.mean(axis=1)},
        )
    return weights
