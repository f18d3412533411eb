"""The decoder of a run, for notebooks: from trials to embeddings and pictures."""

import numpy as np

from neurodecode.api.inputs import as_embeddings, as_responses
from neurodecode.api.model import Candidates, calibrated, candidates_of, load_model
from neurodecode.api.recordings import MASK
from neurodecode.core.errors import UserError
from neurodecode.core.finished import open_run
from neurodecode.core.trust import foreign

SENSORS, TIMES = "space/sensors.tsv", "space/times_s.npy"


def load(run, subject=None, store=None, device="cpu", trust=()):
    """Load the decoder that a run trained.

    Parameters
    ----------
    run : path
        Folder of a run that reached `train`, such as ``runs/demo/2026-01-31_12-00-00``.
    subject : str, optional
        Whose brain is read; may be left out where the run has a single subject.
    store : path, optional
        Where the run's store lies now, if it was moved.
    device : str
        ``cpu`` or ``cuda``.
    trust : list of str, optional
        Packages whose code the run may name, such as ``["mylab"]``; this one's own always.

    Returns
    -------
    decoder : RunDecoder

    Raises
    ------
    UserError
        If this is no run with a trained model, its artifacts are gone, it names code that is not
        trusted, or the model does not know the subject.
    """
    with foreign(trust):
        model = load_model(open_run(run, "train", store), device)
    if subject is None and len(model.subjects) > 1:
        raise UserError(
            f"the model reads {', '.join(model.subjects)}: say whose brain this is, subject=…"
        )
    subject = subject or model.subjects[0]
    model.check_subject(subject)
    return RunDecoder(model, subject)


class RunDecoder:
    """A fitted decoder of one subject: scaling, map, network and prior of a run.

    It takes responses as the run's `preprocess` makes them, before any scaling: an array (n_trials,
    n_channels[, n_times]), a 4-D image or a list of 3-D images of them in the run's space, or
    mne.Epochs that were filtered and cut as the run's.

    Parameters
    ----------
    model : neurodecode.api.model.TrainedModel
    subject : str

    Attributes
    ----------
    subject : str
    n_channels : int
    n_times : int or None
    """

    def __init__(self, model, subject):
        self.model, self.subject = model, subject
        shape = tuple(int(n) for n in model.fitted.channels[f"{subject}/shape"])
        self.n_channels, self.n_times = shape[0], shape[1] if len(shape) > 1 else None

    def predict(self, X):
        """Decode embeddings.

        Parameters
        ----------
        X : array, image, list of images, or mne.Epochs
            Trials, or averages of trials.

        Returns
        -------
        predicted : ndarray of float32, shape (n_trials, dim)
            Unit rows in the space of the run's target.
        """
        return self._said(X)["pooled"].astype(np.float32)

    def retrieve(self, X, candidates="all", k=5, averaged=False):
        """Find the pictures that were most likely seen.

        Parameters
        ----------
        X : as in `predict`
        candidates : str, array or list
            ``all``, ``test`` or ``train``: stimuli of the study; a folder of pictures; embeddings
            (n_candidates, dim); or a list of pictures.
        k : int
            How many are named.
        averaged : bool
            Whether rows of X are averages of trials, which are surer: then the confidence is
            calibrated on averages too.

        Returns
        -------
        ids : ndarray, shape (n_trials, k)
            The nearest first: ids of stimuli, names of files, or numbers in the list.
        confidence : ndarray, shape (n_trials,)
            Probability of the first, if one of the candidates was seen; NaN where the run has no
            validation rows to calibrate it on.
        """
        from neurodecode.metrics.confidence import probabilities

        among = self._candidates(candidates)
        pooled = self.predict(X)
        order, _ = among.nearest(pooled, k)
        judged = calibrated(self.model, self.subject, among, averaged)
        if judged is None:
            return among.ids[order], np.full(len(pooled), np.nan)
        sure = probabilities(pooled @ among.pooled.T, judged["temperature"])
        return among.ids[order], sure.max(axis=1)

    def reconstruct(self, X, row_ids=None, n_repeats=1, samples=1):
        """Paint what was seen.

        Parameters
        ----------
        X : as in `predict`
        row_ids : list of str, optional
            Names of the rows, which decide the noise of their samples: those of the run give the
            run's own pictures. None: ``row-0000``, ``row-0001`` …
        n_repeats : int or array of int
            Trials averaged in each row of X.
        samples : int
            Pictures painted for each row, of which the one is returned that the brain chooses.

        Returns
        -------
        pictures : ndarray of uint8, shape (n_trials, height, width, 3)

        Raises
        ------
        UserError
            If the run has no generator of pictures.
        """
        import pandas as pd

        if not self.model.paints:
            raise UserError(
                "the run did not reconstruct pictures, so it names no generator: run it with the "
                "stages predict and reconstruct"
            )
        said = self._said(X)
        n_rows = len(said["pooled"])
        names = [f"row-{i:04d}" for i in range(n_rows)] if row_ids is None else list(row_ids)
        if len(set(names)) != n_rows:
            raise ValueError(f"{n_rows} trials need as many different row_ids, got {len(names)}")
        repeats = np.broadcast_to(n_repeats, n_rows)
        rows = pd.DataFrame({"row_id": names, "n_repeats": repeats})
        pictures, table = self.model.paint(self.model.imagine(said, rows, self.subject, samples))
        return pictures[table["chosen"].to_numpy()]

    def __repr__(self):
        shape = f"{self.n_channels} channels" + (f" × {self.n_times} times" if self.n_times else "")
        return f"RunDecoder({self.subject}: {shape} -> {self.model.sizes['dim']} numbers)"

    def _said(self, X):
        times = self._path(TIMES)
        times_s = None if times is None else np.load(times)
        X = as_responses(X, self._path(MASK), self._sensors(), times_s)
        X = np.asarray(X, np.float32)
        if X.ndim not in (2, 3) or not len(X):
            raise ValueError(
                f"trials of shape {X.shape}: expected (n_trials, n_channels[, n_times]), at least "
                "one; a single trial x is x[None]"
            )
        if not np.isfinite(X).all():
            raise ValueError("the responses hold values that are not finite")
        return self.model.decode(self.model.align(X, self.subject), self.subject)

    def _candidates(self, wanted):
        if isinstance(wanted, str):
            return candidates_of(self.model, wanted)
        target = lambda: self.model.target
        pooled = np.asarray(as_embeddings(wanted, target), np.float32)
        dim = self.model.sizes["dim"]
        if pooled.ndim != 2 or pooled.shape[1] != dim:
            raise ValueError(f"candidates of shape {pooled.shape}: expected (n_candidates, {dim})")
        pooled = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return Candidates(np.arange(len(pooled)), pooled)

    def _path(self, name):
        inputs = self.model.inputs
        if name not in inputs.files("preprocess", self.subject):
            return None
        return inputs.path("preprocess", name, self.subject)

    def _sensors(self):
        from neurodecode.core.views import read_table

        path = self._path(SENSORS)
        return None if path is None else read_table(path)
