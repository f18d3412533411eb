"""A plain folder through the whole line: any set of subjects and pictures, painted or not."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.core.views import read_table
from neurodecode.world.scenes import render, sample_scenes

QUICK = [
    "embed=shipped_clip",
    "threads=1",
    "device=cpu",
    "train.decoder_training.n_epochs=3",
    "evaluate.n_bootstrap=50",
    "evaluate.n_permutations=50",
]
N_PICTURES, N_RUNS = 60, 5


def write_scenes(root, shown):
    """Write rendered scenes and, for each subject, the pictures shown: {subject: numbers}."""
    rng = np.random.default_rng(0)
    scenes = sample_scenes(N_PICTURES, rng)
    (root / "stimuli").mkdir(parents=True)
    pictures = render(scenes)
    names = [f"scene{i:02d}.png" for i in range(N_PICTURES)]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(root / "stimuli" / name)
    table = scenes[["shape", "colour"]].assign(stim_file=names)
    table.to_csv(root / "stimuli" / "stimuli.tsv", sep="\t", index=False)
    pixels = pictures[:, ::8, ::8].reshape(N_PICTURES, -1) / 255
    pixels = pixels - pixels.mean(axis=0)
    for subject, numbers in shown.items():
        folder = root / subject
        folder.mkdir(exist_ok=True)
        order = np.concatenate([rng.permutation(numbers) for _ in range(2)])
        responses = pixels[order] @ rng.standard_normal((pixels.shape[1], 40))
        responses += 0.3 * responses.std() * rng.standard_normal(responses.shape)
        np.save(folder / "responses.npy", responses.astype(np.float16))
        runs = np.arange(len(order)) * N_RUNS // len(order)
        trials = pd.DataFrame({"run": runs, "stim_file": [names[i] for i in order]})
        trials.to_csv(folder / "trials.tsv", sep="\t", index=False)


def run(folder, *overrides):
    own = [f"store={folder / 'store'}", f"hydra.run.dir={folder / 'run'}"]
    own += [f"recipe.root={folder / 'study'}"]
    command = [sys.executable, "-m", "neurodecode.cli", "run", *overrides, *own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "run" / "report.html").is_file()
    lines = json.loads((folder / "run" / "figures.json").read_text())["metrics"]
    return {(m["condition"], m["metric"]) for m in lines}, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "shown",
    [
        {"": range(N_PICTURES)},
        {"sub-01": range(30), "sub-02": range(30, 60)},
    ],
    ids=["one subject", "no picture in common"],
)
def test_whoever_saw_what_the_shortest_command_ends_in_a_report(tmp_path, shown):
    write_scenes(tmp_path / "study", shown)
    found, _ = run(tmp_path, "experiment=folder", *QUICK)
    assert {("model", "two_way_embedding"), ("shuffled", "two_way_embedding")} <= found
    assert not any(metric == "pixcorr" for _, metric in found)


@pytest.mark.slow
def test_the_longer_command_of_retrieval_takes_a_plain_folder_too(tmp_path):
    both = range(N_PICTURES)
    write_scenes(tmp_path / "study", {"sub-01": both, "sub-02": both})
    words = ["experiment=retrieval", "recipe=folder", "preprocess=ready"]
    _, said = run(tmp_path, *words, "split.rule.ties=[stimulus_id]", *QUICK)
    assert "10 runs have trials on several sides" in said
    (path,) = (tmp_path / "store" / "align").glob("*/*/alignment.tsv")
    alignment = read_table(path)
    assert alignment["aligner"].tolist() == ["procrustes"] and alignment["score"][0] > 0.1


@pytest.mark.slow
def test_pictures_can_be_painted_from_a_plain_folder_of_scenes(tmp_path):
    write_scenes(tmp_path / "study", {"sub-01": range(N_PICTURES)})
    words = ["recipe=folder", "preprocess=ready", "aligner=identity", "name=painted"]
    words += ["split.rule.ties=[stimulus_id]", "predict.n_gallery=2", "predict.n_samples=2"]
    found, _ = run(tmp_path, *words, *QUICK)
    assert {("model", "pixcorr"), ("model", "attribute_shape"), ("true_features", "ssim")} <= found
