"""experiment=folder_pictures: a plain folder, from responses to pictures by Stable unCLIP."""

import json
import subprocess
import sys

import numpy as np
import pytest
from transformers import CLIPImageProcessor

from tests.diffusion.adapters import tiny
from tests.zoo.folder import write_pictures, write_responses

pytestmark = pytest.mark.slow
EYE_PX = 16  # what the tiny image encoder looks at


def test_a_plain_folder_ends_in_pictures_of_stable_unclip(tmp_path):
    study, hub = tmp_path / "study", tmp_path / "hub"
    write_responses(study, write_pictures(study / "stimuli"))
    tiny.unclip(tmp_path).save_pretrained(hub)
    size = {"shortest_edge": EYE_PX}
    prepare = CLIPImageProcessor(size=size, crop_size={"height": EYE_PX, "width": EYE_PX})
    prepare.save_pretrained(hub / "feature_extractor")
    given = ["experiment=folder_pictures", f"recipe.root={study}", "device=cpu", "threads=1"]
    given += [f"embed.target.model={hub}", f"reconstruct.generator.path={hub}"]
    given += ["reconstruct.generator.dtype=float32", "reconstruct.generator.steps=2"]
    given += ["train.decoder_training.n_epochs=2", "train.prior_training.n_epochs=1"]
    given += ["predict.n_samples=2", "predict.n_gallery=2", "train.prior.linear_components=4"]
    given += ["train.simulator_components=4"]
    given += ["evaluate.n_bootstrap=20", "evaluate.n_permutations=20", "audit.n_bootstrap=20"]
    given += [f"store={tmp_path / 'store'}", f"hydra.run.dir={tmp_path / 'run'}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *given]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    (made, *_) = (tmp_path / "store" / "reconstruct").rglob("model/pictures.npy")
    pictures = np.load(made)
    assert pictures.shape[1:] == (tiny.PX, tiny.PX, 3) and pictures.std() > 1
    scored = json.loads((tmp_path / "run" / "figures.json").read_text())["metrics"]
    assert {"pixcorr", "brain_to_image_top1"} <= {line["metric"] for line in scored}
    assert (tmp_path / "run" / "report.html").is_file()
