"""`neurodecode train-zoo` from a folder of pictures to a run that uses what it made."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.diffusion.latent_prior import pretrained
from neurodecode.zoo.options import Zoo, check, use_line

from .folder import write_pictures, write_responses

SMALL = ["steps=4", "batch=8", "start=none", "width=32", "layers=1", "px=32", "judged=4"]
SMALL += ["components=4", "device=cpu", "threads=1", "duplicates=equal"]


def zoo(*words):
    return [sys.executable, "-m", "neurodecode.cli", "train-zoo", *map(str, words)]


def done(*words, code=0):
    ran = subprocess.run(zoo(*words), capture_output=True, text=True)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.slow
def test_generator_and_prior_of_the_shipped_target_with_cards_and_sheets(tmp_path):
    write_pictures(tmp_path / "pictures")
    words = [f"pictures={tmp_path / 'pictures'}", f"out={tmp_path / 'out'}", *SMALL]
    said = done(*words)
    out = tmp_path / "out"
    assert f"reconstruct.generator.path={out / 'generator'}" in said.splitlines()[-1]
    tokens = OpenClipTarget().pictures(np.zeros((2, 64, 64, 3), np.uint8))[1]
    made = TokenGenerator(str(out / "generator")).generate(tokens, [0, 1])
    assert made.shape == (2, 32, 32, 3)
    assert pretrained(str(out / "prior"), 16, 128).sample(None, [0], 2).shape == (1, 16, 128)
    record = json.loads((out / "zoo.json").read_text())
    assert len(record["held_out"]) == 6
    figures = record["figures"]["generator"]
    assert {"SSIM", "PixCorr", "FID in the target's space", "ms per picture"} <= set(figures)
    for part in ("generator", "prior"):
        card = (out / part / "README.md").read_text()
        assert "FID in the target's space of true pictures" in card
        assert Image.open(out / part / "contact_sheet.png").width > 300
    assert "done already" in done(*words)
    assert "other batch" in done(*words, "seed=0", *["batch=9"], code=2)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_as_an_unbroken_one(tmp_path):
    write_pictures(tmp_path / "pictures")
    words = [f"pictures={tmp_path / 'pictures'}", *SMALL[1:], "steps=150", "parts=[generator]"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done(*words, f"out={whole}")
    running = subprocess.Popen(zoo(*words, f"out={broken}"), stdout=subprocess.PIPE, text=True)
    while "step 1 " not in (line := running.stdout.readline()):
        assert line, "it ended before it began to train"
    time.sleep(0.2)
    os.kill(running.pid, signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 143 and (broken / "training" / "generator.state").is_file()
    assert "going on from step" in done(*words, f"out={broken}")
    weights = "generator/transformer/diffusion_pytorch_model.safetensors"
    assert (whole / weights).read_bytes() == (broken / weights).read_bytes()
    assert not (broken / "training").exists()


@pytest.mark.slow
@pytest.mark.parametrize("captioned", [True, False], ids=["captions", "pictures alone"])
def test_a_target_is_trained_too_and_says_what_it_cannot(tmp_path, captioned):
    table = write_pictures(tmp_path / "pictures")
    table.to_csv(tmp_path / "captions.tsv", sep="\t", index=False)
    words = [f"pictures={tmp_path / 'pictures'}", f"out={tmp_path / 'out'}", *SMALL, "parts=[clip]"]
    words += [f"captions={tmp_path / 'captions.tsv'}"] if captioned else []
    said = done(*words)
    pooled, tokens = OpenClipTarget(str(tmp_path / "out" / "clip")).pictures(
        np.zeros((1, 64, 64, 3), np.uint8)
    )
    assert pooled.shape == (1, 128) and tokens.shape == (1, 16, 128)
    card = (tmp_path / "out" / "clip" / "README.md").read_text()
    assert ("must not be asked for texts" in card) is not captioned
    assert ("captions found" if captioned else "other views found") in said


def test_mistakes_are_answered_in_one_line(tmp_path):
    assert "train-zoo needs a folder of pictures" in done("px=32", code=2)
    assert "no folder" in done(f"pictures={tmp_path / 'none'}", code=2)
    assert "did you mean batch?" in done(f"pictures={tmp_path}", "bach=3", code=2)
    assert "there is no such choice; there are clip_bigg14_pooled" in done(
        f"pictures={tmp_path}", "clip=vit", code=2
    )


@pytest.mark.parametrize(
    "given, why",
    [
        ({"parts": ()}, "at least one of clip"),
        ({"parts": ("clip",), "clip": "hf-hub:a/b"}, "give one of them"),
        ({"px": 40}, "multiple of 16"),
        ({"width": 40}, "multiple of 32"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given, why):
    with pytest.raises(ValueError, match=why):
        check(Zoo("pictures", **given))


def test_the_words_for_a_run_name_what_was_trained(tmp_path):
    line = use_line(Zoo("p", parts=("clip", "prior")), tmp_path)
    assert f"embed.target.model={tmp_path}/clip" in line
    assert f"train.prior.path={tmp_path}/prior" in line and "generator" not in line
    named = use_line(Zoo("p", clip={"_target_": "a.B"}), tmp_path, "vit_b_32")
    assert "embed=vit_b_32" in named


def test_help_is_fast_and_names_every_option():
    began = time.monotonic()
    said = done("--help")
    assert time.monotonic() - began < 5  # a loaded machine; without a library it is .2 s
    assert all(f"{name}=" in said for name in Zoo.__dataclass_fields__)
    code = "import sys; from neurodecode.cli import main\ntry: main(['train-zoo', '--help'])\n"
    code += "except SystemExit: pass\nassert not {'torch', 'numpy'} & set(sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_a_run_on_a_folder_study_uses_what_was_trained(tmp_path):
    study = tmp_path / "study"
    table = write_pictures(study / "stimuli")
    words = [f"pictures={study / 'stimuli'}", f"out={tmp_path / 'out'}", *SMALL]
    said = done(*words, "parts=[clip,generator,prior]")
    use = said.splitlines()[-1].removeprefix("neurodecode run … ").split()

    write_responses(study, table)
    given = ["recipe=folder", "preprocess=ready", "aligner=identity", "name=own", *use]
    given += [f"recipe.root={study}", "split.rule.ties=[stimulus_id]", "device=cpu", "threads=1"]
    given += ["train.decoder_training.n_epochs=2", "predict.n_samples=1", "predict.n_gallery=1"]
    given += ["evaluate.n_bootstrap=20", "evaluate.n_permutations=20"]
    given += [f"store={tmp_path / 'store'}", f"hydra.run.dir={tmp_path / 'run'}"]
    ran = subprocess.run(
        [sys.executable, "-m", "neurodecode.cli", "run", *given], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    (made, *_) = (tmp_path / "store" / "reconstruct").rglob("model/pictures.npy")
    assert np.load(made).shape[1:] == (32, 32, 3)
