"""A study that fMRIPrep preprocessed, from its index to aligned responses, in every format."""

import json

import nibabel
import numpy as np
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.stages import align, index, preprocess
from tests.data.fmriprep_study import (
    on_mesh,
    vertices_of,
    write_fmriprep,
    write_gifti,
)
from tests.data.small_study import PICTURES, mask_of_study, write_nifti, write_study

SPACES = {
    "volume": {"space": "MNI152NLin2009cAsym", "desc": "preproc"},
    "surface": {"space": "fsaverage5"},
    "cifti": {"space": "fsLR", "den": "91k"},
}
CHANNELS = {"volume": "voxels", "surface": "vertices", "cifti": "grayordinates"}
METHOD = {
    "_target_": "neurodecode.preprocess.bold.SingleTrials",
    "estimator": {"_target_": "neurodecode.signal.glm.lsa"},
}


@pytest.fixture
def study(tmp_path, store, artifact):
    """``study("surface")``: two subjects, two runs, in the spaces named.

    Then ``indexed``, ``preprocessed`` and ``aligned`` run the stages on it.
    """

    class Study:
        def __init__(self, *spaces, noise=0.0):
            self.root = tmp_path / "bids"
            self.weights = write_study(self.root, noise=noise)
            self.derived = write_fmriprep(self.root, spaces=spaces)

        def indexed(self, space, **recipe):
            folder = {"root": str(self.root), "derivatives": "derivatives/fmriprep"}
            recipe = folder | {"bold_entities": SPACES[space]} | recipe
            return run_stage(index.run, {"recipe": recipe}, {}, store)

        def preprocessed(self, space, subject="sub-01", recipe=None, **method):
            found = self.indexed(space, **(recipe or {}))
            trials = read_table(found.path("trials.tsv"))
            side = {"p00": "test", "p01": "test"} | dict.fromkeys(("p02", "p03", "p04"), "val")
            columns = ["trial_id", "subject", "run", "stimulus_id"]
            split = trials["stimulus_id"].map(side).fillna("train")
            (tmp_path / "split").mkdir(exist_ok=True)
            table = trials[columns].assign(split=split)
            table.to_csv(tmp_path / "split" / "split.tsv", sep="\t", index=False)
            self.split = artifact(tmp_path / "split")
            config = {"root": str(self.root), "derivatives": "derivatives/fmriprep"}
            config |= {"method": METHOD | method}
            upstream = {"index": found, "split": self.split}
            return run_stage(preprocess.run, config, upstream, store, each=subject)

        def aligned(self, space):
            both = {s: self.preprocessed(space, s) for s in ("sub-01", "sub-02")}
            return run_stage(align.run, {}, {"preprocess": both, "split": self.split}, store)

    return Study


@pytest.mark.parametrize("space", SPACES)
def test_planted_responses_come_back_from_every_format(study, space):
    made = study(space)
    found = made.preprocessed(space)
    responses = np.load(found.path("responses.npy"))
    shown = read_table(found.path("trials.tsv"))["stimulus_id"]
    planted = made.weights["sub-01"][[PICTURES.index(f"{s}.png") for s in shown]]
    assert np.abs(responses - planted).max() < 0.05
    quality = json.loads(found.path("qc.json").read_text())
    assert (quality["channels"], quality["n_channels"]) == (CHANNELS[space], 12)


def test_every_format_gives_the_same_responses(study):
    made = study(*SPACES, noise=0.5)
    volume, surface, cifti = (np.load(made.preprocessed(s).path("responses.npy")) for s in SPACES)
    assert np.allclose(surface, volume, atol=1e-4) and np.allclose(cifti, volume, atol=1e-4)


@pytest.mark.parametrize("space", ["surface", "cifti"])
def test_a_surface_is_aligned_as_a_volume(study, space):
    made = study(space, noise=0.2)
    table = read_table(made.aligned(space).path("alignment.tsv"))
    assert table["score"].notna().all() == (space == "surface")  # fsLR: nobody knows where
    files = made.preprocessed(space).files
    assert {"space/surface.json", "space/vertices.tsv"} <= set(files)
    assert ("space/positions_mm.npy" in files) == (space == "surface")
    assert "space/mask.nii.gz" not in files


def test_both_hemispheres_are_one_run(study):
    files = read_table(study("surface").indexed("surface").path("sub-01/files.tsv"))
    first = files[files["run"] == "run-01"]
    signal = first[first["kind"] == "signal"]
    assert signal["name"].tolist() == ["L", "R"] and (signal["n_volumes"] == 90).all()
    assert set(first["kind"]) == {"signal", "confounds", "confounds_json"}
    assert set(files["folder"]) == {"derivatives"}


def test_a_region_of_the_surface_may_lie_in_both_hemispheres_or_one(study):
    made = study("surface")
    key = np.zeros(10242, np.int32)
    key[vertices_of(6)[:2]] = 1
    array = nibabel.gifti.GiftiDataArray(key, "NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    for name in ("hemi-L_space-fsaverage5_desc-v1", "hemi-R_space-fsaverage5_desc-v1",
                 "hemi-R_space-fsaverage5_desc-ffa"):  # fmt: skip
        path = made.derived / "sub-01" / "func" / f"sub-01_{name}_mask.label.gii"
        nibabel.save(nibabel.GiftiImage(darrays=[array]), path)
    rois = {name: {"suffix": "mask", "desc": name} for name in ("v1", "ffa")}
    found = made.preprocessed("surface", recipe={"rois": rois, "subjects": ["sub-01"]})
    regions = read_table(found.path("space/rois.tsv")).groupby("roi")["channel"].apply(list)
    assert regions["v1"] == [0, 1, 6, 7] and regions["ffa"] == [6, 7]


@pytest.mark.parametrize(
    "change",
    [
        {"confounds": ["nilearn:simple"]},
        {"confounds": ["nilearn:compcor", "global"]},
        {"confounds": ["nilearn:scrubbing"], "confound_options": {"fd_threshold": 2.0}},
    ],
    ids=str,
)
def test_a_strategy_of_nilearn_changes_the_responses(study, change):
    made = study("surface", noise=0.5)
    first = {"confounds": ["nilearn:scrubbing"]}
    before, after = (made.preprocessed("surface", **c) for c in (first, change))
    responses = [np.load(a.path("responses.npy")) for a in (before, after)]
    assert np.abs(responses[0] - responses[1]).max() > 1e-3
    scrubbed = [json.loads(a.path("qc.json").read_text())["n_scrubbed_volumes"]
                for a in (before, after)]  # fmt: skip
    assert scrubbed == [6, 2]


def test_a_volume_that_is_scrubbed_leaves_no_trace(study):
    made = study("surface", noise=0.1)
    clean = np.load(made.preprocessed("surface", confounds=["nilearn:scrubbing"],
                                      standardise="none").path("responses.npy"))  # fmt: skip
    for path in made.derived.rglob("sub-01_*hemi-L_space-fsaverage5_bold.func.gii"):
        series = np.array([a.data for a in nibabel.load(path).darrays])
        series[40, vertices_of(6)] *= np.linspace(1, 3, 6)  # a jerk, as the table says
        write_gifti(path, series, 2.0)
    jerked = np.load(made.preprocessed("surface", confounds=["nilearn:scrubbing"],
                                       standardise="none").path("responses.npy"))  # fmt: skip
    assert np.allclose(clean, jerked, atol=1e-3 * np.abs(clean).max())
    spoilt = np.load(made.preprocessed("surface", standardise="none").path("responses.npy"))
    assert np.abs(spoilt - clean).max() > 0.1 * np.abs(clean).max()


def test_the_json_of_confounds_counts(study):
    made = study("volume")
    compcor = {"confounds": ["nilearn:compcor"]}
    before = made.preprocessed("volume", **compcor)
    path = next(made.derived.rglob("sub-01_*run-02_desc-confounds_timeseries.json"))
    about = json.loads(path.read_text())
    about["a_comp_cor_00"]["Retained"] = about["a_comp_cor_00"]["Mask"] == "WM"
    path.write_text(json.dumps(about))
    assert made.preprocessed("volume", **compcor).folder != before.folder


def test_mistakes_are_named(study):
    made = study("volume", "surface")
    with pytest.raises(ValueError, match="names no strategy of it, such as nilearn:scrubbing"):
        made.preprocessed("volume", confound_options={"fd_threshold": 1.0})
    with pytest.raises(ValueError, match="sub-01 run-01: nilearn has no confounds of .*'simpel'"):
        made.preprocessed("volume", confounds=["nilearn:simpel"])
    signal = next(made.derived.rglob("sub-02_*run-02_hemi-R_*_bold.func.gii"))
    write_gifti(signal, on_mesh(np.ones((70, 6))), 2.0)
    with pytest.raises(ValueError, match="hemi-L.* has 90 volumes .*hemi-R.* 70 volumes"):
        made.indexed("surface")


def test_runs_on_different_grids_are_named_with_the_mask_they_do_not_fit(study):
    made = study("volume")
    signal = next(made.derived.rglob("sub-01_*run-02_*_desc-preproc_bold.nii.gz"))
    smaller = np.asarray(nibabel.load(signal).dataobj)[:3]
    write_nifti(signal, smaller, 2.0)
    with pytest.raises(ValueError, match=r"run-02.*has \(3, 3, 2\) voxels, the mask .*run-01_\S+"):
        made.preprocessed("volume")
    mask = signal.with_name(signal.name.replace("preproc_bold", "brain_mask"))
    write_nifti(mask, mask_of_study()[:3].astype(np.uint8))
    with pytest.raises(ValueError, match=r"run-02_\S+ has \(3, 3, 2\) voxels, \S+run-01_"):
        made.preprocessed("volume")


def test_masks_with_nothing_in_common_say_what_to_do(study):
    made = study("volume")
    for half, run in ((slice(2), "01"), (slice(2, 4), "02")):
        inside = np.zeros((4, 3, 2), np.uint8)
        inside[half] = 1
        mask = next(made.derived.rglob(f"sub-01_*run-{run}_*_desc-brain_mask.nii.gz"))
        write_nifti(mask, inside)
    with pytest.raises(
        ValueError, match="no voxel .common to 2 files.: name another in recipe.mask"
    ):
        made.preprocessed("volume")
