"""One published network for each subject, or one for all."""

from torch import nn

from neurodecode.models.base import Sizes


def of_subjects(sizes: Sizes, shared: bool, make) -> nn.ModuleDict:
    """One network for each subject, or one for all, named ``shared``.

    Parameters
    ----------
    sizes : Sizes
    shared : bool
    make : callable (number of channels) -> nn.Module

    Raises
    ------
    ValueError
        If the trials have no time axis, or one network is to read different numbers of channels.
    """
    if sizes.n_times is None:
        raise ValueError(
            "this network reads trials with a time axis (channels × times), and these have none: "
            "choose model=residual_mlp, or preprocess=epochs"
        )
    if not shared:
        return nn.ModuleDict({s: make(n) for s, n in sizes.channels.items()})
    if len(set(sizes.channels.values())) > 1:
        told = ", ".join(f"{s} {n}" for s, n in sizes.channels.items())
        raise ValueError(
            f"one network for all subjects needs equal channels, and there are {told}: set "
            "model.shared=false, or select the same sensors"
        )
    return nn.ModuleDict({"shared": make(next(iter(sizes.channels.values())))})


def network_of(networks: nn.ModuleDict, subject: str) -> nn.Module:
    """The network that reads this subject."""
    return networks["shared" if "shared" in networks else subject]
