"""What the training scripts share: arguments, the moving average, batches with small damages."""

import argparse
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F


def arguments(about: str, **defaults) -> argparse.ArgumentParser:
    """A parser with the options every training script has; `defaults` are steps, batch, rate."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to save the model in")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scenes", type=int, default=200_000, help="pictures to train on")
    parser.add_argument("--held-out", type=int, default=5000, help="pictures to judge it by")
    parser.add_argument("--workers", type=int, default=2, help="processes that paint them")
    parser.add_argument("--steps", type=int, default=defaults["steps"])
    parser.add_argument("--minutes", type=float, default=60.0, help="train no longer than this")
    parser.add_argument("--batch", type=int, default=defaults["batch"])
    parser.add_argument("--rate", type=float, default=defaults["rate"], help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser


class Trainer:
    """AdamW with warm-up and cosine decay, bf16 on GPU, and a moving average of the weights."""

    def __init__(self, model, options, decay=0.999, steps=None):
        self.model, self.options, self.steps = model, options, steps or options.steps
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=options.rate,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=options.device != "cpu",
        )
        self.average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay), use_buffers=True
        )
        self.rng = torch.Generator(options.device).manual_seed(options.seed)

    def run(self, loss_of, n_rows):
        """Take the steps, fewer if time is up; the rate decays to 0 in either case.

        `loss_of(rows)` is the loss of a batch of row numbers, and its parts to print.
        """
        started, every = time.time(), max(1, self.steps // 20)
        for step in range(self.steps):
            seconds = time.time() - started
            done = max(step / self.steps, seconds / 60 / self.options.minutes)
            if done >= 1:
                print(f"time is up after {step} steps", flush=True)
                break
            for group in self.optimiser.param_groups:
                group["lr"] = self.options.rate * self._schedule(step, done)
            rows = torch.randint(
                n_rows, (self.options.batch,), generator=self.rng, device=self.options.device
            )
            on_gpu = self.options.device != "cpu"
            with torch.autocast(self.options.device, torch.bfloat16, enabled=on_gpu):
                loss, parts = loss_of(rows)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.average.update_parameters(self.model)
            if step % every == 0 or step + 1 == self.steps:
                said = " ".join(f"{name} {value.item():.4f}" for name, value in parts.items())
                print(f"step {step + 1} {said} [{seconds:.0f} s]", flush=True)
        return self.average.module.eval()

    def _schedule(self, step, done):
        warm = min(1.0, (step + 1) / max(1, min(500, self.steps // 10)))
        return warm * (0.5 + 0.5 * math.cos(math.pi * done))


def as_input(pictures):
    """uint8 (n, 64, 64, 3) to float (n, 3, 64, 64) in [-1, 1]."""
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
