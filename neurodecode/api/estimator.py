"""A decoder of one's own trials, by scikit-learn's conventions: ridge, or a network."""

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from neurodecode.api.inputs import as_embeddings, as_responses
from neurodecode.core.errors import ConfigError

BRAIN = "brain"  # what a network of one subject calls it
BATCH = 64


class Decoder(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Decode trials into an embedding of what was seen.

    Parameters
    ----------
    model : {"ridge", "network"}
        ``ridge``: himalaya's, the penalty chosen on left-out groups unless `alpha` is given.
        ``network``: a residual network trained contrastively, which predicts unit rows: it learns
        which of many pictures was seen, and wants embeddings of some dimensions.
    target : object or None
        Embeds pictures, where Y are pictures: has a method ``pictures``, see
        `neurodecode.contrastive.targets.Target`. None: the CLIP that comes with the package.
    mask : image, path or fitted masker, or None
        Which voxels are read, where X are images.
    standardize : bool
        Bring every channel, at each time, to mean 0 and variance 1 over the training trials.
    alpha : float or None
        Penalty of ridge, ||y - x W - b||^2 + alpha ||W||^2; None: chosen for each target on
        left-out groups.
    n_folds : int
        Of that choice.
    n_epochs : int
        Passes of the network through the training trials.
    learning_rate : float
        Of the network, at its peak.
    hidden : int
        Width of the network.
    validation : float
        Share of the groups that select the network's epoch and train nothing.
    random_state : int, RandomState or None
        Of the network's weights, batches and validation groups.
    device : str
        ``cpu`` or ``cuda``, of the network.

    Attributes
    ----------
    n_features_in_ : int
        Channels, or channels times times.
    coef_, intercept_ : ndarray, (n_targets, n_features), (n_targets,)
        Of ridge, for X as it comes.
    alphas_ : ndarray, (n_targets,)
        Penalties of ridge.
    network_ : nn.Module
    history_ : list of dict
        What the network's training recorded.
    """

    def __init__(
        self,
        model="ridge",
        *,
        target=None,
        mask=None,
        standardize=True,
        alpha=None,
        n_folds=5,
        n_epochs=16,
        learning_rate=3e-3,
        hidden=256,
        validation=0.1,
        random_state=None,
        device="cpu",
    ):
        self.model = model
        self.target = target
        self.mask = mask
        self.standardize = standardize
        self.alpha = alpha
        self.n_folds = n_folds
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.hidden = hidden
        self.validation = validation
        self.random_state = random_state
        self.device = device

    def fit(self, X, y, groups=None):
        """Fit to trials.

        Parameters
        ----------
        X : array (n_trials, n_channels[, n_times]), mne.Epochs, image or list of images
        y : array (n_trials, dim) or (n_trials,), or list of pictures
            Embeddings; pictures (paths, PIL images, uint8 arrays) are embedded by `target`.
        groups : array, shape (n_trials,), optional
            What must not be cut apart when a penalty or an epoch is chosen: the run of each trial,
            since trials of a run share noise. None: each trial stands for itself.

        Returns
        -------
        self : Decoder
        """
        if self.model not in MODELS:
            raise ConfigError(f"model={self.model!r}: choose one of {', '.join(MODELS)}")
        y = as_embeddings(y, self._target)
        X = _flat(as_responses(X, self.mask))
        X, y = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_min_samples=2
        )
        groups = np.arange(len(X)) if groups is None else np.asarray(groups)
        if len(groups) != len(X):
            raise ValueError(f"{len(X)} trials and {len(groups)} groups do not match")
        self._single = y.ndim == 1
        y = y.astype(np.float64).reshape(len(y), -1)
        self.mean_, self.scale_ = _scaling(X) if self.standardize else (0.0, 1.0)
        MODELS[self.model][0](self, (X - self.mean_) / self.scale_, y, groups)
        return self

    def predict(self, X):
        """Decode trials.

        Returns
        -------
        predicted : ndarray, shape (n_trials, dim) or (n_trials,), as y was
        """
        check_is_fitted(self)
        X = _flat(as_responses(X, self.mask))
        X = validate_data(self, X, reset=False, dtype=np.float64)
        predicted = MODELS[self.model][1](self, X)
        return predicted[:, 0] if self._single else predicted

    def score(self, X, y, sample_weight=None):
        """Two-way identification: is a prediction nearer to its own target than to another one.

        Chance is 0.5, whatever the number of trials; 1 is perfect. Nearness is Euclidean, which for
        unit rows orders as the cosine does. Ties count half: so do trials of the same picture.

        Returns
        -------
        score : float in [0, 1]
        """
        from neurodecode.metrics.identification import two_way

        truth = np.asarray(as_embeddings(y, self._target), np.float64)
        truth = truth.reshape(len(truth), -1)
        predicted = np.asarray(self.predict(X)).reshape(len(truth), -1)
        squares = (truth**2).sum(axis=1)[:, None] - 2 * truth @ predicted.T  # less |predicted|^2
        return float(np.average(np.diagonal(two_way(-squares)), weights=sample_weight))

    def _target(self):
        if self.target is not None:
            return self.target
        from neurodecode.contrastive.targets import OpenClipTarget

        return OpenClipTarget(device=self.device)


def _fit_ridge(decoder, X, y, groups):
    """Fit weights, and bring them back to the scale of the trials as they come."""
    from neurodecode.models.ridge import FRACTIONS, fit_ridge

    fractions = FRACTIONS
    if decoder.alpha is not None:
        if not decoder.alpha > 0:
            raise ValueError(f"alpha is {decoder.alpha}; give more than 0, or None")
        length = ((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()
        fractions = [decoder.alpha / length] if length > 0 else [1.0]
        groups = np.arange(len(X)) % 2  # whatever the folds, they choose the only candidate
    fit = fit_ridge(X, y, groups, fractions, decoder.n_folds)
    decoder.coef_ = (fit["weights"].astype(np.float64) / _column(decoder.scale_)).T
    shift = decoder.mean_ * np.ones(X.shape[1])
    decoder.intercept_ = fit["intercepts"] - decoder.coef_ @ shift
    decoder.alphas_ = fit["alphas"]


def _predict_ridge(decoder, X):
    """Predict in double precision: a row does not depend on the rows beside it."""
    return X @ decoder.coef_.T + decoder.intercept_


def _fit_network(decoder, X, y, groups):
    """Train towards unit rows; the epoch is chosen on groups that train nothing."""
    import torch

    from neurodecode.contrastive.decoder import Lesson
    from neurodecode.contrastive.loop import Plan
    from neurodecode.contrastive.losses import MindEyeLoss
    from neurodecode.contrastive.rows import Rows, Targets

    seed = int(check_random_state(decoder.random_state).randint(2**31))
    pictures, stimulus = np.unique(y, axis=0, return_inverse=True)  # no picture is its own rival
    train, val = validation_groups(groups, decoder.validation, seed)
    tensor = lambda rows: torch.as_tensor(rows, dtype=torch.float32, device=decoder.device)
    held_out, rows = ({BRAIN: Rows(tensor(X[side]), stimulus[side])} for side in (val, train))
    targets = Targets(tensor(_unit_rows(pictures)))
    plan = Plan(decoder.n_epochs, decoder.learning_rate, select="best", seed=seed)
    lesson = Lesson(MindEyeLoss(), rows, held_out, targets, {}, BATCH, plan)
    untrained = _untrained(decoder, X.shape[1], y.shape[1], seed)
    decoder.network_, decoder.history_ = lesson.learn(untrained)


def _untrained(decoder, n_features, dim, seed):
    """A network of one brain, whose first weights follow from the seed."""
    import torch

    from neurodecode.models.base import Sizes
    from neurodecode.models.residual_mlp import ResidualMLP

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = Sizes({BRAIN: n_features}, dim)
        return ResidualMLP(sizes, hidden=decoder.hidden).to(decoder.device)


def _predict_network(decoder, X):
    """Predict unit rows."""
    from neurodecode.models.answers import network_answers

    scaled = ((X - decoder.mean_) / decoder.scale_).astype(np.float32)
    pooled = network_answers(decoder.network_)(scaled, BRAIN)["pooled"]
    return _unit_rows(pooled.astype(np.float64))


MODELS = {"ridge": (_fit_ridge, _predict_ridge), "network": (_fit_network, _predict_network)}


def fit(X, y, groups=None, **parameters):
    """Fit a `Decoder` with these parameters to trials X and embeddings or pictures y."""
    return Decoder(**parameters).fit(X, y, groups=groups)


def validation_groups(groups, share, seed):
    """Draw whole groups for validation: row numbers of training and of validation.

    Raises
    ------
    ValueError
        If no group would be left on one of the sides.
    """
    from neurodecode.core.seeds import child_rng

    names, group = np.unique(groups, return_inverse=True)
    n_val = max(1, round(share * len(names)))
    if not 0 < share < 1 or n_val >= len(names):
        raise ValueError(
            f"validation={share} of {len(names)} groups leaves none on one side: give more groups, "
            "or another share between 0 and 1"
        )
    drawn = child_rng(seed, "validation").permutation(len(names))[:n_val]
    held_out = np.isin(group, drawn)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _flat(X):
    """Trials with times as rows of features; what is no such array passes."""
    return X.reshape(len(X), -1) if isinstance(X, np.ndarray) and X.ndim == 3 else X


def _scaling(X):
    """Mean and spread of each feature; 1 for a constant one, which then is 0."""
    spread = np.where(np.ptp(X, axis=0) > 0, X.std(axis=0), 1.0)
    return X.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _column(values):
    return np.reshape(values, (-1, 1))


def _unit_rows(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
