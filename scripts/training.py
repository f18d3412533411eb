"""What the training scripts share: their arguments."""

import argparse
import logging
import sys
from pathlib import Path

import torch

from neurodecode.zoo.trainer import Effort


def arguments(about: str, **defaults) -> argparse.ArgumentParser:
    """A parser with the options every training script has; `defaults` are steps, batch, rate."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("neurodecode").setLevel(logging.INFO)
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


def effort(options, steps: int | None = None) -> Effort:
    """What these options say of a training, with other `steps` if given."""
    return Effort(
        steps or options.steps,
        options.batch,
        options.rate,
        options.minutes,
        options.device,
        options.seed,
    )
