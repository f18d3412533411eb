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

import numpy as np

from neurodecode.metrics.score import NotComputed, Score, pearson

FRACTIONS = tuple(10.0 ** (k / 2) for k in range(-8, 5))


@dataclass(frozen=True)
class BrainCorrelation:
    """Correlation across channels of measured responses with those that a picture predicts.

    ``truth[roi]`` (n_truths, n_channels) is measured, averaged over the trials of a stimulus;
    ``predicted[roi]`` (n_rows, n_channels) is `encode` of the reconstructions' embeddings. Chance
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


def fit_encoder(embeddings, responses, stimuli, fractions=FRACTIONS, n_folds=5):
    """Fit responses = embeddings W + b by ridge regression, a penalty for every channel.

    Parameters
    ----------
    embeddings : ndarray, shape (n_trials, dim)
        Of the pictures shown in training trials.
    responses : ndarray, shape (n_trials, n_channels)
    stimuli : ndarray, shape (n_trials,)
        What was shown: trials of a stimulus stay in one fold.
    fractions : sequence of float
        Candidate penalties, relative to the mean over dimensions of the summed squares of centred
        embeddings: the choice depends on neither unit nor number of trials.
    n_folds : int
        Fewer where there are fewer stimuli.

    Returns
    -------
    encoder : dict of ndarray
        ``weights`` (dim, n_channels), ``intercepts`` and ``alphas`` (n_channels,).
    """
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import GroupKFold

    x, y = np.asarray(embeddings, np.float64), np.asarray(responses, np.float64)
    n_stimuli = len(np.unique(stimuli))
    if not len(x) == len(y) == len(stimuli) or n_stimuli < 2:
        raise ValueError(
            f"an encoder of {len(x)} embeddings and {len(y)} responses to {len(stimuli)} stimuli, "
            f"{n_stimuli} of them different: expected as many of each, and at least 2"
        )
    alphas = np.asarray(fractions, float) * ((x - x.mean(axis=0)) ** 2).sum() / x.shape[1]
    folds = list(GroupKFold(min(n_folds, n_stimuli)).split(x, groups=stimuli))
    how = {"local_alpha": True, "n_targets_batch": 1024}
    model = RidgeCV(alphas, fit_intercept=True, cv=folds, solver_params=how).fit(x, y)
    return {
        "weights": model.coef_,
        "intercepts": model.intercept_,
        "alphas": model.best_alphas_,
    }


def encode(encoder, embeddings):
    """Predict responses (n, n_channels) from picture embeddings (n, dim)."""
    return embeddings @ encoder["weights"] + encoder["intercepts"]
