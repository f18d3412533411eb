"""Reading the sizes of a published network from the keys and shapes of its checkpoint."""

from torch import nn

Shapes = dict[str, tuple[int, ...]]


def shape_of(state: Shapes, key: str, layout: str) -> tuple[int, ...]:
    """The shape of a key that a layout must have.

    Raises
    ------
    ValueError
        If the checkpoint has no such key; the message says what it has instead.
    """
    if key not in state:
        raise ValueError(
            f"this is no checkpoint of {layout}: {key} is missing (it has "
            f"{', '.join(sorted(state)[:3]) or 'no key at all'}{', …' if len(state) > 3 else ''})"
        )
    return tuple(state[key])


def numbered(state: Shapes, start: str, end: str) -> int:
    """How many of ``{start}0{end}``, ``{start}1{end}``, … there are."""
    n = 0
    while f"{start}{n}{end}" in state:
        n += 1
    return n


def start_of(state: Shapes, key: str, layout: str) -> str:
    """What stands before a key of a layout; ValueError, as of `shape_of`, if no key ends in it."""
    found = next((k for k in state if k == key or k.endswith(f".{key}")), None)
    if found is None:
        shape_of(state, key, layout)
    return found.removesuffix(key)


def renamed(state: Shapes, start: str, network: nn.Module) -> dict[str, str]:
    """Our key for each published one of a network that keeps it as ``encoders.sub-01``."""
    ours = network.state_dict()
    within = {key: f"encoders.sub-01.{key.removeprefix(start)}" for key in state}
    return {key: name for key, name in within.items() if key.startswith(start) and name in ours}
