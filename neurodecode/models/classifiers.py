"""The classifiers a referee asks for: logistic regression, linear SVM and shrinkage LDA of sklearn.

Channels are standardised on the training rows and rotated into the space these span. Ridge-type
penalties do not notice the rotation: the classifier is the same, found in a fraction of the time.
The shrinkage of LDA does notice, so its channels stay as they are while their covariance fits.
"""

from dataclasses import dataclass, field

import numpy as np

MAX_COVARIANCE = 4000  # channels; beyond, a covariance matrix takes over 128 MB


@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression with a ridge penalty.

    Parameters
    ----------
    strengths : list of float
        sklearn's ``C``, the inverse penalty; each is a candidate.
    """

    strengths: list[float] = field(default_factory=lambda: [0.01, 1.0])

    def names(self, prepared):
        """Say what each candidate of :meth:`score` is."""
        return _names(prepared, self.strengths)

    def score(self, prepared, train, test, labels, n_classes):
        """Fit all candidates and score all classes; (n_candidates, n_test, n_classes)."""
        from sklearn.linear_model import LogisticRegression

        models = [LogisticRegression(C=c, max_iter=1000) for c in self.strengths]
        return _scores(models, prepared, train, test, labels, n_classes)


@dataclass(frozen=True)
class LinearSvm:
    """Linear support vector machines, one class against the rest.

    Parameters
    ----------
    strengths : list of float
        sklearn's ``C``, the inverse penalty; each is a candidate.
    """

    strengths: list[float] = field(default_factory=lambda: [0.001, 1.0])

    def names(self, prepared):
        """Say what each candidate of :meth:`score` is."""
        return _names(prepared, self.strengths)

    def score(self, prepared, train, test, labels, n_classes):
        """Fit all candidates and score all classes; (n_candidates, n_test, n_classes)."""
        from sklearn.svm import LinearSVC

        models = [LinearSVC(C=c, dual=True, random_state=0, max_iter=5000) for c in self.strengths]
        return _scores(models, prepared, train, test, labels, n_classes)


@dataclass(frozen=True)
class ShrinkageLda:
    """Linear discriminant analysis, the covariance shrunk by Ledoit and Wolf's intensity.

    With more than 4,000 channels the covariance is that of the rotated ones.
    """

    def names(self, prepared):
        """Say what each candidate of :meth:`score` is."""
        return [p.name for p in prepared]

    def score(self, prepared, train, test, labels, n_classes):
        """Fit all candidates and score all classes; (n_candidates, n_test, n_classes)."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        models = [LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")]
        return _scores(models, prepared, train, test, labels, n_classes, MAX_COVARIANCE)


def _names(prepared, strengths):
    return [f"{p.name}, C {c:g}" for p in prepared for c in strengths]


def _scores(models, prepared, train, test, labels, n_classes, rotate_above=0):
    found = []
    for way in prepared:
        fitted, asked = standardised(way.rows(train, labels), train, test)
        if fitted.shape[1] > rotate_above:
            fitted, asked = rotated(fitted, asked)
        for model in models:
            model.fit(fitted, labels[train])
            scores = np.full((len(test), n_classes), -np.inf)  # a class never seen is never chosen
            scores[:, model.classes_] = _decision(model, asked)
            found.append(scores)
    return np.stack(found)


def _decision(model, rows):
    """Scores of all classes; of two, sklearn gives those of the second alone."""
    scores = model.decision_function(rows)
    return scores if scores.ndim == 2 else np.column_stack([-scores, scores])


def standardised(responses, train, test):
    """Bring channels to mean 0 and standard deviation 1 on the training rows.

    Returns
    -------
    fitted, asked : ndarray, shape (n_train, n_channels), (n_test, n_channels)
        A channel that is constant in training is only centred.
    """
    mean, std = responses[train].mean(axis=0), responses[train].std(axis=0)
    scaled = lambda rows: (responses[rows] - mean) / np.where(std > 0, std, 1)
    return scaled(train), scaled(test)


def rotated(fitted, asked):
    """Express rows in the directions that the rows `fitted` span, (n_rows, rank)."""
    _, values, right = np.linalg.svd(fitted, full_matrices=False)
    kept = right[values > 1e-9 * max(values[0], np.finfo(float).tiny)]
    return fitted @ kept.T, asked @ kept.T
