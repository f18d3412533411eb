"""Whether an output is the golden one."""

import numpy as np

from tests.golden.rule import probe


def agrees(output, expected, rel=1e-8):
    """Compare shape, sum, length, probe, and the first and last values of a tensor."""
    output = output.detach().numpy()
    flat = output.ravel()
    found = [flat.sum(), np.sqrt((flat**2).sum()), probe(output), *flat[:4], flat[-1]]
    wanted = [expected[name] for name in ("sum", "l2", "probe")]
    wanted += [*expected["first"], expected["last"]]
    return list(output.shape) == expected["shape"] and np.allclose(found, wanted, rtol=rel, atol=0)
