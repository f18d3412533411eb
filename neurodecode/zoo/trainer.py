"""The training loop of the small models: bounded in steps and minutes, whole again after a kill."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from neurodecode.contrastive import checkpoint
from neurodecode.core import stop

log = logging.getLogger("neurodecode")
EVERY_S = 15.0  # between lines on the way
SAVE_S = 60.0  # between states on disk


@dataclass(frozen=True)
class Effort:
    """How long and how a model is trained.

    Parameters
    ----------
    steps : int
    batch : int
        Rows a step.
    rate : float
        Peak learning rate.
    minutes : float or None
        Train no longer than this; None: all steps.
    device : str
    seed : int
    """

    steps: int
    batch: int
    rate: float
    minutes: float | None = None
    device: str = "cpu"
    seed: int = 0


class Trainer:
    """AdamW with warm-up and cosine decay, bf16 on GPU, and a moving average of the weights.

    Parameters
    ----------
    model : torch.nn.Module
        On the device.
    effort : Effort
    decay : float
        Of the moving average; less in the first steps, so that a short training forgets its
        beginning too.
    state : Path or None
        File that keeps the training over a kill; None: it begins anew.

    Attributes
    ----------
    rng : torch.Generator
        On the device.
    cpu_rng : torch.Generator
        For what is drawn on the CPU.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        effort: Effort,
        decay: float = 0.999,
        state: Path | None = None,
    ):
        self.model, self.effort, self.decay, self.path = model, effort, decay, state
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=effort.rate,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=effort.device != "cpu",
        )
        self.average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=self._mean, use_buffers=True
        )
        self.rng = torch.Generator(effort.device).manual_seed(effort.seed)
        self.cpu_rng = torch.Generator().manual_seed(effort.seed)
        self.step, self.seconds = 0, 0.0
        if state is not None and (kept := checkpoint.load(state, effort.device)) is not None:
            self._restore(kept)
            log.info("going on from step %d", self.step)

    def run(self, loss_of: Callable, n_rows: int) -> torch.nn.Module:
        """Take the steps, fewer if time is up; the rate decays to 0 in either case.

        Parameters
        ----------
        loss_of : callable (rows) -> (loss, parts)
            Of a batch of row numbers; the parts, by name, are printed.
        n_rows : int

        Returns
        -------
        model : torch.nn.Module
            With the averaged weights.

        Raises
        ------
        Stopped
            When told to stop; the state is on disk by then, if it has a file.
        """
        with stop.postponed() if self.path is not None else nullcontext():
            self._loop(loss_of, n_rows)
        return self.average.module.eval()

    def _loop(self, loss_of, n_rows):
        effort, on_gpu = self.effort, self.effort.device != "cpu"
        started = time.monotonic() - self.seconds
        said, saved = -EVERY_S, time.monotonic()
        while self.step < effort.steps:
            self.seconds = time.monotonic() - started
            done = self._done()
            if done >= 1:
                log.info("time is up after %d steps", self.step)
                break
            for group in self.optimiser.param_groups:
                group["lr"] = effort.rate * self._schedule(done)
            rows = torch.randint(n_rows, (effort.batch,), generator=self.rng, device=effort.device)
            with torch.autocast(effort.device, torch.bfloat16, enabled=on_gpu):
                loss, parts = loss_of(rows)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.average.update_parameters(self.model)
            self.step += 1
            if self.seconds - said >= EVERY_S or self.step == effort.steps:
                said = self.seconds
                self._say(parts, done)
            if self.path is not None and (stop.asked() or time.monotonic() - saved > SAVE_S):
                checkpoint.save(self._state(), self.path)
                saved = time.monotonic()
                if stop.asked():
                    stop.leave()

    def _done(self):
        by_time = self.seconds / 60 / self.effort.minutes if self.effort.minutes else 0.0
        return max(self.step / self.effort.steps, by_time)

    def _schedule(self, done):
        by_step = (self.step + 1) / max(1, min(500, self.effort.steps // 10))
        warm = min(1.0, max(by_step, done / 0.05))  # few steps in a short time warm up sooner
        return warm * (0.5 + 0.5 * math.cos(math.pi * done))

    def _mean(self, averaged, current, n_averaged):
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch.optim.swa_utils.get_ema_multi_avg_fn(decay)(averaged, current, n_averaged)

    def _say(self, parts, done):
        said = " ".join(f"{name} {value.item():.4f}" for name, value in parts.items())
        left = self.seconds * (1 - done) / done if done else 0.0
        log.info("step %d %s [%.0f s, about %.0f s left]", self.step, said, self.seconds, left)

    def _state(self):
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.get_state(),
            "cpu_rng": self.cpu_rng.get_state(),
        }

    def _restore(self, kept):
        for name in ("model", "average", "optimiser"):
            getattr(self, name).load_state_dict(kept[name])
        self.rng.set_state(kept["rng"].cpu())
        self.cpu_rng.set_state(kept["cpu_rng"].cpu())
        self.step, self.seconds = kept["step"], kept["seconds"]


def as_input(pictures):
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def damaged(x, rng):
    """Blur some pictures and add a little noise, so that imperfect pictures are still read."""
    soft = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    chance = torch.rand(len(x), 1, 1, 1, generator=rng, device=x.device)
    blur = (chance < 0.3) * torch.rand(len(x), 1, 1, 1, generator=rng, device=x.device)
    noise = torch.randn(x.shape, generator=rng, device=x.device)
    level = 0.1 * torch.rand(len(x), 1, 1, 1, generator=rng, device=x.device) ** 2
    return x + blur * (soft - x) + level * noise


def save_half(state, path):
    """Save tensors as float16 safetensors (integers stay)."""
    from safetensors.torch import save_file

    half = {k: (v.half() if v.is_floating_point() else v) for k, v in state.items()}
    save_file({k: v.contiguous().cpu() for k, v in half.items()}, path)
