"""On GPUs, by NCCL: the same contracts as on the CPU. Skipped where there are none."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neurodecode.contrastive.ranks import learn_together
from tests.contrastive import together

ROOT = Path(__file__).parents[2]
N_GPUS = torch.cuda.device_count()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(N_GPUS < 2, reason=f"needs two GPUs, {N_GPUS} are here"),
]


def test_two_gpus_learn_what_one_does_up_to_rounding(tmp_path):
    """bfloat16: answers agree to about 1 %."""
    learnt, history = learn_together(together.lesson(tmp_path), together.decoder(), "cuda", 2)
    alone = replace(together.lesson(tmp_path), checkpoint=None).on("cuda")
    _, told = alone.learn(together.decoder().cuda())
    training = [[h["value"] for h in said if h["split"] == "train"] for said in (history, told)]
    np.testing.assert_allclose(*training, rtol=0.05)
    assert next(learnt.parameters()).device.type == "cuda"


def test_two_gpus_killed_and_resumed_are_bit_for_bit_as_not_killed(tmp_path):
    trouble = together.Trouble(tmp_path, "killed", rank=1, at=15)
    lesson = together.lesson(tmp_path, loss=trouble)
    (tmp_path / "trouble").touch()
    with pytest.raises(Exception, match="SIGKILL"):
        learn_together(lesson, together.decoder(0.2), "cuda", 2)
    (tmp_path / "trouble").unlink()
    resumed = learn_together(lesson, together.decoder(0.2), "cuda", 2)
    (tmp_path / "state.pt").unlink()
    whole = learn_together(lesson, together.decoder(0.2), "cuda", 2)
    assert resumed[1] == whole[1]
    for a, b in zip(resumed[0].parameters(), whole[0].parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradients_of_all_gpus_are_those_of_one():
    command = [sys.executable, "scripts/bench/gradients.py", "--device", "cuda"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
