"""How stages read responses and stimuli: at once where they are small, else as rows on disk.

What follows treats both alike: indexed by rows, `Lazy` rows give arrays.
"""

from functools import partial

import numpy as np

from neurodecode.align.apply import transform
from neurodecode.core.lazy import IN_MEMORY, Lazy
from neurodecode.stages.align import load_fitted, read_responses

TARGETS = ("pooled", "tokens", "blurry")


def aligned(inputs, subject, rows, whole=False):
    """Read some split rows of a subject as align scales and maps them: (responses, trials).

    Of responses with times, those that decoders read; `whole`: all.
    """
    responses, trials = inputs.responses(subject, rows=rows)
    return transform(responses, subject, load_fitted(inputs), whole), trials


def aligned_rows(inputs, subject, rows):
    """As `aligned`; of a study that is larger than memory, `Lazy` rows that are aligned when read.

    Nothing aligned is kept: doing it again each time takes less than a step of training, and the
    disk need not hold the study twice.
    """
    responses, trials = read_responses(inputs, subject, rows, large(inputs))
    step = partial(transform, subject=subject, fitted=load_fitted(inputs))
    return (responses.then(step) if isinstance(responses, Lazy) else step(responses)), trials


def large(inputs):
    """Whether the responses of all subjects, or the targets, are more than is read at once."""
    names = [f"{n}.npy" for n in TARGETS if f"{n}.npy" in inputs.files("embed")]
    # tokens are kept as float16 and used as float32
    targets = sum(inputs.size("embed", n) * (2 if n == "tokens.npy" else 1) for n in names)
    return targets > IN_MEMORY or large_responses(inputs)
