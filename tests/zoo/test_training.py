"""Training resumes to the same weights, begins from what is there, and makes what it says."""

import logging

import numpy as np
import pytest
import torch

from neurodecode.core.stop import Stopped
from neurodecode.zoo.clip import view
from neurodecode.zoo.generator import begin_from, network, save_generator
from neurodecode.zoo.prior import code_of
from neurodecode.zoo.train import word_table
from neurodecode.zoo.trainer import Effort, Trainer

EFFORT = Effort(steps=12, batch=4, rate=0.05)


def line(effort=EFFORT, state=None, stop_at=None):
    """Fit y = 3 x with noise by a trainer; stop it at a step, as a signal would."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    trainer = Trainer(model, effort, state=state)
    x = torch.linspace(-1, 1, 50)[:, None]

    def loss_of(rows):
        if trainer.step == stop_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)
        noise = 0.1 * torch.randn(len(rows), 1, generator=trainer.rng)
        loss = (model(x[rows]) - 3 * x[rows] + noise).square().mean()
        return loss, {"loss": loss}

    return trainer, loss_of


def weights(effort=EFFORT, state=None):
    trainer, loss_of = line(effort, state)
    return trainer.run(loss_of, 50).state_dict()


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    whole = weights()
    trainer, loss_of = line(state=tmp_path / "s", stop_at=5)
    with pytest.raises(Stopped):
        trainer.run(loss_of, 50)
    assert trainer.step == 6 and (tmp_path / "s").is_file()
    resumed = weights(state=tmp_path / "s")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_average_forgets_where_a_short_training_began():
    found = weights(Effort(steps=300, batch=16, rate=0.05))
    assert found["weight"].item() == pytest.approx(3, abs=0.1)


def test_time_ends_a_training_and_the_seed_changes_it(caplog):
    caplog.set_level(logging.INFO, "neurodecode")
    trainer, loss_of = line(Effort(10**6, 4, 0.05, minutes=0.002))
    trainer.run(loss_of, 50)
    assert 0 < trainer.step < 10**6 and "time is up after" in caplog.text
    assert not torch.equal(weights()["weight"], weights(Effort(12, 4, 0.05, seed=1))["weight"])


def test_a_wider_generator_begins_with_the_blocks_of_the_narrow_one(tmp_path):
    narrow = network(32, 8, width=32, layers=1)
    wide = network(64, 8, width=32, layers=1)
    save_generator(narrow, tmp_path)
    assert begin_from(wide, str(tmp_path)) == 1.0
    key = "transformer_blocks.0.ff.net.2.weight"
    assert torch.equal(wide.state_dict()[key], narrow.float().state_dict()[key])
    other = network(64, 12, width=32, layers=1)
    assert 0.5 < begin_from(other, str(tmp_path)) < 1.0
    with pytest.raises(ValueError, match="begin from\\s+one of the same width and layers"):
        begin_from(network(64, 8, width=64, layers=1), str(tmp_path))


def test_sizes_that_make_no_generator_are_refused():
    with pytest.raises(ValueError, match="px=40.*patches of 16"):
        network(40, 8)
    with pytest.raises(ValueError, match="width=48.*multiple of 32"):
        network(32, 8, width=48)


@pytest.mark.parametrize("n", [40, 400])
def test_a_code_is_white_and_begins_with_what_words_tell(n):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2, (n, 1)).astype(np.float32)
    flat = rng.standard_normal((n, 60))
    flat[:, 7] += 4 * words[:, 0]
    flat = ((flat - flat.mean(axis=0)) / flat.std(axis=0)).astype(np.float32)
    readout, n_told = code_of(flat, words, 5)
    code = flat @ readout
    assert n_told == 1 and readout.shape == (60, 6)
    assert np.allclose(np.cov(code.T), np.eye(6), atol=0.1)
    assert abs(np.corrcoef(code[:, 0], words[:, 0])[0, 1]) > 0.6


def test_without_words_a_code_is_the_leading_principal_components():
    rng = np.random.default_rng(1)
    flat = rng.standard_normal((200, 20)) * np.r_[5.0, 4.0, np.ones(18)]
    flat -= flat.mean(axis=0)
    readout, n_told = code_of(flat, np.zeros((200, 0)), 2)
    largest = np.linalg.svd(flat, full_matrices=False)[2][:2]
    assert n_told == 0
    assert np.linalg.norm(largest @ np.linalg.qr(readout)[0]) ** 2 == pytest.approx(2, abs=1e-3)


def test_words_count_when_they_are_neither_rare_nor_everywhere():
    said = ["a red disc", "a blue disc", None, "a red ring"] * 20
    rows = np.ones(80, bool)
    assert word_table(said, rows).shape == (80, 5)  # a, disc, red, blue, ring: none in 98 %
    assert np.array_equal(word_table(said, rows, most=2)[0], [1, 1])
    assert word_table(None, rows).shape == (80, 0)


def test_views_of_a_picture_differ_but_keep_left_and_right():
    x = torch.full((64, 3, 32, 32), -0.5)
    x[:, :, :, :16] = 0.5
    seen = view(x, torch.Generator().manual_seed(0))
    assert seen.shape == x.shape and seen.abs().max() <= 1
    assert (seen[..., :8].mean(dim=(1, 2, 3)) > seen[..., -8:].mean(dim=(1, 2, 3))).all()
    assert seen.mean(dim=(1, 2, 3)).std() > 0.05
