"""fMRIPrep's surfaces and CIFTI, from the derivatives' folder to the report, as a user runs it."""

import json
import shutil

import pytest

from tests.data.fmriprep_study import write_fmriprep
from tests.test_pipeline import run

TINY = {"n_subjects": 2, "n_train": 60, "n_test": 16, "n_repeated_train": 8, "n_voxels": 120}


@pytest.mark.slow
def test_a_study_on_the_surface_and_one_in_cifti_go_to_their_reports(tmp_path):
    dials = [f"recipe.study.{name}={value}" for name, value in TINY.items()]
    made = run(tmp_path, "recipe=world_small", "stages=[simulate]", "threads=1", *dials)
    assert made.returncode == 0, made.stderr
    (bids,) = (tmp_path / "store" / "simulate").glob("*/*/bids")
    shutil.copytree(bids, tmp_path / "bids")
    write_fmriprep(tmp_path / "bids", spaces=("surface", "cifti"))
    own = ["experiment=retrieval", "recipe=fmriprep", f"recipe.root={tmp_path / 'bids'}"]
    own += ["recipe.task=scenes", "embed=shipped_clip", "threads=1", "device=cpu"]
    words = {"fsaverage5": "inflated cortex", "fsLR": "surface space fsLR is not at hand"}
    for space, said in words.items():
        done = run(tmp_path, *own, f"recipe.bold_entities.space={space}", store="another")
        assert done.returncode == 0, done.stderr
        scores = json.loads((tmp_path / "run" / "figures.json").read_bytes())["metrics"]
        found = {
            r["condition"]: r["value"]
            for r in scores
            if (r["subject"], r["metric"]) == ("all", "median_rank")
        }
        assert found["model"] < found["prior_only"]
        assert said in (tmp_path / "run" / "report.html").read_text()
