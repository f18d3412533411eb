"""What decoders answer: each of them as a function (responses, subject) -> arrays by name."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.models.baseline import predict_baseline

Answers = Callable[[np.ndarray, str], dict[str, np.ndarray]]


def network_answers(decoder: nn.Module, read: Callable[[Tensor], Tensor] | None = None) -> Answers:
    """Answers of a network of all subjects.

    Parameters
    ----------
    decoder : nn.Module
        Returns a `BrainOutput`.
    read : callable, optional
        From its tokens to a short code of them, which is then answered too, as ``code``.

    Returns
    -------
    answers : callable
        Of responses (n_trials, n_channels) and a subject: float32 arrays of n_trials rows.
    """

    def answers(responses: np.ndarray, subject: str) -> dict[str, np.ndarray]:
        device = next(decoder.parameters()).device
        with torch.no_grad():
            output = decoder(torch.as_tensor(responses, device=device), subject)._asdict()
            said = {name: part.float() for name, part in output.items() if part is not None}
            if read is not None:
                said["code"] = read(said["tokens"])
        return {name: part.cpu().numpy() for name, part in said.items()}

    return answers


def ridge_answers(fits: dict[str, np.ndarray]) -> Answers:
    """Answers of ridge, fitted subject by subject; arrays are named ``subject/...``."""
    return lambda responses, subject: predict_baseline(responses, own_fit(fits, subject))


def own_fit(fits: dict[str, np.ndarray], subject: str) -> dict[str, np.ndarray]:
    """The arrays of one subject, without its name."""
    own = below(fits, f"{subject}/")
    if not own:
        known = sorted({name.partition("/")[0] for name in fits})
        raise ValueError(f"ridge was fitted to {', '.join(known)}, not to {subject!r}")
    return own


def below(arrays: dict[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with `start`, without it."""
    return {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}
