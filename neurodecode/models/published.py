"""Reading the sizes of a published network from the keys and shapes of its checkpoint."""

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


def below(state: Shapes, start: str) -> Shapes:
    """The keys that begin with `start`, without it."""
    return {key.removeprefix(start): s for key, s in state.items() if key.startswith(start)}
