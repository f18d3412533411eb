"""The scripts that trained the shipped models still run, and what they save can be loaded."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurodecode.contrastive.targets import OpenClipTarget
from neurodecode.diffusion.generator import TokenGenerator
from neurodecode.diffusion.latent_prior import pretrained
from neurodecode.metrics.attributes import AttributeReader

SCRIPTS = Path(__file__).parent.parent / "scripts"
PICTURES = np.zeros((2, 64, 64, 3), np.uint8)


def train(name, out, *more):
    few = ["--scenes", "40", "--steps", "3", "--batch", "8", "--held-out", "20", "--device", "cpu"]
    command = [sys.executable, SCRIPTS / f"train_{name}.py", out, *few, *more]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_clip_and_the_generator_train_one_after_the_other(tmp_path):
    assert "picture to caption" in train("clip", tmp_path / "clip")
    pooled, tokens = OpenClipTarget(str(tmp_path / "clip")).pictures(PICTURES)
    assert pooled.shape == (2, 128) and np.isfinite(tokens).all()

    said = train("generator", tmp_path / "generator", "--clip", str(tmp_path / "clip"))
    assert "ms per picture" in said
    made = TokenGenerator(str(tmp_path / "generator")).generate(tokens, [0, 1])
    assert made.shape == (2, 64, 64, 3)


@pytest.mark.slow
def test_the_reader_trains(tmp_path):
    assert "held-out accuracy" in train("reader", tmp_path / "reader")
    assert len(AttributeReader(str(tmp_path / "reader")).read(PICTURES)) == 2


@pytest.mark.slow
def test_the_prior_trains(tmp_path):
    more = ["--scenes", "2100", "--decoder-steps", "3"]  # more scenes than tokens have values
    assert "true code" in train("prior", tmp_path / "prior", *more)
    prior = pretrained(str(tmp_path / "prior"), 16, 128)
    assert prior.sample(None, [0, 1], 2).shape == (2, 16, 128)


@pytest.mark.slow
def test_training_ends_when_time_is_up(tmp_path):
    said = train("reader", tmp_path / "reader", "--steps", "100000", "--minutes", "0.02")
    assert "time is up after" in said
