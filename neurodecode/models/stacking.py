"""Network and ridge say the code together: they err in different ways [1]_.

What each is worth is found on validation trials, component by component: non-negative least squares
of the true code on both answers. A network that is better everywhere is left alone.

References
----------
.. [1] Wolpert, D. (1992). Stacked generalization. Neural Networks, 5, 241-259.
"""

from collections.abc import Iterable

import numpy as np

from neurodecode.models.answers import Answers

WEIGHTS = "stacking/weights"


def stacking_weights(trials: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Find what network and ridge are worth for each component.

    Parameters
    ----------
    trials : iterable of (network, ridge, true)
        Of each subject: arrays (n_trials, n_components), of trials that neither was fitted to.
        Subjects may differ in their means.

    Returns
    -------
    weights : ndarray of float32, shape (2, n_components)
        Not below 0; a half each for a component that neither tells anything of.
    """
    from scipy.optimize import nnls

    centred = [[part - part.mean(axis=0) for part in subject] for subject in trials]
    network, ridge, true = (np.concatenate(p).astype(float) for p in zip(*centred, strict=True))
    both = np.stack([network, ridge], axis=2)
    weights = np.array([nnls(both[:, k], true[:, k])[0] for k in range(true.shape[1])])
    weights[weights.sum(axis=1) == 0] = 0.5
    return weights.T.astype(np.float32)


def stacked(network: Answers, ridge: Answers, trained: dict[str, np.ndarray]) -> Answers:
    """Answers of a network whose code is said together with ridge.

    Parameters
    ----------
    network, ridge : callable (responses, subject) -> dict
    trained : dict of ndarray
        With the weights under `WEIGHTS`; without them the network answers alone.
    """
    if WEIGHTS not in trained:
        return network
    of_network, of_ridge = np.asarray(trained[WEIGHTS])

    def answers(responses: np.ndarray, subject: str) -> dict[str, np.ndarray]:
        said = network(responses, subject)
        code = of_network * said["code"] + of_ridge * ridge(responses, subject)["code"]
        return said | {"code": code.astype(np.float32)}

    return answers
