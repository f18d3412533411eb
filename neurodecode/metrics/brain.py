"""Brain correlation: would the decoded picture drive the brain as the true one did?

A picture goes through an encoding model, picture embedding -> responses, fitted on training trials
alone; what it predicts is correlated, across the channels of a region, with what was measured.
Published tables use GNet, a network trained on the recordings of NSD, as the encoder [1]_. Here the
encoder is a ridge regression of the study's own: rows carry its name, and stand beside others by
the same encoder only.

References
----------
.. [1] Ozcelik & VanRullen, Natural scene reconstruction from fMRI, Sci. Rep. 13 (2023).
"""

from dataclasses import dataclass

from neurodecode.metrics.score import NotComputed, Score, pearson


@dataclass(frozen=True)
class BrainCorrelation:
    """Correlation across channels of measured responses with those that a picture predicts.

    ``truth[roi]`` (n_truths, n_channels) is measured, averaged over the trials of a stimulus;
    ``predicted[roi]`` (n_rows, n_channels) is what the encoder says of the reconstructions. Chance
    is read from the mismatched pairs, and is high: all pictures drive a region much alike.
    """

    space = "brain"
    needs = "brain"

    def __call__(self, truth, predicted):
        """Score dicts of responses by region, ``{roi: (n, n_channels)}``."""
        return [
            Score(f"brain_correlation_{roi}_ridge", pearson(truth[roi], predicted[roi]))
            for roi in truth
        ]


@dataclass(frozen=True)
class PublishedBrainCorrelation:
    """The row of published tables, by GNet: named, and never computed by another encoder."""

    name: str = "brain_correlation_gnet"

    space = "brain"
    needs = "brain"

    @property
    def names(self):
        """Of its row."""
        return (self.name,)

    def available(self):
        """Say why it is not computed."""
        return (
            "weights missing: GNet (gnet_multisubject.pt) predicts the voxels of NSD's eight "
            "subjects only, and is not part of this package; brain_correlation_…_ridge is by an "
            "encoder of this study"
        )

    def __call__(self, truth, predicted):
        """Refuse."""
        raise NotComputed(self.available())
