"""The doctor names planted faults, crashes on none, and what it tells to run can be run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages import index
from neurodecode.stages.doctor import signals
from neurodecode.stages.doctor.text import WIDTH, as_json, as_text
from neurodecode.stages.doctor.words import as_command
from tests.data.small_study import PICTURES, SHAPE, write_json, write_nifti, write_study, write_tsv
from tests.stages.doctor_study import examined, findings, recipe_of

RUN = "sub-01/func/sub-01_task-scenes_run-01"
DERIVED = "derivatives/simulated/"
PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def edit(path, change):
    """Change a table in place."""
    table = pd.read_csv(path, sep="\t")
    write_tsv(path, change(table))


def events(root):
    return root / f"{RUN}_events.tsv"


def signal(root):
    return root / f"{RUN}_bold.nii.gz"


def set_cell(column, value, row=0):
    def change(table):
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return lambda root: edit(events(root), change)


def cut(path, share=0.6):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])


def shown_once(root):
    (root / "stimuli" / "stimuli.tsv").unlink()
    for number, path in enumerate(sorted(root.rglob("*_events.tsv"))):
        names = [f"{number}-{p}" for p in PICTURES]
        for name, source in zip(names, PICTURES, strict=True):
            (root / "stimuli" / name).write_bytes((root / "stimuli" / source).read_bytes())
        edit(path, lambda table: table.assign(stim_file=names))  # noqa: B023


def two_tasks(root):
    for path in sorted(root.glob("sub-*/func/*")):
        path.with_name(path.name.replace("task-scenes", "task-other")).write_bytes(
            path.read_bytes()
        )
    write_json(root / "task-other_bold.json", {"RepetitionTime": 2.0})


def mask(root):
    return root / f"{DERIVED}sub-01/func/sub-01_task-scenes_desc-brain_mask.nii.gz"


def confounds(root):
    return root / f"{DERIVED}{RUN}_desc-confounds_timeseries.tsv"


def remove(*names):
    def plant(root):
        for name in names:
            (root / name).unlink()

    return plant


def remove_run(root):
    for path in [*root.glob("sub-02/func/*run-02*")]:
        path.unlink()


FAULTS = {
    "events without a byte": (lambda r: events(r).write_text(""), "error events .*is empty"),
    "events without a row": (
        lambda r: events(r).write_text("onset\tduration\tstim_file\n"),
        "error events .*has a header but no events",
    ),
    "no events of a run": (remove(f"{RUN}_events.tsv"), "error run .*run-01_bold.* has no events"),
    "onset beyond the run": (set_cell("onset", 999.0), "error events .*beyond the end of the run"),
    "negative onset": (set_cell("onset", -3.0), "error events .*before the first volume"),
    "onset n/a": (set_cell("onset", "n/a"), "error events .*missing or not finite"),
    "onset that is text": (set_cell("onset", "soon"), "error events .*must be seconds"),
    "the same trial twice": (
        lambda r: edit(events(r), lambda t: pd.concat([t, t.iloc[:1]])),
        "error events .*same onset and stimulus",
    ),
    "an unknown stimulus": (set_cell("stim_file", "q.png"), "error stimuli .*unknown to stimuli/"),
    "a picture that is not there": (
        remove(f"stimuli/{PICTURES[3]}"),
        f"error picture missing stimuli/{PICTURES[3]} is not there",
    ),
    "no column of pictures": (
        lambda r: edit(events(r), lambda t: t.drop(columns="stim_file")),
        "error events .*no column 'stim_file'",
    ),
    "a truncated run": (lambda r: cut(signal(r)), "error truncated .*run-01_bold.nii.gz ends"),
    "a run that is no NIfTI": (
        lambda r: signal(r).write_bytes(b"hello" * 200),
        "error header .*run-01_bold.nii.gz is no readable NIfTI",
    ),
    "TR in header and sidecar": (
        lambda r: write_json(r / "task-scenes_bold.json", {"RepetitionTime": 1.5}),
        "error header .*says TR 2 s in its header, its JSON sidecar 1.5 s",
    ),
    "a broken sidecar": (
        lambda r: (r / "task-scenes_bold.json").write_text("{"),
        "error header .*task-scenes_bold.json is not valid JSON",
    ),
    "an empty signal": (lambda r: signal(r).write_bytes(b""), "error signal .*_bold.nii.gz is em"),
    "no mask of a subject": (remove(mask(Path()).as_posix()), "error run .*recipe.mask"),
    "a mask of another shape": (
        lambda r: write_nifti(mask(r), np.ones((5, 3, 2), np.uint8)),
        r"error mask .*has \(5, 3, 2\) voxels, the run .* \(4, 3, 2\)",
    ),
    "confounds of another length": (
        lambda r: edit(confounds(r), lambda t: t.iloc[:-5]),
        "error confounds .*has 85 rows, the run 90 volumes",
    ),
    "confounds without motion": (
        lambda r: edit(confounds(r), lambda t: t.drop(columns="rot_x")),
        "error confounds .*has no column rot_x",
    ),
    "every picture once": (shown_once, "note test set .*every picture is shown once.*drawn by"),
    "a picture that is none": (
        lambda r: (r / "stimuli" / PICTURES[1]).write_bytes(b"no picture"),
        f"error picture stimuli/{PICTURES[1]} cannot be read",
    ),
    "a truncated picture": (
        lambda r: cut(r / "stimuli" / PICTURES[1], 0.9),
        f"error picture stimuli/{PICTURES[1]} cannot be read .*ends too early",
    ),
    "an empty picture": (
        lambda r: (r / "stimuli" / PICTURES[1]).write_bytes(b""),
        f"error picture empty stimuli/{PICTURES[1]} is empty",
    ),
    "a picture listed twice": (
        lambda r: edit(r / "stimuli/stimuli.tsv", lambda t: pd.concat([t, t.iloc[:1]])),
        "error stimuli .*twice",
    ),
    "two tasks": (two_tasks, "warning tasks 2 tasks, none chosen: other, scenes .*recipe.task"),
    "a lost run": (
        remove_run,
        "warning runs subjects differ in their number of runs.*sub-02 has 1",
    ),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A study without a fault, written once."""
    root = tmp_path_factory.mktemp("sound") / "study"
    write_study(root, n_runs=2)
    assert not findings(examined(root), "error")
    return root


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(sound, tmp_path, name):
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    plant, told = FAULTS[name]
    plant(tmp_path)
    found = examined(tmp_path)
    level = told.split()[0]
    assert any(re.search(told, line) for line in findings(found)), findings(found)
    assert (found.code == 2) == (level == "error")


def test_a_healthy_study_is_told_as_it_is_and_its_command_runs(tmp_path, store):
    write_study(tmp_path / "data set", n_runs=3)
    found = examined(tmp_path / "data set")
    assert (found.kind, found.code) == ("bids", 0)
    about = dict(found.sections[1].rows)
    assert about["subjects"] == "2: sub-01, sub-02" and about["runs"] == "6, 3 a subject"
    assert (about["TR"], about["volumes"]) == ("2 s", "90")
    assert about["trials"] == "48, 24 a subject" and about["frozen test set"] == "2 stimuli"
    roles = {name: role for name, role, *_ in found.sections[1].columns}
    assert roles["stim_file"] == "picture?" and roles["onset"] == ""
    recipe = recipe_of(as_command(found.commands[0].words))
    assert recipe["derivatives"] == "derivatives/simulated" and recipe["mask"]["desc"] == "brain"
    made = run_stage(index.run, {"recipe": recipe}, {}, store)
    assert len(read_table(made.path("trials.tsv"))) == 48


def write_categories(root, labels_of, n_runs=3):
    """Write a study whose runs show categories: the labels of each run, by its number."""
    write_study(root, n_runs=n_runs)
    for number, path in enumerate(sorted(root.rglob("*_events.tsv"))):
        labels = labels_of(number)
        onsets = 5.0 + 12 * np.arange(len(labels))
        write_tsv(path, {"onset": onsets, "duration": 1.0, "trial_type": labels})
    return examined(root)


def test_categories_in_blocks_give_a_command_of_their_own(tmp_path, store):
    write_study(tmp_path, n_runs=3)
    for path in tmp_path.rglob("*_events.tsv"):
        onsets = [6.0 + 32 * b + 2 * i for b in range(5) for i in range(6)]
        labels = np.repeat(["face", "house", "cat", "shoe", "face"], 6)
        write_tsv(path, {"onset": onsets, "duration": 0.5, "trial_type": labels})
    found = examined(tmp_path)
    (command,) = found.commands
    assert command.words["experiment"] == "categories" and found.code == 0
    assert command.words["recipe.merge_gap_s"] == pytest.approx(1.5, abs=0.11)
    made = run_stage(index.run, {"recipe": recipe_of(as_command(command.words))}, {}, store)
    assert len(read_table(made.path("trials.tsv"))) == 2 * 3 * 5


def test_a_class_missing_in_a_run_is_left_out_of_the_command(tmp_path):
    labels = lambda number: ["face", "house", "shoe", "tree", "cat" if number else "face"] * 2
    found = write_categories(tmp_path, labels)
    assert any("class 'cat' is missing in sub-01 run-01" in f for f in findings(found, "warning"))
    assert "cat" in found.commands[0].words["recipe.ignore"] and found.code == 0


@pytest.mark.parametrize(
    ("labels", "n_runs", "told"),
    [
        (["face", "house", "shoe", "tree"], 2, "few runs fewer than 3 runs in sub-01, sub-02"),
        (["face", "house", "shoe"], 3, r"class 3 categories \(face, house, shoe\), and 4 are ne"),
    ],
)
def test_too_few_runs_or_categories_can_be_listed_only(tmp_path, labels, n_runs, told):
    found = write_categories(tmp_path, lambda number: labels * 3, n_runs)
    assert any(re.search(told, f) for f in findings(found, "error")), findings(found)
    assert found.code == 2 and found.commands[0].words["stages"] == ["index"]


def test_fixation_pictures_without_a_category_are_no_trials(tmp_path):
    write_study(tmp_path, n_runs=2)
    for path in tmp_path.rglob("*_events.tsv"):
        edit(
            path,
            lambda t: t.assign(
                trial_type=["n/a"] + ["face", "house"] * 3 + ["face"],
                stim_file=[PICTURES[0], *t["stim_file"][1:]],
            ),
        )
        table = pd.read_csv(path, sep="\t", keep_default_na=False)
        table.loc[1:, "stim_file"] = PICTURES[1:]
        write_tsv(path, table)
    found = examined(tmp_path)
    pictures = next(c for c in found.commands if c.words["experiment"] == "retrieval")
    assert PICTURES[0] in pictures.words["recipe.ignore"]


def test_a_column_of_another_name_is_recognised_by_the_files_that_it_names(tmp_path, store):
    write_study(tmp_path, n_runs=2)
    for path in tmp_path.rglob("*_events.tsv"):
        edit(path, lambda t: t.rename(columns={"stim_file": "image"}))
    found = examined(tmp_path)
    assert found.commands[0].words["recipe.stim_column"] == "image" and found.code == 0
    made = run_stage(
        index.run, {"recipe": recipe_of(as_command(found.commands[0].words))}, {}, store
    )
    assert len(read_table(made.path("stimuli.tsv"))) == len(PICTURES)


def fmriprep(raw, folder, spaces=("MNI152NLin2009cAsym", "T1w")):
    """Write fMRIPrep-style derivatives of a small study."""
    for bold in sorted(raw.glob("sub-*/func/*_bold.nii.gz")):
        place = folder / bold.relative_to(raw).parent
        stem = bold.name.removesuffix("_bold.nii.gz")
        for space in spaces:
            place.mkdir(parents=True, exist_ok=True)
            name = f"{stem}_space-{space}_desc-preproc_bold.nii.gz"
            (place / name).write_bytes(bold.read_bytes())
            write_nifti(
                place / f"{stem}_space-{space}_desc-brain_mask.nii.gz", np.ones(SHAPE, np.uint8)
            )
        motion = dict.fromkeys(signals.MOTION, np.zeros(90))
        write_tsv(place / f"{stem}_desc-confounds_timeseries.tsv", motion)
    write_json(
        folder / "dataset_description.json",
        {"Name": "fMRIPrep", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]},
    )


@pytest.fixture
def prepared(tmp_path):
    """A raw study, and fMRIPrep's derivatives of it elsewhere."""
    raw, derived = tmp_path / "raw", tmp_path / "fmriprep"
    write_study(raw, n_runs=2)
    shutil.rmtree(raw / "derivatives")
    fmriprep(raw, derived)
    return raw, derived


def test_fmripreps_output_without_raw_data_asks_for_them(prepared):
    _, derived = prepared
    found = examined(derived)
    assert (found.kind, found.code) == ("derivatives", 2)
    assert "derivatives alone: no events.tsv" in findings(found, "error")[0]
    spaces = "space-T1w desc-preproc; space-MNI152NLin2009cAsym desc-preproc"
    assert dict(found.sections[0].rows)["spaces"] == spaces
    assert found.commands[0].words["recipe.root"] == "RAW"


def test_fmripreps_output_beside_raw_data_is_used(prepared, store):
    raw, derived = prepared
    assert "recipe.bold_entities" not in examined(raw).commands[0].words
    found = examined(raw, derivatives=derived)
    assert found.code == 0
    recipe = recipe_of(as_command(found.commands[0].words))
    assert recipe["bold_entities"] == {"space": "T1w", "desc": "preproc"}
    made = run_stage(index.run, {"recipe": recipe}, {}, store)
    files = read_table(made.path("sub-01/files.tsv")).set_index("kind")
    assert "space-T1w" in files.loc["mask", "path"].iloc[0]
    inside = raw / "derivatives" / "fmriprep"
    inside.parent.mkdir()
    derived.rename(inside)
    for path in (raw, inside):  # derivatives inside are found by themselves, from either end
        assert examined(path).commands[0].words["recipe.derivatives"] == "derivatives/fmriprep"


def test_what_is_no_data_set_is_told_with_where_to_look(tmp_path):
    write_study(tmp_path / "study", n_runs=2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    study = tmp_path / "study"
    kinds = {
        tmp_path / "nowhere": "missing",
        tmp_path / "empty": "empty",
        tmp_path / "notes": "unknown",
        study / "sub-01": "subject",
        events(study): "file",
        tmp_path: "unknown",
    }
    for path, kind in kinds.items():
        found = examined(path)
        assert (found.kind, found.code) == (kind, 2), path
    for inside in (study / "sub-01", events(study), tmp_path):
        assert f"neurodecode doctor {study}" in findings(examined(inside))[0]


def test_a_run_and_a_store_of_ours_are_recognised(tmp_path, store):
    write_study(tmp_path / "bids", subjects=("sub-01",))
    recipe = {"root": str(tmp_path / "bids"), "derivatives": "derivatives/simulated"}
    run_stage(index.run, {"recipe": recipe}, {}, store)
    found = examined(store.root)
    assert (found.kind, found.code) == ("store", 0) and "index" in as_text(found)
    state = {"status": "failed", "done": [{"stage": "index"}], "waiting": ["split"], "error": "bad"}
    write_json(tmp_path / "run" / "run.json", state)
    found = examined(tmp_path / "run")
    assert found.kind == "run" and found.code == 2 and "error run bad" in findings(found)[0]


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_study(tmp_path, n_runs=2)
    closed = signal(tmp_path)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != closed and allowed(p, mode))
    found = examined(tmp_path)
    assert any(f.startswith(f"error permission {RUN}_bold.nii.gz") for f in findings(found))


@pytest.mark.parametrize("root", ["func", ".", "sub-01"])
def test_paths_are_told_below_the_study_whatever_it_is_called(tmp_path, monkeypatch, root):
    write_study(tmp_path / root, n_runs=2)
    monkeypatch.chdir(tmp_path)
    events(tmp_path / root).write_text("")
    assert findings(examined(root), "error")[0].startswith(
        f"error events {RUN}_events.tsv is empty"
    )


GARBAGE = [b"", b"\xff\xfe\x00garbage\x00" * 40, b"{\n[", b"onset\tonset\n1\n\n2\t3\t4\n"]


@pytest.mark.parametrize("garbage", range(len(GARBAGE)))
def test_no_file_breaks_the_doctor(sound, tmp_path, garbage):
    kinds = ("*.json", "*_events.tsv", "stimuli.tsv", "*_bold.nii.gz", "*_mask.nii.gz", "*ries.tsv")
    for number, pattern in enumerate(kinds):
        root = tmp_path / str(number)
        shutil.copytree(sound, root)
        for path in root.rglob(pattern):
            path.write_bytes(GARBAGE[garbage])
        found = examined(root)
        assert found.code == 2 and findings(found, "error"), pattern


def test_subjects_without_derivatives_are_named(prepared):
    raw, derived = prepared
    shutil.rmtree(derived / "sub-02")
    found = examined(raw, derivatives=derived)
    assert any("1 subjects have no preprocessed run: sub-02" in f for f in findings(found))


def test_a_second_question_that_cannot_be_asked_says_why(tmp_path):
    write_study(tmp_path, n_runs=3)
    (tmp_path / "stimuli" / "stimuli.tsv").unlink()
    for path in tmp_path.rglob("*_events.tsv"):
        edit(path, lambda t: t.assign(trial_type=["face", "house", "tree", "cat"] * 2))
    for path in tmp_path.glob("stimuli/p0[0-4]*"):
        path.unlink()
    found = examined(tmp_path)
    assert found.code == 0 and found.commands[0].words["experiment"] == "categories"
    assert any("only needed to ask which picture" in f for f in findings(found, "warning"))


def test_many_alike_are_told_as_one_and_none_is_lost_to_json(tmp_path):
    write_study(tmp_path, n_runs=4)
    for path in tmp_path.glob("sub-*/func/*_bold.nii.gz"):
        path.write_bytes(b"")
    found = examined(tmp_path)
    text = as_text(found)
    assert text.count("is empty") == 1 and "7 more like it" in text
    assert max(map(len, text.splitlines())) <= max(WIDTH, len(str(tmp_path)) + 24)
    told = json.loads(as_json(found))
    assert sum(f["code"] == "signal" for f in told["findings"]) == 8 and told["code"] == 2


def test_a_run_of_several_gzip_members_is_whole(tmp_path):
    write_study(tmp_path, n_runs=2)
    import gzip

    raw = gzip.decompress(signal(tmp_path).read_bytes())
    signal(tmp_path).write_bytes(gzip.compress(raw[:5000]) + gzip.compress(raw[5000:]))
    assert not findings(examined(tmp_path), "error")


def test_pictures_of_different_formats_are_read_by_their_headers(tmp_path):
    write_study(tmp_path, n_runs=2)
    for path in tmp_path.glob("stimuli/*.png"):
        Image.open(path).convert("RGB").save(path.with_suffix(".jpg"))
        path.unlink()
    for table in [*tmp_path.rglob("*_events.tsv"), tmp_path / "stimuli/stimuli.tsv"]:
        table.write_text(table.read_text().replace(".png", ".jpg"))
    assert examined(tmp_path).code == 0


@pytest.mark.slow
def test_the_printed_command_prepares_a_study(tmp_path):
    write_study(tmp_path / "bids", n_runs=3)
    found = examined(tmp_path / "bids")
    command = as_command(found.commands[0].words).replace(
        "neurodecode run", f"{sys.executable} -m neurodecode.cli run"
    )
    more = f" 'stages=[index,split,preprocess]' store={tmp_path}/store hydra.run.dir={tmp_path}/run"
    done = subprocess.run(command + more, shell=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["error"] is None


def pages(folder):
    """The two examinations that docs/doctor.md shows: a sound study, and one with three faults."""
    write_study(folder / "mystudy", n_runs=3)
    yield examined("mystudy")
    (folder / "mystudy/stimuli" / PICTURES[3]).unlink()
    set_cell("onset", 999.0)(folder / "mystudy")
    cut(folder / "mystudy/sub-02/func/sub-02_task-scenes_run-03_bold.nii.gz")
    yield examined("mystudy")


def test_the_examples_of_the_page_are_what_the_doctor_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    said = [as_text(found) for found in pages(tmp_path)]
    if os.environ.get("NEURODECODE_WRITE_DOCS"):
        new = iter(said)
        fill = lambda match: f"```text\n{next(new)}```"
        page = re.sub(r"```text\n(.*?)```", fill, page, flags=re.DOTALL)
        PAGE.write_text(page, encoding="utf-8")
    unsized = lambda text: re.sub(r"[\d.]+ k?B", "", text)  # compression differs between machines
    assert [unsized(b) for b in blocks] == [unsized(s) for s in said], (
        "NEURODECODE_WRITE_DOCS=1 writes docs/doctor.md anew"
    )
