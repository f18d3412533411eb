"""How a network that knows some subjects is tuned to a new one: what waits, learns and stays.

At first the others are learnt, or come trained; then all is frozen but what is the new subject's
own. Which of the two it is stands in a buffer, so that a state that is loaded says it.
"""

from collections.abc import Callable

import torch
from torch import nn

from neurodecode.models.base import BrainOutput


class Tuning(nn.Module):
    """Whose turn it is; without a new subject everybody's, always.

    Parameters
    ----------
    subjects : list of str
        Of the network.
    new_subject : str or None
    source_epochs : int
        Epochs in which the others are learnt.

    Raises
    ------
    ValueError
        If the new subject is not one of them, there are no others, or there is none to wait for.
    """

    def __init__(self, subjects: list[str], new_subject: str | None, source_epochs: int):
        super().__init__()
        if new_subject is not None and new_subject not in subjects:
            raise ValueError(
                f"new_subject is {new_subject}, and the study has {', '.join(subjects)}"
            )
        if new_subject is not None and len(subjects) < 2:
            raise ValueError(
                f"there is nobody beside {new_subject}: name the subjects that were learnt before "
                "too (subjects=…), or new_subject=null"
            )
        if new_subject is None and source_epochs:
            raise ValueError("source_epochs is given without new_subject: whom do they wait for?")
        self.subjects, self.new_subject = subjects, new_subject
        self.source_epochs = source_epochs
        self.register_buffer("begun", torch.tensor(False))
        self.now = False  # as the buffer says, without asking a GPU

    def learning(self) -> list[str]:
        """Whose parts learn now."""
        if self.new_subject is None:
            return self.subjects
        if not self.now and not self.source_epochs:
            raise ValueError(
                f"nothing was learnt of the others before {self.new_subject}: name a trained "
                "network (train.start=…), or how many epochs they are learnt for (source_epochs)"
            )
        if self.now:
            return [self.new_subject]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise ValueError(
                "several devices cannot go over from the others to a new subject in one training: "
                "train.devices=1, or learn the others in a run of its own (train.start)"
            )
        return [s for s in self.subjects if s != self.new_subject]

    def pairs(self, there: list[str]) -> list[tuple[str, str]]:
        """From whom to whom embeddings are sent now, of the subjects in a batch.

        From everybody to who stands a random distance further on in the list, not to themselves; in
        tuning from each of the others to the new subject.
        """
        if self.now:
            new = self.new_subject
            return [(s, new) for s in there if s != new] if new in there else []
        there = [s for s in there if s in self.learning()]
        if len(there) < 2:
            return []
        shift = int(torch.randint(1, len(there), ()))
        return [(s, there[(i + shift) % len(there)]) for i, s in enumerate(there)]

    def withheld(self, output: BrainOutput, subject: str) -> BrainOutput:
        """An answer about a subject whose turn it is not yet, so that nothing is learnt from it."""
        if subject in self.learning() or self.now:  # others are frozen, and their answers harmless
            return output
        return BrainOutput(*(None if part is None else part.detach() for part in output))

    def is_due(self, epoch: int) -> bool:
        """Whether the others are learnt after this epoch, counted from 0."""
        return self.new_subject is not None and not self.now and epoch + 1 >= self.source_epochs

    def begin(self) -> None:
        """It is the new subject's turn from now on, if there is one."""
        self.begun.fill_(self.new_subject is not None)

    def freeze(self, network: nn.Module, own: Callable[[], list]) -> None:
        """Let a network learn what is the new subject's own alone, if it is their turn.

        Parameters
        ----------
        network : nn.Module
        own : callable () -> list of Module or Parameter
        """
        known = self.begun.device.type != "meta" and self.new_subject is not None
        self.now = known and bool(self.begun)
        if self.now:
            network.requires_grad_(False)
            for part in own():
                part.requires_grad_(True)


def freeze_again(network: nn.Module, *_) -> None:
    """Freeze what a network that is being tuned keeps; also a hook of states that are loaded."""
    network.tuning.freeze(network, network.tuned)
