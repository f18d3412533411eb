"""One published network for each subject, or one for all: what NICE, ATM, UBP and others share."""

from torch import Tensor, nn

from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials
from neurodecode.models.side_heads import SideHeads


class PerSubject(nn.Module):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    Published is the pooled embedding alone; tokens and low-level picture, where the study asks for
    them, are read linearly from it and leave it alone.

    Parameters
    ----------
    sizes : Sizes
        What the data decide; `n_times` must be there.
    shared : bool
        True: one network for all subjects, who must have equal sensors.
    make : callable (number of channels) -> nn.Module
        Builds a network from trials to embeddings.
    """

    def __init__(self, sizes: Sizes, shared: bool, make):
        super().__init__()
        self.sizes = sizes
        self.encoders = of_subjects(sizes, shared, make)
        self.beside = SideHeads(sizes, sizes.dim, detached=True)

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels, n_times)."""
        check_trials(responses, subject, self.sizes)
        network = self.encoders["shared" if "shared" in self.encoders else subject]
        embedding = self.embedded(network, responses, subject)
        tokens, blurry = self.beside(embedding)
        return BrainOutput(tokens, self.scale(network) * embedding, blurry)

    def embedded(self, network: nn.Module, responses: Tensor, subject: str) -> Tensor:
        """What a published network says of trials: (n_trials, dim)."""
        return network(responses)

    def scale(self, network: nn.Module) -> Tensor | float:
        """By what its embeddings are multiplied for the contrast."""
        return 1.0


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
