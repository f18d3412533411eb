"""Where each part of a simulated study lies in its BIDS folder, and what is said about it."""

from pathlib import Path

import numpy as np
import pandas as pd

import neurodecode
from neurodecode.world import files, scanner, scenes
from neurodecode.world.brain import Subject

TASK = "scenes"
BIDS_VERSION = "1.10.0"

_README = """\
A simulated fMRI study with known truth
=======================================

{n_subjects} simulated subjects look at {n_train} training and {n_test} test pictures of small
scenes, rendered for this study. No person was scanned. The brains carry: {signal}.

Training pictures are shown once, {n_repeated_train} of them three times; test pictures
{test_repeats} times, in runs of their own. `stimuli/stimuli.tsv` names every picture's attributes.

`derivatives/simulated` holds masks of the brain and of its early and high-level visual regions, and
the confounds of each run. `derivatives/truth` holds what a decoder must not see: receptive fields,
hemodynamic responses, and the noise-free response of every voxel to every picture.

Volume i of a run shows the whole brain at i times the repetition time, on the clock of the events;
there is no slice timing, and motion disturbs the signal but does not move voxels.
"""

EVENTS = {
    "onset": {"Description": "When the picture appears", "Units": "s"},
    "duration": {"Description": "How long it is on", "Units": "s"},
    "trial_type": {
        "Description": "What is shown; the screen is grey between events",
        "Levels": {"picture": "A rendered scene"},
    },
    "stim_file": {"Description": "The picture, below stimuli/"},
}


def write_root(root: Path, dials: dict, subjects: list[str]) -> None:
    """Write what describes the data set, its participants and its two derivatives."""
    derivatives = {"simulated": "masks and confounds", "truth": "what was planted"}
    made_by = "neurodecode.world.study.simulate_study"
    describe(root, "Scenes in a simulated brain", made_by, derivatives)
    (root / "README").write_text(_README.format(**dials), encoding="utf-8")
    files.write_table(root / "participants.tsv", pd.DataFrame({"participant_id": subjects}))
    files.write_json(root / f"task-{TASK}_events.json", EVENTS)
    files.write_json(
        root / f"task-{TASK}_bold.json",
        {
            "TaskName": TASK,
            "RepetitionTime": dials["tr_s"],
            "TaskDescription": "Look at pictures; there is nothing to do.",
        },
    )


def describe(root: Path, name: str, made_by: str, derivatives: dict[str, str]) -> None:
    """Write `dataset_description.json` of a data set and of its derivatives, folder -> title."""
    about = {"Name": name, "BIDSVersion": BIDS_VERSION}
    version = neurodecode.__version__
    provenance = [{"Name": "neurodecode", "Version": version, "Description": made_by}]
    files.write_json(
        root / "dataset_description.json",
        about
        | {"DatasetType": "raw", "License": "CC0", "Authors": ["neurodecode"]}
        | {"GeneratedBy": provenance},
    )
    for folder, title in derivatives.items():
        files.write_json(
            root / "derivatives" / folder / "dataset_description.json",
            about
            | {"Name": f"{name}: {title}", "DatasetType": "derivative"}
            | {"License": "CC0", "GeneratedBy": provenance},
        )


def write_stimuli(root: Path, table: pd.DataFrame, pictures: np.ndarray) -> None:
    """Write the pictures and their table; the jitter of the scenes goes to the truth."""
    public = table.drop(columns=list(scenes.JITTER))
    files.write_table(root / "stimuli/stimuli.tsv", public)
    files.write_pictures([root / "stimuli" / name for name in table["stim_file"]], pictures)
    files.write_table(
        root / "derivatives/truth/stimuli.tsv", table[["stimulus_id", *scenes.JITTER]]
    )


def write_run(
    root: Path,
    subject: Subject,
    run: int,
    shown: pd.DataFrame,
    signal: np.ndarray,
    motion: np.ndarray,
    tr_s: float,
) -> None:
    """Write one run: the images, the events and, as a derivative, the confounds."""
    stem = f"{subject.name}/func/{subject.name}_task-{TASK}_run-{run:02d}"
    place = (subject.ijk, subject.shape, subject.affine)
    files.write_bold(root / f"{stem}_bold.nii.gz", signal, *place, tr_s)
    files.write_table(root / f"{stem}_events.tsv", event_table(shown))
    confounds = pd.DataFrame(motion, columns=scanner.MOTION_COLUMNS)
    confounds["framewise_displacement"] = scanner.framewise_displacement(motion)
    confounds["global_signal"] = signal.mean(axis=1)
    derived = root / "derivatives/simulated" / f"{stem}_desc-confounds_timeseries.tsv"
    files.write_table(derived, confounds)


def event_table(shown: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the pictures of a run as BIDS has them."""
    return pd.DataFrame(
        {
            "onset": shown["onset_s"],
            "duration": shown["duration_s"],
            "trial_type": "picture",
            "stim_file": shown["stimulus_id"] + ".png",
        }
    )


def write_masks(root: Path, subject: Subject) -> None:
    """Write the masks of the brain and of the two sheets."""
    stem = f"derivatives/simulated/{subject.name}/func/{subject.name}_task-{TASK}"
    regions = {"brain": np.ones(subject.n_voxels, bool)}
    regions |= {name: subject.roi == name for name in ("early", "high")}
    for name, inside in regions.items():
        path = root / f"{stem}_desc-{name}_mask.nii.gz"
        files.write_mask(path, inside, subject.ijk, subject.shape, subject.affine)


def write_truth(
    root: Path, subject: Subject, tables: dict[str, pd.DataFrame], arrays: dict[str, np.ndarray]
) -> None:
    """Write what was planted in a subject: tables, and arrays that align with them.

    Beside what is given, `channel_weights.npy` (n_early, n_channels) and `tuning.npy` (n_values,
    n_high; attributes one after the other) hold what early and high voxels like.
    """
    truth = root / "derivatives/truth"
    for name, table in tables.items():
        files.write_table(truth / f"{subject.name}_{name}.tsv", table)
    arrays = arrays | {
        "channel_weights": subject.channel_weights,
        "tuning": np.concatenate(list(subject.tuning.values())),
    }
    for name, array in arrays.items():
        np.save(truth / f"{subject.name}_{name}.npy", array, allow_pickle=False)


def voxel_table(subject: Subject) -> pd.DataFrame:
    """One row per voxel, in the order of the brain mask read in C order."""
    table = tuning_table(subject)
    table[["hrf_peak_s", "hrf_undershoot_s", "hrf_undershoot_ratio"]] = subject.hrf
    table["evoked_percent"] = subject.evoked_percent
    table["gain"] = subject.gain
    table["noise_percent"] = subject.noise_percent
    return table


def tuning_table(subject: Subject) -> pd.DataFrame:
    """Place, region and receptive field of each voxel."""
    table = pd.DataFrame(subject.ijk, columns=["i", "j", "k"])
    table["roi"] = subject.roi
    early = subject.roi == "early"
    fields = np.column_stack([subject.rf_centre_px, subject.rf_size_px])
    for column, values in zip(("rf_x_px", "rf_y_px", "rf_size_px"), fields.T, strict=True):
        table.loc[early, column] = values
    return table
