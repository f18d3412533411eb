"""Attribute accuracy: does a reader see in the reconstruction what the picture shows."""

from dataclasses import dataclass

import numpy as np

from neurodecode.metrics.score import Score


@dataclass(frozen=True)
class AttributeAccuracy:
    """Share of rows whose attribute is read as the stimulus has it; one score each, and the mean.

    Chance is the agreement of mismatched pairs: what these same readings earn against other
    stimuli. It accounts for uneven classes and for a model that always says one thing, which
    1 / n_classes does not.

    Parameters
    ----------
    attributes : tuple of str or None
        Which; None: all that the reader reads and the stimulus table has.
    """

    attributes: tuple[str, ...] | None = None

    space = "picture"
    needs = "attributes"

    def __call__(self, truth, predicted):
        """Score DataFrames of class names: stimuli (n_truths rows) and readings (n_rows)."""
        names = list(self.attributes or (c for c in predicted.columns if c in truth.columns))
        missing = [n for n in names if n not in truth.columns or n not in predicted.columns]
        if missing or not names:
            raise ValueError(
                f"attributes {missing or names} cannot be scored: the stimuli have "
                f"{list(truth.columns)}, the reader reads {list(predicted.columns)}"
            )
        tables = {name: agreement(truth[name], predicted[name]) for name in names}
        mean = np.mean(list(tables.values()), axis=0)
        each = [Score(f"attribute_{name}", table) for name, table in tables.items()]
        return [Score("attribute_mean", mean), *each]


def agreement(truth, predicted):
    """1 where truth i and reading j are the same class, else 0; shape (n_truths, n_rows)."""
    truth, predicted = (np.asarray(list(map(str, labels))) for labels in (truth, predicted))
    return (truth[:, None] == predicted[None, :]).astype(float)
