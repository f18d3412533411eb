import re

import pytest

from neurodecode.data.bids import each_run, find_runs, parse_name, read_sidecars, subjects_of
from neurodecode.data.recipe import Recipe
from tests.data.small_study import write_json, write_study

BARE = {"mask": {}, "confounds": {}}


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_name_is_taken_apart():
    file = parse_name("sub-01_task-x_run-02_space-MNI_res-2_desc-preproc_bold.nii.gz")
    assert file.entities["space"] == "MNI" and file.entities["run"] == "2"
    assert (file.suffix, file.extension) == ("bold", ".nii.gz")
    assert parse_name("README") is None and parse_name("sub_01.txt") is None


def test_every_run_of_a_study_is_found_with_what_belongs_to_it(tmp_path):
    write_study(tmp_path, n_runs=2)
    recipe = Recipe(
        derivatives="derivatives/simulated", rois={"early": {"suffix": "mask", "desc": "early"}}
    )
    runs = find_runs(recipe, tmp_path)
    assert [(r.subject, r.run) for r in runs] == [
        (s, r) for s in ("sub-01", "sub-02") for r in ("run-01", "run-02")
    ]
    last = runs[-1]
    assert (
        last.others["confounds"].name == "sub-02_task-scenes_run-02_desc-confounds_timeseries.tsv"
    )
    assert last.others["mask"].name == "sub-02_task-scenes_desc-brain_mask.nii.gz"
    assert last.others["roi/early"].name == "sub-02_task-scenes_desc-early_mask.nii.gz"
    assert read_sidecars(last)["RepetitionTime"] == 2.0


def test_the_nearer_sidecar_is_the_stronger(tmp_path):
    write_study(tmp_path, subjects=("sub-01",), n_runs=2)
    write_json(tmp_path / "bold.json", {"RepetitionTime": 9, "EchoTime": 0.03})
    write_json(tmp_path / "sub-01/func/sub-01_task-scenes_run-2_bold.json", {"RepetitionTime": 1.5})
    write_json(tmp_path / "sub-01/sub-01_task-other_bold.json", {"RepetitionTime": 7})
    first, second = find_runs(Recipe(**BARE), tmp_path)
    assert read_sidecars(first) == {"RepetitionTime": 2.0, "TaskName": "scenes", "EchoTime": 0.03}
    assert read_sidecars(second)["RepetitionTime"] == 1.5


def test_sessions_keep_their_runs_apart_and_runs_are_ordered_by_number(tmp_path):
    for session, run in [("b", "1"), ("a", "10"), ("a", "9")]:
        stem = f"sub-1/ses-{session}/func/sub-1_ses-{session}_task-x_run-{run}"
        touch(tmp_path, f"{stem}_bold.nii.gz", f"{stem}_events.tsv")
    runs = find_runs(Recipe(**BARE), tmp_path)
    assert [r.run for r in runs] == ["ses-a_run-9", "ses-a_run-10", "ses-b_run-1"]
    assert runs[0].session == "ses-a"


def test_fmripreps_output_is_taken_by_space_and_events_from_the_raw_data(tmp_path):
    raw, derived = tmp_path / "raw", tmp_path / "fmriprep"
    stem = "sub-10/func/sub-10_task-risk_run-1"
    touch(raw, f"{stem}_bold.nii.gz", f"{stem}_events.tsv")
    for space in ("MNI152NLin2009cAsym_res-2", "T1w"):
        touch(derived, f"{stem}_space-{space}_desc-preproc_bold.nii.gz")
        touch(derived, f"{stem}_space-{space}_desc-brain_mask.nii.gz")
    touch(
        derived,
        "sub-10/anat/sub-10_desc-brain_mask.nii.gz",
        f"{stem}_desc-confounds_timeseries.tsv",
    )
    write_json(raw / "task-risk_bold.json", {"RepetitionTime": 2})
    write_json(derived / f"{stem}_space-T1w_desc-preproc_bold.json", {"StartTime": 0.97})
    recipe = Recipe(derivatives=str(derived), bold_entities={"space": "T1w", "desc": "preproc"})
    (run,) = find_runs(recipe, raw)
    assert run.signal.name.endswith("_space-T1w_desc-preproc_bold.nii.gz")
    assert run.others["mask"].name.endswith("_run-1_space-T1w_desc-brain_mask.nii.gz")
    assert run.events.is_relative_to(raw)
    assert read_sidecars(run) == {"RepetitionTime": 2, "StartTime": 0.97}
    with pytest.raises(ValueError, match="recipe.bold_entities"):
        find_runs(Recipe(derivatives=str(derived), bold_entities={"desc": "preproc"}), raw)


def fmriprep(root, *spaces, events=True):
    """Name the files of a run that fMRIPrep wrote in some spaces."""
    raw, derived = root / "raw", root / "fmriprep"
    stem = "sub-10/func/sub-10_task-risk_run-1"
    touch(raw, f"{stem}_bold.nii.gz", *([f"{stem}_events.tsv"] if events else []))
    touch(
        derived,
        f"{stem}_desc-confounds_timeseries.tsv",
        "sub-10/anat/sub-10_desc-brain_mask.nii.gz",
    )
    touch(derived, *(f"{stem}_{space}" for space in spaces))
    write_json(
        derived / "dataset_description.json", {"Name": "fMRIPrep", "DatasetType": "derivative"}
    )
    return raw, derived


SURFACES = [
    *(f"hemi-{h}_space-{s}_bold.func.gii" for s in ("fsaverage5", "fsnative") for h in "LR"),
    "space-fsLR_den-91k_bold.dtseries.nii",
    "space-fsLR_den-91k_bold.json",
]


OLDER = [re.sub(r"(hemi-.)_(space-\w+?)_", r"\2_\1_", name) for name in SURFACES]  # before 21.0


@pytest.mark.parametrize("names", [SURFACES, OLDER])
def test_hemispheres_are_one_run_and_need_no_mask(tmp_path, names):
    raw, derived = fmriprep(tmp_path, *names)
    (run,) = find_runs(Recipe(derivatives=str(derived), bold_entities={"space": "fsaverage5"}), raw)
    assert list(run.signals) == ["L", "R"] and set(run.others) == {"confounds"}
    assert all("fsaverage5" in p.name for p in run.signals.values())
    (run,) = find_runs(Recipe(derivatives=str(derived), bold_entities={"space": "fsLR"}), raw)
    assert list(run.signals) == [""] and run.signal.name.endswith(".dtseries.nii")
    assert [p.name for p in run.sidecars] == ["sub-10_task-risk_run-1_space-fsLR_den-91k_bold.json"]


def test_several_kinds_of_one_space_ask_for_a_choice(tmp_path):
    both = ("space-MNI_res-2_desc-preproc_bold.nii.gz", "space-MNI_desc-preproc_bold.nii.gz")
    both += tuple(n.replace("_bold.nii", "_mask.nii").replace("preproc", "brain") for n in both)
    raw, derived = fmriprep(tmp_path, *both, *SURFACES, "hemi-L_space-fsLR_den-91k_bold.func.gii")
    found = lambda **entities: find_runs(
        Recipe(derivatives=str(derived), bold_entities=entities), raw
    )[0]
    for ambiguous in ({"space": "MNI"}, {"space": "fsLR"}):
        with pytest.raises(ValueError, match="are one run: say in recipe.bold_entities"):
            found(**ambiguous)
    for res in ("2", ""):
        run = found(space="MNI", res=res)
        assert ("res-2" in run.signal.name) == ("res-2" in run.others["mask"].name) == bool(res)


def test_fmripreps_folder_is_not_the_data_set(tmp_path):
    _, derived = fmriprep(tmp_path, *SURFACES)
    for derivatives in ("", str(derived)):
        with pytest.raises(FileNotFoundError, match="events lie in the raw data set.*recipe.root="):
            find_runs(Recipe(derivatives=derivatives, bold_entities={"space": "fsLR"}), derived)


def test_spaces_that_are_there_are_listed_when_another_is_asked_for(tmp_path):
    raw, derived = fmriprep(tmp_path, *SURFACES)
    with pytest.raises(FileNotFoundError, match="there are .*space: fsLR, den: 91k}.dtseries.nii"):
        find_runs(Recipe(derivatives=str(derived), bold_entities={"space": "fsaverage"}), raw)
    with pytest.raises(FileNotFoundError, match="there is none at all"):
        find_runs(Recipe(derivatives="nowhere", bold_entities={"space": "fsLR"}), raw)


def test_a_subject_that_fmriprep_left_out_is_named_if_it_was_asked_for(tmp_path):
    raw, derived = fmriprep(tmp_path, *SURFACES)
    touch(raw, "sub-11/func/sub-11_task-risk_run-1_events.tsv")
    recipe = {"derivatives": str(derived), "bold_entities": {"space": "fsLR"}}
    assert [r.subject for r in find_runs(Recipe(**recipe), raw)] == ["sub-10"]
    with pytest.raises(FileNotFoundError, match="holds no signal file .* of sub-11"):
        find_runs(Recipe(**recipe, subjects=["sub-10", "sub-11"]), raw)


def test_sessions_of_fmriprep_keep_their_hemispheres_and_confounds(tmp_path):
    for session in ("a", "b"):
        stem = f"sub-1/ses-{session}/func/sub-1_ses-{session}_task-x"
        touch(tmp_path / "raw", f"{stem}_events.tsv")
        names = [f"{stem}_hemi-{h}_space-fsaverage5_bold.func.gii" for h in "LR"]
        touch(tmp_path / "fmriprep", *names, f"{stem}_desc-confounds_timeseries.tsv")
        write_json(tmp_path / "fmriprep" / f"{stem}_desc-confounds_timeseries.json", {})
    recipe = Recipe(derivatives=str(tmp_path / "fmriprep"), bold_entities={"space": "fsaverage5"})
    runs = find_runs(recipe, tmp_path / "raw")
    assert [r.run for r in runs] == ["ses-a_run-1", "ses-b_run-1"]
    for run in runs:
        own = [*run.signals.values(), run.events, *run.others.values()]
        assert len(own) == 5 and all(f"_{run.session}_" in p.name for p in own)


def test_raw_events_may_be_missing(tmp_path):
    raw, derived = fmriprep(tmp_path, *SURFACES, events=False)
    with pytest.raises(FileNotFoundError, match=f"has no events: none of .* below {raw}"):
        find_runs(Recipe(derivatives=str(derived), bold_entities={"space": "fsLR"}), raw)


def test_two_tasks_ask_for_a_choice(tmp_path):
    for task in ("a", "b"):
        stem = f"sub-1/func/sub-1_task-{task}"
        touch(tmp_path, f"{stem}_bold.nii.gz", f"{stem}_events.tsv")
    with pytest.raises(ValueError, match="recipe.task"):
        find_runs(Recipe(**BARE), tmp_path)
    assert len(find_runs(Recipe(task="b", **BARE), tmp_path)) == 1


def test_events_may_be_shared_by_all_subjects(tmp_path):
    touch(tmp_path, "sub-1/func/sub-1_task-x_bold.nii.gz", "task-x_events.tsv")
    assert find_runs(Recipe(**BARE), tmp_path)[0].events == tmp_path / "task-x_events.tsv"


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a folder"):
        subjects_of(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no folder sub-"):
        subjects_of(tmp_path)
    touch(tmp_path, "sub-1/func/sub-1_task-x_bold.nii.gz")
    with pytest.raises(FileNotFoundError, match="no events"):
        find_runs(Recipe(**BARE), tmp_path)
    touch(tmp_path, "sub-1/func/sub-1_task-x_events.tsv")
    with pytest.raises(FileNotFoundError, match="recipe.mask"):
        find_runs(Recipe(confounds={}), tmp_path)
    with pytest.raises(FileNotFoundError, match="task-y"):
        find_runs(Recipe(task="y", **BARE), tmp_path)
    with pytest.raises(FileNotFoundError, match="sub-7.*sub-1"):
        subjects_of(tmp_path, ["sub-7"])


def test_two_masks_that_fit_equally_well_are_not_guessed_between(tmp_path):
    stem = "sub-1/func/sub-1_task-x"
    touch(tmp_path, f"{stem}_bold.nii.gz", f"{stem}_events.tsv")
    touch(tmp_path, f"{stem}_desc-brain_mask.nii.gz", "sub-1/anat/sub-1_task-x_desc-brain_mask.nii")
    with pytest.raises(ValueError, match="equally well"):
        find_runs(Recipe(confounds={}), tmp_path)


def test_broken_json_is_named(tmp_path):
    touch(tmp_path, "sub-1/func/sub-1_task-x_bold.nii.gz", "task-x_events.tsv")
    (tmp_path / "task-x_bold.json").write_text("{RepetitionTime: 2}")
    with pytest.raises(ValueError, match=r"task-x_bold.json is not valid JSON"):
        read_sidecars(find_runs(Recipe(**BARE), tmp_path)[0])


def test_signals_lie_in_the_folder_and_end_as_the_recipe_says(tmp_path):
    signals = ("func/sub-1_task-x_bold", "perf/sub-1_task-x_bold", "func/sub-1_task-x_cbv")
    touch(tmp_path, "task-x_events.tsv", *(f"sub-1/{s}.nii.gz" for s in signals))
    for signal, said in zip(signals, ({}, {"datatype": "perf"}, {"suffix": "cbv"}), strict=True):
        (run,) = find_runs(Recipe(**BARE, **said), tmp_path)
        assert run.signal == tmp_path / "sub-1" / f"{signal}.nii.gz"


def test_another_pattern_finds_another_mask_and_no_pattern_none(tmp_path):
    write_study(tmp_path, subjects=("sub-01",), n_runs=1)
    found = lambda **patterns: find_runs(
        Recipe(derivatives="derivatives/simulated", **patterns), tmp_path
    )[0]
    assert found().others["mask"].name.endswith("_desc-brain_mask.nii.gz")
    early = found(mask={"suffix": "mask", "desc": "early"})
    assert early.others["mask"].name.endswith("_desc-early_mask.nii.gz")
    for nothing in ({}, None):  # a command line can give null; {} there changes nothing
        assert set(found(mask=nothing).others) == {"confounds"}
        assert "confounds" not in found(confounds=nothing).others


def test_confounds_are_chosen_among_several_tables(tmp_path):
    write_study(tmp_path, subjects=("sub-01",), n_runs=1)
    name = "sub-01_task-scenes_run-01_desc-{}_timeseries.tsv"
    touch(tmp_path, "derivatives/simulated/sub-01/func/" + name.format("denoised"))
    for desc in ("confounds", "denoised"):
        pattern = {"suffix": "timeseries", "desc": desc}
        recipe = Recipe(derivatives="derivatives/simulated", confounds=pattern)
        assert find_runs(recipe, tmp_path)[0].others["confounds"].name == name.format(desc)


def test_an_empty_room_is_no_subject_unless_it_is_asked_for(tmp_path):
    touch(tmp_path, "task-noise_events.tsv")
    for subject in ("sub-emptyroom", "sub-01"):
        touch(tmp_path, f"{subject}/meg/{subject}_task-noise_meg.fif")
    assert subjects_of(tmp_path) == ["sub-01"]
    assert subjects_of(tmp_path, ["sub-emptyroom"]) == ["sub-emptyroom"]
    recipe = Recipe(datatype="meg", suffix="meg", **BARE)
    assert [r.subject for r in find_runs(recipe, tmp_path)] == ["sub-01"]


def test_each_run_is_found_or_its_error_told_and_the_others_go_on(tmp_path):
    write_study(tmp_path, n_runs=3)
    (tmp_path / "sub-01/func/sub-01_task-scenes_run-02_events.tsv").unlink()
    found = list(each_run(Recipe(derivatives="derivatives/simulated"), tmp_path))
    errors = [f for f in found if isinstance(f, Exception)]
    assert len(found) == 6 and len(errors) == 1 and "run-02_bold" in str(errors[0])
    with pytest.raises(FileNotFoundError, match="run-02_bold.* has no events"):
        find_runs(Recipe(derivatives="derivatives/simulated"), tmp_path)


def sensors_of(root):
    (run,) = find_runs(Recipe(datatype="ieeg", suffix="ieeg", **BARE), root)
    return {
        k: run.others[k].name for k in ("channels", "electrodes", "coordsystem") if k in run.others
    }


def test_electrodes_in_the_subjects_own_space_go_before_those_in_a_template(tmp_path):
    stem = "sub-a/ieeg/sub-a_task-x_run-01"
    touch(tmp_path, f"{stem}_ieeg.vhdr", f"{stem}_events.tsv", f"{stem}_channels.tsv")
    assert sensors_of(tmp_path) == {"channels": "sub-a_task-x_run-01_channels.tsv"}
    for space in ("MNI152Lin", "Talairach", "ACPC", "pixels"):
        for end in ("electrodes.tsv", "coordsystem.json"):
            touch(tmp_path, f"sub-a/ieeg/sub-a_space-{space}_{end}")
        found = sensors_of(tmp_path)
        wanted = "ACPC" if space in ("ACPC", "pixels") else "MNI152Lin"
        assert found["electrodes"] == f"sub-a_space-{wanted}_electrodes.tsv"
        assert found["coordsystem"] == f"sub-a_space-{wanted}_coordsystem.json"
    touch(tmp_path, "sub-a/ieeg/sub-a_acq-grid_electrodes.tsv")
    assert sensors_of(tmp_path)["electrodes"] == "sub-a_acq-grid_electrodes.tsv"


def test_the_parts_and_companions_of_a_recording_belong_to_one_run(tmp_path):
    stem = "sub-a/meg/sub-a_task-x_run-01"
    touch(tmp_path, f"{stem}_events.tsv", *(f"{stem}_split-0{i}_meg.fif" for i in (1, 2)))
    touch(tmp_path, *(f"sub-a/meg/sub-a_acq-{c}_meg.fif" for c in ("crosstalk", "calibration")))
    (run,) = find_runs(Recipe(datatype="meg", suffix="meg", **BARE), tmp_path)
    assert run.signal.name == "sub-a_task-x_run-01_split-01_meg.fif"
    assert [p.name for p in run.others.values()] == ["sub-a_task-x_run-01_split-02_meg.fif"]


def test_a_ctf_folder_is_one_signal(tmp_path):
    stem = "sub-a/meg/sub-a_task-x_run-01"
    name = "sub-a_task-x_run-01_meg"
    touch(
        tmp_path, f"{stem}_events.tsv", f"{stem}_meg.ds/{name}.meg4", f"{stem}_meg.ds/{name}.res4"
    )
    (run,) = find_runs(Recipe(datatype="meg", suffix="meg", **BARE), tmp_path)
    assert run.signal == tmp_path / f"{stem}_meg.ds" and not run.others
