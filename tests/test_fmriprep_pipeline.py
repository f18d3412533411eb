"""fMRIPrep's CIFTI, from the derivatives' folder to the report; the others are in test_doors.py."""

import json
import shutil

import pytest

from tests.data.fmriprep_study import write_fmriprep
from tests.test_pipeline import run

TINY = {"n_subjects": 2, "n_train": 60, "n_test": 16, "n_repeated_train": 8, "n_voxels": 120}


@pytest.mark.slow
def test_a_study_in_cifti_goes_to_its_report(tmp_path):
    dials = [f"recipe.study.{name}={value}" for name, value in TINY.items()]
    made = run(tmp_path, "recipe=world_small", "stages=[simulate]", "threads=1", *dials)
    assert made.returncode == 0, made.stderr
    (bids,) = (tmp_path / "store" / "simulate").glob("*/*/bids")
    shutil.copytree(bids, tmp_path / "bids")
    write_fmriprep(tmp_path / "bids", spaces=("cifti",))
    own = ["experiment=retrieval", "recipe=fmriprep", f"recipe.root={tmp_path / 'bids'}"]
    own += ["recipe.task=scenes", "embed=shipped_clip", "threads=1", "device=cpu"]
    done = run(tmp_path, *own, "recipe.bold_entities.space=fsLR", store="another")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run" / "figures.json").read_bytes())["metrics"]
    found = {
        r["condition"]: r["value"]
        for r in scores
        if (r["subject"], r["metric"]) == ("all", "median_rank")
    }
    assert found["model"] < found["prior_only"]
    assert "surface space fsLR is not at hand" in (tmp_path / "run" / "report.html").read_text()
