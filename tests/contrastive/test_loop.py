"""The training loop averages, selects, warms up, and resumes bit for bit after a kill."""

import logging
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from neurodecode.contrastive import checkpoint, loop
from neurodecode.contrastive.loop import Plan, Run, fit
from neurodecode.core import stop

X = torch.linspace(-1, 1, 32)[:, None]
Y = torch.cat([X.sin(), X.cos()], dim=1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 2))


def batches(epoch):
    order = np.random.default_rng(epoch).permutation(len(X))
    return [torch.from_numpy(rows) for rows in np.split(order, 4)]


def loss(model, rows, epoch):
    error = (model(X[rows]) - Y[rows]).square().mean()
    return {"total": error, "twice": 2 * error}


@torch.no_grad()
def validate(model, epoch):
    return {"score": -float((model(X) - Y).square().mean())}


def trained(plan, **how):
    return fit(network(), batches, loss, validate, plan, **how)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_loss_falls_and_every_part_is_recorded():
    model, history = trained(Plan(n_epochs=40, learning_rate=0.01))
    losses = [h["value"] for h in history if h["name"] == "total"]
    twice = [h["value"] for h in history if h["name"] == "twice"]
    assert losses[-1] < 0.2 * losses[0]
    np.testing.assert_allclose(twice, 2 * np.array(losses), rtol=1e-6)
    assert [h["step"] for h in history if h["name"] == "score"] == list(range(4, 161, 4))
    assert not model.training


class Killed(Exception):
    pass


@pytest.mark.parametrize("select", ["best", "last"])
@pytest.mark.parametrize("kill_at", [1, 13, 22])
def test_killed_and_resumed_equals_not_killed_bit_for_bit(tmp_path, kill_at, select):
    plan, steps = Plan(n_epochs=6, learning_rate=0.01, select=select), []

    def dies(model, rows, epoch):
        steps.append(1)
        if len(steps) == kill_at:
            raise Killed
        return loss(model, rows, epoch)

    how = {"checkpoint": tmp_path / "state.pt", "checkpoint_every": 2}
    with pytest.raises(Killed):
        fit(network(), batches, dies, validate, plan, **how)
    resumed, resumed_history = trained(plan, **how)
    whole, history = trained(plan)
    assert same(resumed, whole) and resumed_history == history


@pytest.mark.parametrize("every, saved", [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (4, [4])])
def test_a_state_is_saved_every_so_many_epochs(tmp_path, monkeypatch, every, saved):
    epochs = []
    monkeypatch.setattr(Run, "save", lambda run, path: epochs.append(run.epoch))
    trained(Plan(n_epochs=6), checkpoint=tmp_path / "state.pt", checkpoint_every=every)
    assert epochs == saved


@pytest.fixture
def always_saved(monkeypatch):
    """A minute passes in no time: a state is saved after every step."""
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SAVING_SHARE", np.inf)


@pytest.mark.parametrize("select", ["best", "last"])
@pytest.mark.parametrize("kill_at", [2, 4, 5, 11, 24])
def test_resumed_in_the_middle_of_an_epoch_equals_not_killed(
    tmp_path, always_saved, kill_at, select
):
    plan, steps = Plan(n_epochs=6, learning_rate=0.01, select=select), []

    def dies(model, rows, epoch):
        steps.append(1)
        if len(steps) == kill_at:
            raise Killed
        return loss(model, rows, epoch)

    def goes_on(model, rows, epoch):
        steps.append(1)
        return loss(model, rows, epoch)

    how = {"checkpoint": tmp_path / "state.pt", "checkpoint_every": 100}
    with pytest.raises(Killed):
        fit(network(), batches, dies, validate, plan, **how)
    resumed = fit(network(), batches, goes_on, validate, plan, **how)
    whole = trained(plan)
    assert len(steps) == 6 * 4 + 1  # no step but that of the kill was done twice
    assert same(resumed[0], whole[0]) and resumed[1] == whole[1]


def test_killed_between_the_last_step_of_an_epoch_and_its_validation(tmp_path, always_saved):
    plan, seen = Plan(n_epochs=3), []

    def dies(model, epoch):
        seen.append(epoch)
        if len(seen) == 2:
            raise Killed
        return validate(model, epoch)

    with pytest.raises(Killed):
        fit(network(), batches, loss, dies, plan, checkpoint=tmp_path / "state.pt")
    resumed = trained(plan, checkpoint=tmp_path / "state.pt")
    whole = trained(plan)
    assert same(resumed[0], whole[0]) and resumed[1] == whole[1]


def test_a_state_is_saved_every_minute_but_saving_takes_a_tenth_of_the_time_at_most(
    monkeypatch, tmp_path
):
    now, saved, takes_s = [0.0], [], [1.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def save(run, path):
        saved.append(now[0])
        now[0] += takes_s[0]

    monkeypatch.setattr(Run, "save", save)

    def slowly(model, rows, epoch):
        now[0] += 7.0
        if epoch == 10:
            takes_s[0] = 30.0
        return loss(model, rows, epoch)

    fit(network(), batches, slowly, validate, Plan(30), tmp_path / "state.pt", 1000)
    gaps = np.diff([0.0, *saved])
    assert gaps[:4].max() <= 60 + 7 + 1 and len(saved) >= 5
    assert gaps[-1] >= 300 + 30


def test_told_to_stop_it_saves_and_leaves_and_goes_on_later(tmp_path):
    plan, steps = Plan(n_epochs=6, learning_rate=0.01), []

    def told(model, rows, epoch):
        steps.append(1)
        if len(steps) == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(model, rows, epoch)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    how = {"checkpoint": tmp_path / "state.pt", "checkpoint_every": 100}
    try:
        with pytest.raises(stop.Stopped):
            fit(network(), batches, told, validate, plan, **how)
    finally:
        signal.signal(signal.SIGTERM, before)
    resumed = fit(network(), batches, told, validate, plan, **how)
    whole = trained(plan)
    assert len(steps) == 6 * 4 and same(resumed[0], whole[0]) and resumed[1] == whole[1]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "emptied", "foreign"])
def test_a_damaged_state_is_noticed_and_training_starts_anew(tmp_path, caplog, damage):
    path, plan = tmp_path / "state.pt", Plan(n_epochs=4)
    trained(Plan(n_epochs=2), checkpoint=path, checkpoint_every=1)
    good = path.read_bytes()
    torch.save({"model": {}}, tmp_path / "foreign.pt")
    bad = {
        "truncated": good[:-100],
        "empty": b"",
        "flipped": good[:2000] + bytes([good[2000] ^ 1]) + good[2001:],
        "emptied": bytes(len(good)),
        "foreign": (tmp_path / "foreign.pt").read_bytes(),
    }[damage]
    path.write_bytes(bad)
    with caplog.at_level(logging.WARNING, "neurodecode"):
        resumed = trained(plan, checkpoint=path)
    assert "state.pt is damaged" in caplog.text and "starts anew" in caplog.text
    whole = trained(plan)
    assert same(resumed[0], whole[0]) and resumed[1] == whole[1]


def test_every_flipped_bit_of_a_state_is_noticed(tmp_path):
    path = tmp_path / "state.pt"
    checkpoint.save({"a": torch.arange(5), "b": [1.5, None]}, path)
    good, noticed = path.read_bytes(), 0
    places = np.random.default_rng(0).choice(8 * len(good), 60, replace=False)
    for place in places:
        bad = bytearray(good)
        bad[place // 8] ^= 1 << (place % 8)
        path.write_bytes(bad)
        noticed += checkpoint.load(path, "cpu") is None
    path.write_bytes(good)
    found = checkpoint.load(path, "cpu")
    assert noticed == 60 and found["b"] == [1.5, None] and torch.equal(found["a"], torch.arange(5))


def test_two_processes_never_write_one_file_and_what_the_dead_left_is_swept(tmp_path, monkeypatch):
    path, names = tmp_path / "state.pt", []
    whole = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (names.append(str(a)), whole(a, b)))
    checkpoint.save({"a": 1}, path)
    checkpoint.save({"a": 2}, path)
    assert len(set(names)) == 2 and f".{os.getpid()}." in names[0]
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / os.path.basename(names[0]).replace(f".{os.getpid()}.", f".{dead.pid}.")
    alive = tmp_path / os.path.basename(names[1])
    left.touch()
    alive.touch()
    assert checkpoint.load(path, "cpu") == {"a": 2}
    assert not left.exists() and alive.exists()


@pytest.mark.slow
def test_a_training_process_killed_by_the_system_resumes_to_the_same_weights(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys, pathlib
        import tests.contrastive.test_loop as t
        folder, kill = pathlib.Path(sys.argv[1]), sys.argv[2] == "kill"
        def loss(model, rows, epoch):
            if kill and epoch == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return t.loss(model, rows, epoch)
        plan = t.Plan(n_epochs=8, learning_rate=0.01)
        model, _ = t.fit(t.network(), t.batches, loss, t.validate, plan, folder / "state.pt", 3)
        print(sum(p.double().sum().item() for p in model.parameters()).hex())
        """
    )

    def process(folder, *how):
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-c", program, str(folder), *how], capture_output=True, text=True
        )

    assert process(tmp_path / "a", "kill").returncode == -9
    resumed, whole = process(tmp_path / "a", "go"), process(tmp_path / "b", "go")
    assert resumed.stdout == whole.stdout != ""


def test_gradients_of_what_is_not_trained_count_nowhere(tmp_path):
    def make():
        model = network()
        model[3].weight.requires_grad_(False)
        return model

    def thaws(model, rows, epoch):  # a network that says so itself, later
        model[3].weight.requires_grad_(True)
        return loss(model, rows, epoch)

    plan = Plan(n_epochs=4, learning_rate=0.01, grad_clip=0.01)
    how = {"checkpoint": tmp_path / "state.pt", "checkpoint_every": 1}
    steps = []

    def dies(model, rows, epoch):
        steps.append(1)
        if len(steps) == 10:
            raise Killed
        return thaws(model, rows, epoch)

    whole, _ = fit(make(), batches, thaws, validate, plan)
    with pytest.raises(Killed):
        fit(make(), batches, dies, validate, plan, **how)
    resumed, _ = fit(make(), batches, thaws, validate, plan, **how)
    assert same(whole, resumed) and torch.equal(whole[3].weight, make()[3].weight)


def test_the_best_epoch_is_kept_when_validation_gets_worse():
    scores = iter([0.1, 0.9, 0.3])
    seen = []

    def says(model, epoch):
        seen.append([p.clone() for p in model.parameters()])
        return {"score": next(scores)}

    model, _ = fit(network(), batches, loss, says, Plan(n_epochs=3, select="best"))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), seen[1], strict=True))


def test_the_best_epoch_is_kept_only_if_asked():
    scores = {"best": iter([0.9, 0.1]), "last": iter([0.9, 0.1])}
    best, last = (
        fit(network(), batches, loss, lambda *_, s=said: {"score": next(s)}, Plan(2, select=select))
        for select, said in scores.items()
    )
    assert not same(best[0], last[0])


def test_averaged_weights_are_the_mean_of_recent_ones():
    run = Run(nn.Linear(1, 1, bias=False), Plan(n_epochs=1, ema_decay=0.5))
    weight = run.model.weight
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            weight.fill_(value)
        run.averaged.update_parameters(run.model)
    # the first is copied; then decays of min(0.5, 2 / 11) and min(0.5, 3 / 12)
    second = 1 + (1 - 2 / 11) * (2 - 1)
    assert run.averaged.module.weight.item() == pytest.approx(second + 0.75 * (3 - second))


def test_the_rate_rises_to_its_peak_and_falls_to_zero():
    rate = Plan(n_epochs=1, warmup=0.1).rate
    assert rate(0.0) == 0 and rate(0.1) == 1 and rate(1.0) == pytest.approx(0)
    assert rate(0.55) == pytest.approx(0.5)
    assert Plan(n_epochs=1, warmup=0.0).rate(0.0) == 1


def test_onecycle_is_that_of_torch():
    n_steps, plan = 50, Plan(1, 1.0, 0.2, schedule="onecycle", start_share=0.04, end_share=0.0004)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1.0, n_steps, pct_start=0.2, div_factor=25, final_div_factor=100
    )
    first, last = plan.warmup * n_steps - 1, n_steps - 1  # torch counts from its first step
    for step in range(n_steps):
        share = 0.2 * step / first if step <= first else 0.2 + 0.8 * (step - first) / (last - first)
        assert plan.rate(share) == pytest.approx(peer.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        peer.step()


def test_a_constant_rate_stays_after_its_warm_up():
    plan = Plan(n_epochs=1, warmup=0.1, schedule="constant", start_share=0.5)
    assert [plan.rate(done) for done in (0.0, 0.05, 0.1, 1.0)] == pytest.approx([0.5, 0.75, 1, 1])


def test_without_averaging_the_weights_are_the_last_ones():
    run = Run(network(), Plan(n_epochs=2, ema_decay=0.0))
    run.train_epoch(batches(0), loss)
    assert same(run.model, run.averaged.module)


def test_patience_ends_a_training_that_no_longer_gets_better(tmp_path):
    said = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.9])
    says = lambda *_: {"score": next(said)}
    plan = Plan(n_epochs=6, patience=2, select="best")
    how = dict(checkpoint=tmp_path / "state.pt", checkpoint_every=1)
    _, history = fit(network(), batches, loss, says, plan, **how)
    assert max(h["epoch"] for h in history) == 4
    _, resumed = fit(network(), batches, loss, says, plan, **how)  # asks nobody anew
    assert resumed == history and next(said) == 0.2


def test_biases_and_gains_do_not_decay():
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    decays, _ = Run(model, Plan(n_epochs=1, weight_decay=0.1)).optimiser.param_groups
    assert decays["weight_decay"] == 0.1 and [p.ndim for p in decays["params"]] == [2]


@pytest.mark.parametrize(
    "option, value",
    [
        ("n_epochs", 3),
        ("learning_rate", 0.002),
        ("warmup", 0.5),
        ("weight_decay", 1.0),
        ("ema_decay", 0.5),
        ("grad_clip", 0.01),
        ("grad_clip", None),
        ("seed", 1),
        ("optimizer", "adam"),
        ("betas", (0.5, 0.9)),
        ("schedule", "onecycle"),
        ("schedule", "constant"),
        ("start_share", 0.5),
        ("end_share", 0.5),
        ("decay_all", True),
    ],
)
def test_every_option_changes_the_weights(option, value):
    usual = {"n_epochs": 4, "learning_rate": 0.01, "weight_decay": 0.1, "grad_clip": 0.1}
    plain, _ = trained(Plan(**usual))
    other, _ = trained(Plan(**usual | {option: value}))
    assert not same(plain, other)


def test_an_unknown_selection_is_refused():
    with pytest.raises(ValueError, match="best, last"):
        Plan(n_epochs=1, select="first")
    with pytest.raises(ValueError, match="n_epochs is 0"):
        Plan(n_epochs=0)
    with pytest.raises(ValueError, match="two numbers from 0 to below 1"):
        Plan(n_epochs=1, betas=(0.9, 1.0))


def test_a_training_that_diverges_says_so():
    def explodes(model, rows, epoch):
        parts = loss(model, rows, epoch)
        return {"total": parts["total"] * (float("nan") if epoch == 2 else 1.0)}

    with pytest.raises(ValueError, match="diverged in epoch 3.*lower learning_rate"):
        fit(network(), batches, explodes, validate, Plan(n_epochs=5, select="best"))
