"""What the keys and shapes of a published checkpoint say about the network it is of."""

from torch import nn

from neurodecode.models.tsconv import n_times_of

Shapes = dict[str, tuple[int, ...]]


def start_of(state: Shapes, key: str, system: str) -> str:
    """What stands before a key of the published layout; ValueError if no key ends in it."""
    found = next((k for k in state if k == key or k.endswith(f".{key}")), None)
    if found is None:
        raise ValueError(f"{system} has {key}, which this checkpoint lacks")
    return found.removesuffix(key)


def shape_of(state: Shapes, key: str, system: str) -> tuple[int, ...]:
    """Shape of a published key; ValueError if it is not there."""
    if key not in state:
        raise ValueError(f"{system} has {key}, which this checkpoint lacks")
    return tuple(state[key])


def renamed(state: Shapes, start: str, network: nn.Module) -> dict[str, str]:
    """Our key for each published one of a network that keeps it as ``encoders.sub-01``."""
    ours = network.state_dict()
    within = {key: f"encoders.sub-01.{key.removeprefix(start)}" for key in state}
    return {key: name for key, name in within.items() if key.startswith(start) and name in ours}


def convolutions_of(
    state: Shapes,
    convolutions: str,
    projection: str,
    system: str,
    without_projection: tuple[int, int] | None = None,
) -> tuple[dict[str, int], int, int]:
    """Sizes of a published TSConv and of the projection that follows it.

    Parameters
    ----------
    state : dict of tuple
    convolutions, projection : str
        What stands before ``tsconv.0.weight``, and before ``0.weight`` of the projection.
    system : str
        For messages.
    without_projection : tuple of int, optional
        Its shape where it may be missing.

    Returns
    -------
    options : dict of int
        n_channels, filters and kernel. Averages are in no shape: they are the published ones.
    dim : int
        Of the embedding.
    n_times : int
        The fewest samples that give so many features.

    Raises
    ------
    ValueError
        If a key is missing.
    """
    filters, _, _, kernel = shape_of(state, f"{convolutions}tsconv.0.weight", system)
    n_channels = shape_of(state, f"{convolutions}tsconv.4.weight", system)[2]
    last = f"{projection}0.weight"
    found = last in state or without_projection is None
    dim, features = shape_of(state, last, system) if found else without_projection
    options = {"n_channels": n_channels, "filters": filters, "kernel": kernel}
    return options, dim, n_times_of(features // filters, kernel)
