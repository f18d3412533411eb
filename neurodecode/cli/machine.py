"""What a run may use of this machine: threads, device; and what is said when it fails."""

import os
import sys


def resolve_threads(threads):
    """Return the number of CPU threads; null is all cores."""
    from neurodecode.core.checks import typed
    from neurodecode.core.errors import ConfigError

    if typed(threads, int | None, "threads") is None:
        return len(os.sched_getaffinity(0))
    if threads < 1:
        raise ConfigError(f"threads: expected 1 or more, or null for all cores, got {threads}")
    return threads


def limit_threads(threads):
    """Hold every numeric library to `threads` threads, whether it is loaded already or not."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # sleeping threads leave shared cores to others: a UNet step took .7 s instead of 2-4 s
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def resolve_device(device):
    """Return ``cpu`` or ``cuda``; ``auto`` is cuda where torch finds one."""
    from neurodecode.core.errors import ConfigError

    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: expected auto, cpu or cuda, got {device!r}")
    if device == "cpu":
        return device
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch finds no GPU; use device=cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"


def with_device(node, before, after):
    """Replace the asked-for device by the found one in every node that holds it."""
    if not isinstance(node, dict):
        return node
    found = {k: with_device(v, before, after) for k, v in node.items()}
    return found | {"device": after} if found.get("device") == before else found


def guarded(action, folder="."):
    """Run an action; return its exit code, and turn foreseen mistakes into a message and a code.

    Parameters
    ----------
    action : callable
    folder : path
        Where it writes, for the message of a full disk.
    """
    from neurodecode.core import composing, resources
    from neurodecode.core.errors import DamagedArtifact, UserError

    debug = os.environ.get("NEURODECODE_DEBUG")
    try:
        code = action()
    except KeyboardInterrupt:
        print("interrupted: run the same command to go on from here", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        error = composing.explained(error) or resources.explained(error, folder) or error
        foreseen = isinstance(error, UserError | DamagedArtifact | ValueError | OSError)
        name = "error" if foreseen else f"unforeseen {type(error).__name__}"
        print(f"{name}: {error}", file=sys.stderr)
        print("(NEURODECODE_DEBUG=1 shows where it came from)", file=sys.stderr)
        return 2 if foreseen else 1
    return code if isinstance(code, int) else 0
