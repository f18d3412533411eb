"""Small studies as other people's tools write them; their brains follow the colours of pictures."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from tests.data.small_study import TR_S, response, write_json, write_tsv

SUBJECTS = ("sub-01", "sub-02")
N_PICTURES, N_TEST, N_RUNS, N_REPEATS = 80, 16, 4, 2
NAMES = [f"picture{i:02d}.png" for i in range(N_PICTURES)]
KINDS = ["bright disc", "bright box", "dark disc", "dark box"]
PER_RUN = N_PICTURES * N_REPEATS // N_RUNS
SFREQ_HZ, PEAK_S, EVERY_S = 200.0, 0.2, 1.1
SENSORS = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz", "Oz"]


def draw_pictures(root, rng, frozen=False):
    """Draw the pictures into stimuli/; return their colours, (n_pictures, n_values), mean 0.

    With `frozen`, stimuli/stimuli.tsv names the last sixteen as the test set.
    """
    folder = Path(root) / "stimuli"
    folder.mkdir(parents=True)
    values = []
    for number, name in enumerate(NAMES):
        dark, bright = rng.integers(0, 128, 3), rng.integers(128, 256, 3)
        picture = Image.new("RGB", (64, 64), tuple(dark if number % 4 >= 2 else bright))
        x, y, size = rng.integers(4, 30, 3)
        brush = ImageDraw.Draw(picture)
        shape = brush.rectangle if number % 2 else brush.ellipse
        shape((x, y, x + size, y + size), fill=tuple(rng.integers(0, 256, 3)))
        picture.save(folder / name)
        values.append(np.asarray(picture.resize((4, 4)), float).ravel() / 255)
    if frozen:
        sides = ["train"] * (N_PICTURES - N_TEST) + ["test"] * N_TEST
        write_tsv(folder / "stimuli.tsv", {"stim_file": NAMES, "partition": sides})
    return np.array(values) - np.mean(values, axis=0)


def trials_of(colours, n_channels, rng):
    """Draw the order of pictures of one subject, (n_runs, per_run), and its responses."""
    order = np.concatenate([rng.permutation(N_PICTURES) for _ in range(N_REPEATS)])
    responses = colours[order] @ rng.standard_normal((colours.shape[1], n_channels))
    return order.reshape(N_RUNS, -1), (responses / responses.std()).reshape(N_RUNS, PER_RUN, -1)


def shown(order, onsets_s, columns=("stim_file",)):
    """The columns of an events table."""
    about = {"stim_file": [NAMES[i] for i in order], "trial_type": [KINDS[i % 4] for i in order]}
    return {"onset": np.round(onsets_s, 4), "duration": 0.5} | {c: about[c] for c in columns}


def describe(root):
    """Write what every data set has at its top."""
    write_json(root / "dataset_description.json", {"Name": "Pictures", "BIDSVersion": "1.10.0"})
    write_tsv(root / "participants.tsv", {"participant_id": SUBJECTS, "age": [25, 31]})
    (root / "README").write_text("Pictures of shapes.\n")


def write_bold(root, rng=None, masked=False, shape=(10, 11, 9), subjects=SUBJECTS):
    """Write fMRI in BIDS by nibabel and pandas: an ellipsoid of a brain in the dark, no mask.

    With `masked`, masks and motion lie in derivatives/source, as `write_fmriprep` wants them.
    """
    rng = rng or np.random.default_rng(0)
    colours = draw_pictures(root, rng, frozen=True)
    describe(root)
    about = {"RepetitionTime": TR_S, "TaskName": "pictures"}
    write_json(root / "task-pictures_bold.json", about)
    axes = [np.linspace(-1.2, 1.2, n) for n in shape]
    brain = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")) < 1
    onsets_s = 6.0 + 4.0 * np.arange(PER_RUN)
    times_s = TR_S * np.arange(int((onsets_s[-1] + 16) / TR_S))
    for subject in subjects:
        order, responses = trials_of(colours, int(brain.sum()), rng)
        for run in range(N_RUNS):
            stem = f"{subject}_task-pictures_run-{run + 1}"
            percent = response(onsets_s, times_s) @ responses[run]
            percent += 0.5 * rng.standard_normal(percent.shape)
            bold = np.abs(10 * rng.standard_normal((*shape, len(times_s))))
            bold[brain] = (1000 * (1 + percent / 100)).T
            func = root / subject / "func"
            save_nifti(func / f"{stem}_bold.nii.gz", bold.astype(np.float32), TR_S)
            write_tsv(func / f"{stem}_events.tsv", shown(order[run], onsets_s))
            if masked:
                place = root / "derivatives" / "source" / subject / "func"
                save_nifti(place / f"{subject}_desc-brain_mask.nii.gz", brain.astype(np.uint8))
                motion = 0.01 * rng.standard_normal((len(times_s), 6)).cumsum(axis=0)
                names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
                table = dict(zip(names, motion.T, strict=True))
                write_tsv(place / f"{stem}_desc-confounds_timeseries.tsv", table)
    return root


def save_nifti(path, values, tr_s=None):
    """Save a volume of 3 mm, or a run of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([3.0, 3.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    if tr_s:
        image.header.set_zooms((3.0, 3.0, 3.0, tr_s))
    nibabel.save(image, path)


def write_meeg(root, format, columns=("stim_file",), subjects=SUBJECTS):
    """Write EEG, or MEG where the format is FIF, by mne-bids; events are tables of one's own."""
    import mne_bids

    rng = np.random.default_rng(0)
    colours = draw_pictures(root, rng, frozen="trial_type" not in columns)
    kind = "meg" if format == "FIF" else "eeg"
    onsets_s = 2.0 + EVERY_S * np.arange(PER_RUN)
    for subject in subjects:
        order, responses = trials_of(colours, len(SENSORS), rng)
        for run in range(N_RUNS):
            path = mne_bids.BIDSPath(
                subject=subject.removeprefix("sub-"), task="pictures", run=f"{run + 1}",
                datatype=kind, root=root,
            )  # fmt: skip
            raw = raw_of(responses[run], onsets_s, rng, kind)
            more = {"format": format, "allow_preload": True, "verbose": "ERROR"}
            mne_bids.write_raw_bids(raw, path, **more)
            stem = f"{subject}_task-pictures_run-{run + 1}"
            table = shown(order[run], onsets_s, columns)
            write_tsv(root / subject / kind / f"{stem}_events.tsv", table)
    return root


def raw_of(responses, onsets_s, rng, kind):
    """A recording of one run in µV, or in fT: transients of 5 in noise of 5."""
    import mne

    times_s = np.arange(int((onsets_s[-1] + 3) * SFREQ_HZ)) / SFREQ_HZ
    signal = 5 * rng.standard_normal((len(SENSORS), len(times_s)))
    for onset_s, own in zip(onsets_s, responses, strict=True):
        signal += 5 * own[:, None] * bump(times_s - onset_s)
    types, unit = ("mag", 1e-15) if kind == "meg" else ("eeg", 1e-6)
    info = mne.create_info(SENSORS, SFREQ_HZ, types)
    info["line_freq"] = 50.0
    raw = mne.io.RawArray(unit * signal, info, verbose="ERROR")
    if kind == "eeg":
        raw.set_montage("colin27_1005")
    return raw


def bump(after_s):
    """What a picture evokes over time, peak 1."""
    return np.exp(-0.5 * ((after_s - PEAK_S) / 0.04) ** 2)


def epoched(responses, rng):
    """Trials of all runs, (n_trials, n_channels, n_times), and the times from the onset."""
    times_s = np.arange(-20, 60) / 100
    trials = np.concatenate(responses)
    evoked = trials[:, :, None] * bump(times_s)
    return evoked + rng.standard_normal(evoked.shape), times_s


def write_epochs(root, subjects=SUBJECTS):
    """Save mne.Epochs with metadata: one file a subject and run."""
    import mne

    rng = np.random.default_rng(0)
    colours = draw_pictures(root, rng, frozen=True)
    info = mne.create_info(SENSORS, 100.0, "eeg")
    for subject in subjects:
        order, responses = trials_of(colours, len(SENSORS), rng)
        (root / subject).mkdir()
        for run in range(N_RUNS):
            values, times_s = epoched(responses[[run]], rng)
            samples = 110 * np.arange(len(values))
            events = np.c_[samples, np.zeros_like(samples), np.ones_like(samples)]
            metadata = pd.DataFrame({"stim_file": [NAMES[i] for i in order[run]]})
            epochs = mne.EpochsArray(
                5e-6 * values, info, events, tmin=times_s[0], metadata=metadata, verbose="ERROR"
            )
            epochs.set_montage("colin27_1005")
            epochs.save(root / subject / f"{subject}_run-{run + 1}-epo.fif", verbose="ERROR")
    return root


def write_folder(root, subjects=SUBJECTS):
    """Write a plain folder whose responses have a time axis."""
    rng = np.random.default_rng(0)
    colours = draw_pictures(root, rng)
    for subject in subjects:
        order, responses = trials_of(colours, len(SENSORS), rng)
        values, times_s = epoched(responses, rng)
        (root / subject).mkdir()
        np.save(root / subject / "responses.npy", values.astype(np.float32))
        np.save(root / subject / "times_s.npy", times_s)
        runs = np.repeat(np.arange(N_RUNS) + 1, PER_RUN)
        table = {"run": runs, "stim_file": [NAMES[i] for i in order.ravel()]}
        write_tsv(root / subject / "trials.tsv", table)
    return root
