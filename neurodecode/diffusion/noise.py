"""Standard normal noise, drawn on the CPU: the same on every device, with any number of threads."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from math import prod

import torch
from torch import Tensor

MANY = 1 << 20  # numbers from which rows have generators of their own, so that threads share them


def noise(
    shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Draw an array; one thread would take longer over a large one than a GPU over a step.

    Parameters
    ----------
    shape : tuple of int
    generator : torch.Generator
        On the CPU.
    dtype : torch.dtype
    device : torch.device
        Where it goes.

    Returns
    -------
    drawn : Tensor, shape `shape`
    """
    if prod(shape) < MANY:
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)
    seeds = torch.randint(2**62, shape[:1], generator=generator).tolist()
    return rows_of_noise(shape[1:], seeded(seeds), dtype, device)


def seeded(seeds: list[int]) -> list[torch.Generator]:
    """CPU generators, one a seed."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def rows_of_noise(
    shape: tuple[int, ...],
    generators: list[torch.Generator],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Draw a row from each generator: (n_generators, \\*shape)."""
    pinned = torch.device(device).type == "cuda"  # copied while the GPU works
    with torch.inference_mode(False):  # which other threads would not be in
        drawn = torch.empty((len(generators), *shape), dtype=dtype, pin_memory=pinned)
    threads = torch.get_num_threads() if drawn.numel() >= MANY else 1
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        # list() waits, and raises what a thread raised
        list((pool.map if pool else map)(_fill, drawn, generators))
    return drawn.to(device, non_blocking=pinned)


def _fill(row, generator):
    torch.randn(row.shape, generator=generator, out=row)
