"""The formats that `fuzz` spoils: a small valid example of each, and how the stages read it."""

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import mutations
import numpy as np

FORMATS = {}


class NotForeseen(Exception):
    """A command ended with the exit code 1."""


@dataclass(frozen=True)
class Format:
    """One format.

    Parameters
    ----------
    make : callable (folder)
        Write a valid example.
    read : callable (folder) -> str or None
        Read it by the functions that the stages call; a command returns what it said on refusing.
    spoil : callable (bytes, rng) -> (name, bytes or None)
    files : tuple of str
        Patterns of the files that are spoilt, in turn.
    names : tuple of str
        What a message may call the file by, beside its name.
    output : str
        Folder that a reading may leave behind.
    """

    make: Callable
    read: Callable
    spoil: Callable
    files: tuple
    names: tuple = ()
    output: str = ""

    def targets(self, folder):
        """The files that are spoilt."""
        return [p for pattern in self.files for p in sorted(folder.glob(pattern))]

    def writes(self, place):
        """What may be there afterwards that was not before."""
        if not self.output:
            return set()
        out = place / self.output
        return {str(out), *(str(p) for p in out.rglob("*"))}


def add(name, make, read, spoil, *files, names=(), output=""):
    """Add a format to the table."""
    FORMATS[name] = Format(make, read, spoil, files, names, output)


# Volumes and surfaces


def _bold(folder, ending=".nii"):
    import nibabel

    rng = np.random.default_rng(0)
    values = rng.normal(1000, 10, (5, 4, 3, 12)).astype(np.float32)
    image = nibabel.Nifti1Image(values, np.diag([3, 3, 3, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.0
    image.to_filename(folder / f"a_bold{ending}")


def _mask(folder):
    import nibabel

    values = (np.arange(60).reshape(5, 4, 3) % 3 > 0).astype(np.uint8)
    nibabel.Nifti1Image(values, np.diag([3, 3, 3, 1])).to_filename(folder / "a_mask.nii")


def _read_bold(folder):
    import nibabel

    from neurodecode.data.readers import bold

    (path,) = folder.glob("a_bold.*")
    bold.facts(path, {})
    mask = nibabel.Nifti1Image(np.ones((5, 4, 3), np.uint8), np.diag([3, 3, 3, 1]))
    bold.read_run(path, mask)


def _read_mask(folder):
    from neurodecode.data.readers import bold

    path = folder / "a_mask.nii"
    bold.positions_mm(bold.read_mask([path]))


def _gifti(folder):
    import nibabel

    rng = np.random.default_rng(0)
    arrays = [
        nibabel.gifti.GiftiDataArray(
            rng.normal(size=20).astype(np.float32), "NIFTI_INTENT_TIME_SERIES"
        )
        for _ in range(5)
    ]
    meta = nibabel.gifti.GiftiMetaData({"TimeStep": "2000"})
    nibabel.GiftiImage(darrays=arrays, meta=meta).to_filename(folder / "a_hemi-L_bold.func.gii")


def _read_gifti(folder):
    from neurodecode.data.readers import gifti

    path = folder / "a_hemi-L_bold.func.gii"
    gifti.facts(path, {})
    gifti._describe({"L": path})
    gifti.read_run({"L": path})


def _cifti(folder):
    import nibabel
    from nibabel.cifti2 import BrainModelAxis, Cifti2Image, SeriesAxis

    left = BrainModelAxis.from_surface(np.arange(8), 40, "CIFTI_STRUCTURE_CORTEX_LEFT")
    voxels = BrainModelAxis.from_mask(
        np.ones((2, 2, 1), bool), affine=np.eye(4), name="thalamus_left"
    )
    values = np.random.default_rng(0).normal(size=(6, 12)).astype(np.float32)
    image = Cifti2Image(values, (SeriesAxis(0, 2.0, 6), left + voxels))
    nibabel.save(image, folder / "a_bold.dtseries.nii")


def _read_cifti(folder):
    from neurodecode.data.readers import cifti

    path = folder / "a_bold.dtseries.nii"
    cifti.facts(path, {})
    cifti._describe({"": path})
    cifti.read_run({"": path})


add("nifti", _bold, _read_bold, mutations.binary, "*.nii")
add("nifti_gz", lambda f: _bold(f, ".nii.gz"), _read_bold, mutations.binary, "*.nii.gz")
add("nifti_mask", _mask, _read_mask, mutations.binary, "*.nii")
add("gifti", _gifti, _read_gifti, mutations.text, "*.gii")
add("cifti", _cifti, _read_cifti, mutations.binary, "*.nii")


# EEG, MEG, iEEG


def _raw():
    import mne

    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz", "Oz"], 100.0, "eeg")
    return mne.io.RawArray(1e-5 * rng.standard_normal((4, 300)), info, verbose="ERROR")


def _fif(folder):
    _raw().save(folder / "a_eeg.fif", verbose="ERROR")


def _exported(ending):
    def make(folder):
        import mne

        mne.export.export_raw(folder / f"a_eeg{ending}", _raw(), verbose="ERROR")

    return make


def _bdf(folder):
    """An EDF file's header in BDF's form, by hand: no library here writes BDF."""
    n, rate, seconds = 3, 50, 4
    fixed = [(b"\xffBIOSEMI", 8), ("x", 80), ("x", 80), ("01.01.20", 8), ("01.01.01", 8)]
    fixed += [(str(256 * (n + 1)), 8), ("24BIT", 44), (str(seconds), 8), ("1", 8), (str(n), 4)]
    per = [("Cz", 16), ("", 80), ("uV", 8), ("-262144", 8), ("262143", 8)]
    per += [("-8388608", 8), ("8388607", 8), ("", 80), (str(rate), 8), ("", 32)]
    raw = lambda text, width: (text if isinstance(text, bytes) else text.encode()).ljust(width)
    out = b"".join(raw(*f) for f in fixed)
    for k, (text, width) in enumerate(per):
        out += b"".join(raw(f"C{i}" if k == 0 else text, width) for i in range(n))
    samples = np.random.default_rng(0).integers(-9999, 9999, n * rate * seconds)
    out += b"".join(int(s).to_bytes(3, "little", signed=True) for s in samples)
    (folder / "a_eeg.bdf").write_bytes(out)


def _set_hdf5(folder):
    """An EEGLAB file as MATLAB 7.3 writes it: HDF5 behind 512 bytes."""
    import h5py

    path = folder / "a_eeg.set"
    with h5py.File(path, "w", userblock_size=512) as file:
        eeg = file.create_group("EEG")
        eeg.attrs["MATLAB_class"] = np.bytes_("struct")
        numbers = {"nbchan": 4, "pnts": 300, "srate": 100, "trials": 1, "xmin": 0, "xmax": 2.99}
        for name, value in numbers.items():
            eeg.create_dataset(name, data=np.array([[float(value)]])).attrs["MATLAB_class"] = (
                np.bytes_("double")
            )
        values = np.random.default_rng(0).standard_normal((300, 4))
        eeg.create_dataset("data", data=values).attrs["MATLAB_class"] = np.bytes_("double")
        for name in ("chanlocs", "event", "epoch"):
            empty = eeg.create_dataset(name, data=np.zeros(2, np.uint64))
            empty.attrs["MATLAB_class"] = np.bytes_("struct")
            empty.attrs["MATLAB_empty"] = np.uint8(1)
    data = bytearray(path.read_bytes())
    data[:116] = b"MATLAB 7.3 MAT-file".ljust(116)
    data[124:128] = b"\x00\x02IM"
    path.write_bytes(data)


def _ctf(folder):
    from tests.data.ctf_folder import N_SENSORS, write_ctf

    signal = 1e-13 * np.random.default_rng(0).standard_normal((N_SENSORS, 300))
    write_ctf(folder / "a_meg.ds", signal, 100.0)


def _read_meeg(folder):
    from neurodecode.data.readers import meeg

    path = next(p for p in sorted(folder.iterdir()) if p.suffix in meeg.FORMATS)
    meeg.facts(path, {})
    meeg.load(meeg.read_raw(path), path)


def _tabled(folder):
    _fif(folder)
    rows = ["name\ttype\tunits\tstatus", *(f"{n}\tEEG\tuV\tgood" for n in ("Fz", "Cz", "Pz", "Oz"))]
    (folder / "channels.tsv").write_text("\n".join(rows) + "\n")
    rows = ["name\tx\ty\tz", *(f"{n}\t{i}\t2\t3" for i, n in enumerate(("Fz", "Cz", "Pz", "Oz")))]
    (folder / "electrodes.tsv").write_text("\n".join(rows) + "\n")
    about = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}
    about["AnatomicalLandmarkCoordinates"] = {"NAS": [0, 9, 0], "LPA": [-8, 0, 0], "RPA": [8, 0, 0]}
    (folder / "coordsystem.json").write_text(json.dumps(about))
    sidecar = {"SamplingFrequency": 100, "RecordingDuration": 3.0, "EEGChannelCount": 4}
    sidecar["PowerLineFrequency"] = 50
    (folder / "sidecar.json").write_text(json.dumps(sidecar))


def _read_tabled(folder):
    from neurodecode.data.layouts.base import Run
    from neurodecode.data.readers import meeg

    path = folder / "a_eeg.fif"
    run = Run("sub-01", "", "run-1", {"": path}, None, sidecars=(folder / "sidecar.json",))
    from neurodecode.data.bids import read_sidecars

    meeg.facts(path, read_sidecars(run))
    tables = [folder / n for n in ("channels.tsv", "electrodes.tsv", "coordsystem.json")]
    meeg.load(meeg.read_raw(path, *tables), path)


def _sidecar(folder):
    _bold(folder)
    (folder / "sidecar.json").write_text(json.dumps({"RepetitionTime": 2.0, "StartTime": 0.5}))


def _read_sidecar(folder):
    from neurodecode.data.bids import read_sidecars
    from neurodecode.data.layouts.base import Run
    from neurodecode.data.readers import bold

    path = folder / "a_bold.nii"
    run = Run("sub-01", "", "run-1", {"": path}, None, sidecars=(folder / "sidecar.json",))
    bold.facts(path, read_sidecars(run))


def _epochs(folder):
    import mne
    import pandas as pd

    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg")
    metadata = pd.DataFrame({"stim_file": [f"p{i}.png" for i in range(6)], "onset": np.arange(6.0)})
    events = np.column_stack([np.arange(6) * 50, np.zeros(6, int), np.ones(6, int)])
    epochs = mne.EpochsArray(
        rng.standard_normal((6, 3, 20)) * 1e-6, info, events, metadata=metadata, verbose="ERROR"
    )
    epochs.save(folder / "sub-01-epo.fif", verbose="ERROR")


def _read_epochs(folder):
    import pandas as pd

    from neurodecode.data.readers import epochs
    from neurodecode.preprocess.epochs_files import StoredEpochs

    path = folder / "sub-01-epo.fif"
    epochs.facts(path)
    table = epochs.about_epochs(path, "stim_file")
    files = pd.DataFrame([["run-1", "signal", "", path]], columns=["run", "kind", "name", "file"])
    StoredEpochs(files).run("run-1", table.assign(epochs_of="run-1"))


add("fif", _fif, _read_meeg, mutations.binary, "*.fif")
add("edf", _exported(".edf"), _read_meeg, mutations.binary, "*.edf")
add("bdf", _bdf, _read_meeg, mutations.binary, "*.bdf")
add("eeglab", _exported(".set"), _read_meeg, mutations.binary, "*.set")
add("eeglab_hdf5", _set_hdf5, _read_meeg, mutations.binary, "*.set")
add(
    "brainvision",
    _exported(".vhdr"),
    _read_meeg,
    mutations.text,
    "*.vhdr",
    "*.vmrk",
    "*.eeg",
    names=("a_eeg.vhdr",),
)
add(
    "ctf",
    _ctf,
    _read_meeg,
    mutations.binary,
    "*.ds/*.res4",
    "*.ds/*.meg4",
    "*.ds/*",
    names=("a_meg.ds",),
)
add("epochs_fif", _epochs, _read_epochs, mutations.binary, "*.fif")
add("sensor_tables", _tabled, _read_tabled, mutations.text, "channels.tsv", "electrodes.tsv")
add(
    "sensor_json",
    _tabled,
    _read_tabled,
    mutations.structured,
    "coordsystem.json",
    "sidecar.json",
    names=("a_eeg.fif",),
)
add(
    "sidecar_json",
    _sidecar,
    _read_sidecar,
    mutations.structured,
    "sidecar.json",
    names=("a_bold.nii",),
)


# Tables, arrays, pictures


def _study(folder):
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "stimuli").mkdir()
    names = [f"p{i}.png" for i in range(6)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(
            folder / "stimuli" / name
        )
    rows = [
        "stim_file\tstimulus_id\tcaption\tpartition",
        *(f"{n}\ts{n[1]}\ta picture\t" for n in names),
    ]
    (folder / "stimuli" / "stimuli.tsv").write_text("\n".join(rows) + "\n")
    sub = folder / "sub-01"
    sub.mkdir()
    np.save(sub / "responses.npy", rng.standard_normal((24, 5)).astype(np.float32))
    rows = ["run\tonset\tduration\tstim_file"]
    rows += [f"{i // 6 + 1}\t{4 * (i % 6)}\t1.5\t{names[(i * 5 + i // 6) % 6]}" for i in range(24)]
    (sub / "trials.tsv").write_text("\n".join(rows) + "\n")
    np.save(sub / "positions_mm.npy", rng.standard_normal((5, 3)))


def _recipe():
    from neurodecode.data.recipe import Recipe

    return Recipe(stimulus_table=None)


def _read_study(folder):
    import pandas as pd

    from neurodecode.data.layouts.folder import Folder
    from neurodecode.data.stimuli import (
        known_stimuli,
        load_pictures,
        name_stimuli,
        stimulus_table,
        with_table,
    )
    from neurodecode.data.trials import trial_table
    from neurodecode.preprocess.ready import Ready

    layout, recipe = Folder(), with_table(_recipe(), folder)
    known = known_stimuli(recipe, folder)
    for run in layout.runs(recipe, folder):
        events = layout.events(run, recipe, layout.facts(run))
        shown = events["shown"]
        events["stimulus_id"] = name_stimuli(shown, known, recipe, run.events)
        trials = trial_table([(run, events)])
        stimuli = stimulus_table(trials, shown, known, recipe, folder, lambda path: "")
        load_pictures(folder, stimuli["path"], (8, 8))
        kinds = {"signal": run.signal} | run.others
        rows = [["all", kind, "", path] for kind, path in kinds.items()]
        files = pd.DataFrame(rows, columns=["run", "kind", "name", "file"])
        recording = Ready(files)
        recording.space()
        recording.run("all", trials)


def _events(folder):
    rows = ["onset\tduration\ttrial_type\tstim_file"]
    rows += [f"{2.5 * i}\t0.5\tpicture\tp{i % 4}.png" for i in range(12)]
    (folder / "events.tsv").write_text("\n".join(rows) + "\n")


def _read_events(folder):
    from neurodecode.data.trials import read_events

    read_events(folder / "events.tsv", _recipe(), 40.0)


def _predictions(folder):
    import pandas as pd

    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(12)]
    values = rng.standard_normal((12, 4))
    table = pd.DataFrame(values, columns=[f"d{i}" for i in range(4)])
    table.insert(0, "stimulus_id", ids)
    table.to_csv(folder / "a.tsv", sep="\t", index=False)
    table.to_csv(folder / "a.csv", index=False)
    table.to_parquet(folder / "a.parquet", index=False)
    np.savez_compressed(folder / "a.npz", embeddings=values, stimulus_id=np.array(ids))
    np.save(folder / "b.npy", values)
    table[["stimulus_id"]].to_csv(folder / "b.tsv", sep="\t", index=False)


def _read_predictions(name):
    def read(folder):
        from neurodecode.data.predictions import read_predictions

        read_predictions(folder / name, "predictions")

    return read


def _read_picture(folder):
    from neurodecode.data.stimuli import load_pictures, picture_files, picture_size

    for name in picture_files(folder):
        picture_size(folder / name)
        load_pictures(folder, [name], (8, 8))


def _picture(ending):
    def make(folder):
        from PIL import Image

        values = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"a{ending}")

    return make


add("events_tsv", _events, _read_events, mutations.text, "events.tsv")
add("trials_tsv", _study, _read_study, mutations.text, "sub-01/trials.tsv", "stimuli/stimuli.tsv")
add("npy", _study, _read_study, mutations.binary, "sub-01/responses.npy", "sub-01/positions_mm.npy")
for _name, _kind in {
    "a.tsv": "text",
    "a.csv": "text",
    "a.parquet": "binary",
    "a.npz": "binary",
}.items():
    _label = f"predictions_{_name[2:]}"
    add(_label, _predictions, _read_predictions(_name), getattr(mutations, _kind), _name)
add(
    "predictions_npy",
    _predictions,
    _read_predictions("b.npy"),
    mutations.binary,
    "b.npy",
    "b.tsv",
    names=("b.npy",),
)
for _ending in (".png", ".jpg", ".webp", ".gif", ".tif", ".bmp"):
    add(
        f"picture{_ending.replace('.', '_')}",
        _picture(_ending),
        _read_picture,
        mutations.binary,
        "a.*",
    )


# Documents, weights, runs


def _yaml(folder):
    (folder / "recipe").mkdir()
    content = (
        "# @package recipe\n# A lab.\ndefaults: [bids]\nname: lab\nignore: [n/a, rest]\nroot: ''\n"
    )
    (folder / "recipe" / "lab.yaml").write_text(content)
    content = "title: a study\nauthors: [A, B]\nlicence: CC0\nTR_s: 2.0\nmasks:\n  brain: all\n"
    (folder / "facts.yaml").write_text(content)


def _read_yaml(folder):
    from neurodecode.cli.given import check_given_files
    from neurodecode.data import recipe

    check_given_files([folder])
    before, recipe.facts_folder = recipe.facts_folder, lambda: folder
    try:
        recipe.facts("facts")
    finally:
        recipe.facts_folder = before


def _values(folder):
    (folder / "value").write_text("[run-1, run-2]")


def _read_values(folder):
    from neurodecode.cli import key_values

    key_values([f"value={(folder / 'value').read_text(encoding='utf-8', errors='replace')}"])


def _weights(name):
    def make(folder):
        from neurodecode.weights import weights_folder

        shutil.copytree(weights_folder(f"shipped:{name}"), folder / name)

    return make


def _read_prior(folder):
    from neurodecode.diffusion.latent_prior import pretrained

    pretrained(str(folder / "prior"), 16, 128)


def _read_reader(folder):
    from neurodecode.metrics.attributes import AttributeReader

    AttributeReader(str(folder / "reader")).read(np.zeros((1, 64, 64, 3), np.uint8))


def _read_clip(folder):
    from neurodecode.contrastive.targets import OpenClipTarget

    OpenClipTarget(str(folder / "clip"))


def _read_generator(folder):
    from neurodecode.diffusion.generator import TokenGenerator

    TokenGenerator(str(folder / "generator"))


def _checkpoint(folder):
    import torch

    torch.save({"state_dict": {"a": torch.ones(3, 4), "b": torch.zeros(2)}}, folder / "a.pth")


def _read_checkpoint(folder):
    from neurodecode.metrics.trunks import _state

    _state(folder / "a.pth")


def _published(new):
    def make(folder):
        import torch

        state = {"core.2.weight": torch.ones(3, 4), "ridge.0.bias": torch.zeros(2)}
        found = {"epoch": 1, "model_state_dict": state, "optimizer": {"state": {0: torch.ones(2)}}}
        torch.save(found, folder / "a.pth", _use_new_zipfile_serialization=new)

    return make


def _read_published(folder):
    from neurodecode.weights.checkpoint_file import read_checkpoint

    read_checkpoint(folder / "a.pth")


def _tensors(folder):
    from safetensors.numpy import save_file

    save_file(
        {"a": np.ones((3, 4), np.float32), "b": np.zeros(2, np.float16)}, folder / "a.safetensors"
    )


def _read_tensors(folder):
    from neurodecode.core.claims import read_tensors

    read_tensors(folder / "a.safetensors")
    read_tensors(folder / "a.safetensors", "torch")


add("yaml", _yaml, _read_yaml, mutations.yaml_text, "recipe/lab.yaml", "facts.yaml")
add("yaml_word", _values, _read_values, mutations.yaml_text, "value")
add("safetensors", _tensors, _read_tensors, mutations.binary, "a.safetensors")
add("checkpoint", _checkpoint, _read_checkpoint, mutations.binary, "a.pth")
add("published_zip", _published(True), _read_published, mutations.binary, "a.pth")
add("published_old", _published(False), _read_published, mutations.binary, "a.pth")
add("prior_json", _weights("prior"), _read_prior, mutations.structured, "prior/config.json")
add("reader_json", _weights("reader"), _read_reader, mutations.structured, "reader/config.json")
add(
    "clip_json",
    _weights("clip"),
    _read_clip,
    mutations.structured,
    "clip/open_clip_config.json",
    names=("/clip",),
)
add(
    "generator_json",
    _weights("generator"),
    _read_generator,
    mutations.structured,
    "generator/*.json",
    "generator/*/*.json",
    names=("/generator",),
)


def _run_folder(folder):
    from neurodecode.core.sealed import write_sealed
    from neurodecode.core.store import MANIFEST, describe
    from tests.data.made_runs import make_run

    make_run(folder / "run")
    scores = folder / "run" / "scores"
    scores.mkdir()
    (scores / "metrics.tsv").write_text("a\n1\n")
    about = {"stage": "evaluate", "each": None, "key": "0" * 64, "config": {}, "inputs": {}}
    write_sealed(scores / MANIFEST, about | {"files": describe(scores)})


def _read_manifest(folder):
    """A run whose artifact lies in this very folder, opened as `apply` and `plan` open it.

    What is still JSON is sealed again, as by somebody who means harm.
    """
    from neurodecode.core.finished import open_run
    from neurodecode.core.sealed import write_sealed
    from neurodecode.core.store import MANIFEST, read_artifact

    place = folder / "run" / "scores"
    with contextlib.suppress(ValueError, OSError, RecursionError, AttributeError, TypeError):
        write_sealed(place / MANIFEST, json.loads((place / MANIFEST).read_text()))
    done = [{"stage": "evaluate", "each": None, "folder": str(place)}]
    state = {"status": "done", "done": done, "waiting": [], "error": None}
    (folder / "again").mkdir()
    (folder / "again" / "run.json").write_text(json.dumps(state))
    read_artifact(place)
    view = open_run(folder / "again", "evaluate").view()
    for name in view.files("evaluate"):
        view.path("evaluate", name)


def _read_run(folder):
    from neurodecode.cli import planned_jobs
    from neurodecode.core.finished import open_run
    from neurodecode.data.runs import read_runs

    planned_jobs(folder / "run")
    read_runs([folder / "run"])
    open_run(folder / "run", "index").view().files("index")


def _sweep(folder):
    _run_folder(folder)
    hydra = "hydra:\n  sweeper: {_target_: a.BasicSweeper, params: null}\n"
    hydra += "  overrides:\n    task: ['seed=0,1', 'a=b']\n"
    (folder / "run" / "multirun.yaml").write_text(hydra)


add(
    "run_json",
    _run_folder,
    _read_run,
    mutations.structured,
    "run/run.json",
    names=("/run", "each="),
)
add(
    "manifest_json",
    _run_folder,
    _read_manifest,
    mutations.structured,
    "run/scores/manifest.json",
    names=("/scores",),
    output="again",
)
add("run_tables", _run_folder, _read_run, mutations.text, "run/metrics.tsv", "run/comparisons.tsv")
add(
    "run_yaml",
    _sweep,
    _read_run,
    mutations.yaml_text,
    "run/multirun.yaml",
    "run/.hydra/config.yaml",
    "run/.hydra/overrides.yaml",
)


# Whole commands


def _command(*words):
    """Run a command line; what it says on refusing, or NotForeseen where nobody foresaw it."""
    import contextlib
    import io

    from neurodecode import cli

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = cli.main(list(words))
    if code == 1:
        raise NotForeseen(said.getvalue())
    return said.getvalue() if code == 2 else ""


def _doctor(folder):
    return _command("doctor", str(folder))


def _audit_command(folder):
    words = [
        f"predictions={folder / 'a.tsv'}",
        f"truth={folder / 'b.npy'}",
        f"out={folder / 'out'}",
    ]
    said = _command("audit", *words, "n_bootstrap=50", "n_permutations=199")
    if said and (folder / "out").exists():
        raise NotForeseen(f"left {folder / 'out'} behind: {said}")
    return said


def _report_command(folder):
    return _command("report", str(folder / "run"), "--out", str(folder / "out"))


def _leaderboard_command(folder):
    return _command("leaderboard", str(folder / "run"))


add(
    "doctor_folder",
    _study,
    _doctor,
    mutations.text,
    "sub-01/trials.tsv",
    "stimuli/stimuli.tsv",
    "sub-01/*.npy",
    "stimuli/p0.png",
)
add(
    "audit_command",
    _predictions,
    _audit_command,
    mutations.text,
    "a.tsv",
    "b.tsv",
    "b.npy",
    output="out",
)
add(
    "report_command",
    _run_folder,
    _report_command,
    mutations.text,
    "run/metrics.tsv",
    "run/comparisons.tsv",
    "run/run.json",
    output="out",
)
