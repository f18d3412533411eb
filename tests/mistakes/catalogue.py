"""Mistakes that users make, each as a command line that makes it, and what the message must say.

`plant(folder)` prepares a study below the folder and returns the overrides of ``neurodecode run``,
or the words of ``neurodecode import-checkpoint``.
"""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from tests.data import meeg_study, small_study

IMPORT = "import-checkpoint"
STAGES = "[index,split,preprocess]"
BOLD = ["experiment=retrieval", f"stages={STAGES}", "recipe.derivatives=derivatives/simulated"]
EEG = ["experiment=retrieval", "recipe=bids_eeg", "preprocess=epochs", f"stages={STAGES}"]
EEG += ["preprocess.method.high_pass_hz=null"]  # the recordings last a few seconds
EEG += [
    "split.rule.ties=[stimulus_id]",
    "split.rule.test_fraction=0.3",
    "split.rule.val_fraction=0.3",
]
EEG += ["recipe.stimulus_table=null"]  # the pictures are known by their files


@dataclass(frozen=True)
class Mistake:
    """One mistake: its chapter, its name, how it is made, and words the message must hold."""

    chapter: str
    name: str
    plant: Callable[[Path], list[str]]
    says: tuple[str, ...]
    within: Callable = lambda folder: nullcontext()
    """The machine it happens on, as a context: a full disk, a small GPU."""


CATALOGUE: list[Mistake] = []


def mistake(chapter, name, *says, within=lambda folder: nullcontext()):
    """Add the function below to the catalogue."""

    def add(plant):
        CATALOGUE.append(Mistake(chapter, name, plant, says, within))
        return plant

    return add


def typed(name, *overrides, says):
    """Add a mistake in what was typed."""
    mistake("The command", name, *says)(lambda folder: ["recipe=world_small", *overrides])


typed("a mistyped key", "train.model.hiden=3", says=("train.model.hiden", "did you mean hidden"))
typed("an unknown key", "subject=[sub-01]", says=("subject", "did you mean subjects"))
typed("an appended key nobody reads", "+sede=1", says=("sede", "did you mean seed"))
typed(
    "an unknown choice", "aligner=procustes", says=("aligner=procustes", "did you mean procrustes")
)
typed("an unknown experiment", "experiment=retreival", says=("did you mean retrieval",))
typed("a value of the wrong type", "seed=x", says=("seed", "whole number", "'x' (str)"))
typed(
    "a value of the wrong type in a `_target_` group",
    "train.model.hidden=three",
    says=("train.model.hidden", "whole number", "'three' (str)"),
)
typed("text for a list", "subjects=sub-01", says=("subjects", "a list such as [sub-01]"))
typed("a value out of range", "evaluate.level=2", says=("evaluate.level", "0 to", "got 2"))
typed(
    "a value out of range in a `_target_` group",
    "train.model.dropout=1.5",
    says=("train.model.dropout", "0 to less than 1", "got 1.5"),
)
typed("a value that must be given", "embed=sentences", says=("embed.target.model must be given",))
typed("quotes forgotten", "recipe.mask={a", says=("quotes",))
typed("an unknown stage", "stages=[index,trian]", says=("no stage 'trian'",))
typed(
    "a `_target_` that is not there",
    "train.model._target_=nosuchlab.nets.Mine",
    says=("train.model", "cannot find 'nosuchlab.nets.Mine'"),
)
typed("a subject that does not exist", "subjects=[sub-09]", says=("sub-09", "sub-01"))
typed(
    "a split that leaves a side empty",
    "split=by_run",
    "split.rule.test_runs=[run-99]",
    says=("run-99",),
)


def bold(folder, *overrides, **how):
    """Write a small fMRI study; return the overrides that read it."""
    small_study.write_study(folder / "study", **how)
    own = ["recipe.task=scenes", "split.rule.ties=[stimulus_id]"]
    return [*BOLD, f"recipe.root={folder / 'study'}", *own, *overrides]


def eeg(folder, *overrides, **how):
    """Write a small EEG study; return the overrides that read it."""
    meeg_study.write_study(folder / "study", **how)
    return [*EEG, f"recipe.root={folder / 'study'}", "recipe.task=scenes", *overrides]


def one(folder, pattern):
    """The first file of the study that fits a pattern."""
    return sorted((folder / "study").rglob(pattern))[0]


def edit(path, change):
    """Change a table in place."""
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    change(table).to_csv(path, sep="\t", index=False)


def events(name, *says):
    """Add a mistake in an events table: `change` takes the table and returns another."""

    def add(change):
        def plant(folder):
            overrides = bold(folder)
            edit(one(folder, "sub-01*run-01_events.tsv"), change)
            return overrides

        mistake("Events and pictures", name, "sub-01", "_events.tsv", *says)(plant)
        return change

    return add


@events("no events in the table", "header but no events")
def no_rows(table):
    return table.iloc[:0]


@events("an onset beyond the run", "beyond the end of the run", "correct the table")
def late(table):
    table.loc[1, "onset"] = 1000.0
    return table


@events("a negative onset", "before the first volume")
def negative(table):
    table.loc[1, "onset"] = -3.0
    return table


@events("a missing onset", "missing or not finite")
def missing(table):
    return table.assign(onset=["n/a", *table["onset"][1:]])


@events("an onset that is no number", "must be seconds")
def words(table):
    return table.assign(onset=["soon", *table["onset"][1:]])


@events("a trial twice", "the same onset and stimulus")
def twice(table):
    return pd.concat([table, table.iloc[:1]])


@events("an unknown picture", "'nowhere.png'", "stimuli.tsv")
def unknown(table):
    return table.assign(stim_file=["nowhere.png", *table["stim_file"][1:]])


@events("no column of pictures", "no column 'stim_file'", "recipe.stim_column")
def no_column(table):
    return table.drop(columns="stim_file")


@mistake("Events and pictures", "an empty events file", "_events.tsv", "is empty")
def empty_events(folder):
    overrides = bold(folder)
    one(folder, "sub-01*run-01_events.tsv").write_text("")
    return overrides


@mistake("Events and pictures", "no events file", "has no events", "recipe.task")
def no_events(folder):
    overrides = bold(folder)
    one(folder, "sub-01*run-01_events.tsv").unlink()
    return overrides


@mistake("Events and pictures", "a picture that is not there", "p03.png", "is not there")
def no_picture(folder):
    overrides = bold(folder)
    one(folder, "p03.png").unlink()
    return overrides


@mistake("Events and pictures", "an unreadable picture", "p03.png", "cannot be read as a picture")
def broken_picture(folder):
    overrides = bold(folder, "stages=[index,embed]", "embed=shipped_clip")
    one(folder, "p03.png").write_bytes(b"not a picture")
    return overrides


@mistake("Events and pictures", "a split that leaves a class out", "class 'left' of sub-01")
def no_class(folder):
    column = "split.rule.class_column=hand"
    overrides = bold(folder, column)
    for path in (folder / "study").rglob("*_events.tsv"):
        edit(path, lambda t: t.assign(hand=np.where(t["stim_file"] < "p02", "left", "right")))
    return overrides


@mistake("Events and pictures", "a split that leaves a subject out", "sub-02 has no test")
def no_subject(folder):
    overrides = bold(folder, "split=by_run", "split.rule.test_runs=[run-02]")
    for path in (folder / "study").rglob("sub-02*run-02_*"):
        path.unlink()
    return [o for o in overrides if "ties" not in o]


@mistake(
    "Leaks",
    "one picture in training and test",
    "p00 and p03",
    "split.allow_leaks=[duplicates]",
)
def two_names(folder):
    overrides = bold(folder)
    with Image.open(one(folder, "p00.png")) as picture:
        ImageOps.mirror(picture).save(one(folder, "p03.png"))
    return overrides


@mistake(
    "Leaks",
    "trials of training and test that overlap in time",
    "overlap in time",
    "split.allow_leaks=[windows]",
)
def overlapping(folder):
    return bold(folder, "split.response_s=30.0")


@mistake("Folders", "a folder that is not there", "recipe.root=/no/such/folder", "not a folder")
def nowhere(folder):
    return [*BOLD, "recipe.root=/no/such/folder"]


@mistake("Folders", "a folder that is no study", "holds no folder sub-")
def no_study(folder):
    (folder / "study").mkdir()
    return [*BOLD, f"recipe.root={folder / 'study'}"]


@mistake("Folders", "another task", "task-rest", "recipe.task")
def other_task(folder):
    return [*bold(folder), "recipe.task=rest"]


@mistake(
    "Folders", "no brain mask", "recipe.mask", "{suffix: mask, desc: brain}".split(",")[0][9:13]
)
def no_mask(folder):
    overrides = bold(folder)
    for path in (folder / "study").rglob("*_desc-brain_mask.nii.gz"):
        path.unlink()
    return overrides


def image(folder, pattern, change, tr_s=None):
    """Change the values of an image in place."""
    import nibabel

    path = one(folder, pattern)
    loaded = nibabel.load(path)
    values = change(np.asarray(loaded.dataobj).copy())
    affine = loaded.affine
    if isinstance(values, tuple):
        values, affine = values
    made = nibabel.Nifti1Image(values, affine)
    made.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        made.header.set_zooms((*loaded.header.get_zooms()[:3], tr_s or small_study.TR_S))
    nibabel.save(made, path)


RUN = "sub-01*run-01_bold.nii.gz"
MASK = "sub-01*desc-brain_mask.nii.gz"


def signal(name, pattern, *says):
    """Add a mistake in an image: `change` takes its values and returns others."""

    def add(change):
        def plant(folder):
            overrides = bold(folder)
            image(folder, pattern, change)
            return overrides

        mistake("fMRI", name, *says)(plant)
        return change

    return add


@mistake("fMRI", "a truncated file", "run-01_bold.nii.gz", "fetch it again")
def truncated(folder):
    overrides = bold(folder)
    path = one(folder, RUN)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return overrides


@mistake("fMRI", "an empty file", "run-01_bold.nii.gz is empty", "datalad get")
def empty_signal(folder):
    overrides = bold(folder)
    one(folder, RUN).write_bytes(b"")
    return overrides


@signal("volumes with NaN", RUN, "run-01_bold.nii.gz", "not finite", "2 of 90 volumes")
def nan_volumes(values):
    values[..., 3:5] = np.nan
    return values


@signal("constant volumes", RUN, "run-01_bold.nii.gz", "one value everywhere", "volume 7")
def constant_volumes(values):
    values[..., 7] = 5.0
    return values


@signal("run and mask of different shape", RUN, "voxels", "mask", "resample")
def other_shape(values):
    return np.concatenate([values, values[-1:]])


@signal("run and mask in different places", RUN, "lies elsewhere", "mask")
def other_place(values):
    return values, small_study.AFFINE + np.eye(4, k=3)


@signal("an empty mask", MASK, "desc-brain_mask.nii.gz", "no voxel")
def empty_mask(values):
    return 0 * values


@mistake("fMRI", "header and sidecar disagree on the TR", "TR 2 s", "2.5 s", "correct the other")
def two_trs(folder):
    overrides = bold(folder)
    small_study.write_json(folder / "study/task-scenes_bold.json", {"RepetitionTime": 2.5})
    return overrides


@mistake("fMRI", "confounds of another length", "has 87 rows", "90 volumes")
def short_confounds(folder):
    overrides = bold(folder)
    edit(one(folder, "sub-01*run-01_desc-confounds_timeseries.tsv"), lambda t: t.iloc[:-3])
    return overrides


@mistake("EEG and MEG", "a truncated recording", "run-01_eeg", "")
def truncated_eeg(folder):
    overrides = eeg(folder)
    path = one(folder, "sub-01*run-01_eeg.eeg")
    path.write_bytes(path.read_bytes()[:1001])
    return overrides


@mistake("EEG and MEG", "bad sensors whose positions are missing", "positions", "electrodes.tsv")
def no_positions(folder):
    overrides = eeg(folder)
    for path in (folder / "study").rglob("*_electrodes.tsv"):
        path.unlink()
    for path in (folder / "study").rglob("*_coordsystem.json"):
        path.unlink()
    edit(
        one(folder, "sub-01*run-01_channels.tsv"), lambda t: t.assign(status=["bad", *t.status[1:]])
    )
    return overrides


@mistake("EEG and MEG", "a trigger channel that is not there", "'STI014'", "stim_channel")
def no_trigger_channel(folder):
    return eeg(folder, "preprocess.method.stim_channel=STI014")


@mistake("EEG and MEG", "events that are not in the trigger channel", "1 of 12", "stim")
def no_triggers(folder):
    overrides = eeg(folder, "recipe=bids_meg", kind="mag", format="FIF")
    for path in sorted((folder / "study").rglob("sub-01*_meg.fif")):
        with_triggers(path, meeg_study.ONSETS_S[:-1])
    return [*overrides, "preprocess.method.stim_channel=STI014"]


@mistake(
    "EEG and MEG", "epochs longer than the gap between trials", "longer than the gap", "overlap"
)
def long_epochs(folder):
    return eeg(folder, "preprocess.method.tmax_s=1.6")


@mistake("EEG and MEG", "epochs that reach outside the recording", "outside the recording")
def outside(folder):
    return eeg(folder, "preprocess.method.tmin_s=-4", "preprocess.method.overlap=true")


@mistake("EEG and MEG", "other sensors in another run", "Oz", "run-02")
def other_sensors(folder):
    overrides = eeg(folder)
    raw = meeg_study.raw_of(seed=5, names=meeg_study.NAMES[:-1])
    write_raw(folder, raw, run="02")
    return overrides


@mistake("EEG and MEG", "a low-pass above half the rate", "low_pass_hz=150", "half the rate")
def too_high(folder):
    return eeg(folder, "preprocess.method.low_pass_hz=150", "preprocess.method.resample_hz=null")


@mistake("EEG and MEG", "a baseline outside the epoch", "baseline_s")
def no_baseline(folder):
    return eeg(folder, "preprocess.method.baseline_s=[-0.9,-0.5]")


def with_triggers(path, onsets_s):
    """Add a trigger channel to a recording."""
    import mne

    raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    values = np.zeros((1, raw.n_times))
    values[0, np.round(onsets_s * raw.info["sfreq"]).astype(int)] = 1
    info = mne.create_info(["STI014"], raw.info["sfreq"], "stim")
    raw.add_channels([mne.io.RawArray(values, info, verbose="ERROR")], force_update_info=True)
    raw.save(path, overwrite=True, verbose="ERROR")


def write_raw(folder, raw, run):
    """Write one run of sub-01 anew, with its events."""
    import mne_bids

    where = {"task": "scenes", "run": run, "datatype": "eeg", "root": folder / "study"}
    path = mne_bids.BIDSPath(subject="01", **where)
    mne_bids.write_raw_bids(
        raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="ERROR"
    )
    meeg_study.write_events(folder / f"study/sub-01/eeg/sub-01_task-scenes_run-{run}_events.tsv")


@contextmanager
def small_disk(folder, options="size=2m"):
    """A disk of two megabytes at ``folder/small``; skipped where none can be mounted."""
    place = folder / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def read_only_disk(folder):
    """A disk at ``folder/small`` that nobody can write on."""
    with small_disk(folder, "ro"):
        yield


@contextmanager
def small_gpu(folder, free_gib=6, message="Tried to allocate 10.00 GiB. GPU 0 has …"):
    """A GPU of 8 GiB, 2 of them ours, on which embedding pictures asks for 10 more."""
    import torch

    from neurodecode.stages import embed

    error = torch.OutOfMemoryError(f"CUDA out of memory. {message}")
    with ExitStack() as stack:
        for target, name, fake in (
            (embed, "embed_pictures", mock.Mock(side_effect=error)),
            (torch.cuda, "is_available", lambda: True),
            (torch.cuda, "mem_get_info", lambda: (free_gib << 30, 8 << 30)),
            (torch.cuda, "memory_reserved", lambda: 2 << 30),
            (torch.cuda, "max_memory_reserved", lambda: 2 << 30),
        ):
            stack.enter_context(mock.patch.object(target, name, fake))
        yield


@contextmanager
def busy_gpu(folder):
    """A GPU of 8 GiB that other processes fill."""
    with small_gpu(folder, 0, "CUDA error: out of memory"):
        yield


CHECKPOINTS = "Published checkpoints"
TINY = "_target_: tests.weights.tiny_network.TinyNetwork\n"


def checkpoint(folder, found=None):
    """Write a checkpoint and a network that might be its own; return the words that import it."""
    import torch

    from tests.weights.tiny_network import random_state

    torch.save({"model_state_dict": random_state()} if found is None else found, folder / "a.pth")
    (folder / "tiny.yaml").write_text(TINY)
    return [IMPORT, f"{folder / 'a.pth'}", f"model={folder / 'tiny.yaml'}", "out=imported"]


@mistake(CHECKPOINTS, "a page of the web under a checkpoint's name", "a.pth is a page of the web")
def web_page(folder):
    words = checkpoint(folder)
    (folder / "a.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    return words


@mistake(CHECKPOINTS, "a download that broke off", "a.pth", "cut short; fetch it again")
def cut_checkpoint(folder):
    words = checkpoint(folder)
    whole = (folder / "a.pth").read_bytes()
    (folder / "a.pth").write_bytes(whole[: len(whole) // 2])
    return words


@mistake(CHECKPOINTS, "a network that was saved whole", "saved whole", "state_dict()")
def whole_network(folder):
    import torch

    return checkpoint(folder, torch.nn.Linear(2, 3))


@mistake(CHECKPOINTS, "pieces of DeepSpeed", "zero_to_fp32.py", "import weights.pth")
def deepspeed(folder):
    words = checkpoint(folder)
    (folder / "last").mkdir()
    (folder / "last" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    return [IMPORT, f"{folder / 'last'}", *words[2:]]


@mistake(
    CHECKPOINTS, "a checkpoint of another network", "no checkpoint of model=tiny", "lin0.weight"
)
def other_network(folder):
    import torch

    return checkpoint(folder, {"model_state_dict": {"lin0.weight": torch.ones(2, 2)}})


@mistake(CHECKPOINTS, "a checkpoint that lacks parameters", "lacks 1 parameters", "partial=true")
def lacking_parameters(folder):
    from tests.weights.tiny_network import random_state

    state = random_state()
    del state["core.0.bias"]
    return checkpoint(folder, {"state_dict": state})


@mistake(CHECKPOINTS, "a network without a published layout", "knows no published checkpoints")
def no_layout(folder):
    return [*checkpoint(folder)[:2], "model=residual_mlp"]


MACHINE = "The machine"


@mistake(MACHINE, "a full disk", "the disk is full", "small/store", "store=", within=small_disk)
def full_disk(folder):
    return ["recipe=world_small", "stages=[simulate]", f"store={folder / 'small/store'}"]


@mistake(MACHINE, "a store that cannot be written", "small/store", within=read_only_disk)
def closed_store(folder):
    return ["recipe=world_small", "stages=[simulate]", f"store={folder / 'small/store'}"]


@mistake(MACHINE, "a run folder that cannot be written", "small/run", within=read_only_disk)
def closed_run(folder):
    return ["recipe=world_small", "stages=[simulate]", f"hydra.run.dir={folder / 'small/run'}"]


@mistake(MACHINE, "too little memory on the GPU", "memory=half", "12.0 GiB", within=small_gpu)
def full_gpu(folder):
    return bold(folder, "stages=[index,embed]", "embed=shipped_clip")


@mistake(
    MACHINE, "a GPU that others fill", "other processes hold 6.0 of its 8.0 GiB", within=busy_gpu
)
def shared_gpu(folder):
    return bold(folder, "stages=[index,embed]", "embed=shipped_clip")
