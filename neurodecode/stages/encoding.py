"""What a picture would do to the brain: an encoder of each subject, for brain correlation."""

import numpy as np

from neurodecode.core.build import build
from neurodecode.stages.predict import averaged


def regions_of(inputs, subject, n_channels):
    """Channels by region: all, and those that preprocess found in the study."""
    found = {"all": np.arange(n_channels)}
    if "space/rois.tsv" in inputs.files("preprocess", subject):
        table = inputs.table("preprocess", "space/rois.tsv", subject)
        own = table.groupby("roi", sort=False)["channel"]
        found |= {roi: np.unique(channels) for roi, channels in own}
    return found


def brain_of(inputs, subject, stimulus_ids):
    """What was measured in test trials, and how a picture is turned into the same.

    The encoder is a ridge regression from picture embeddings to the responses of training trials.

    Returns
    -------
    measured : dict of str to ndarray, shape (n_stimuli, n_values)
        By region, averaged over the trials of each stimulus, in the order of `stimulus_ids`.
    eye : callable (pictures) -> dict of str to ndarray
        What uint8 pictures would evoke.
    """
    from neurodecode.contrastive.targets import scored
    from neurodecode.models.ridge import predict_ridge

    order = inputs.table("embed", "stimuli.tsv")["stimulus_id"]
    place = {stimulus: number for number, stimulus in enumerate(order)}
    responses, trials = inputs.responses(subject, rows="train")
    shown = trials["stimulus_id"].to_numpy(str)
    pooled = np.asarray(inputs.array("embed", "pooled.npy"))
    flat = lambda x: np.asarray(x).reshape(len(x), -1)
    encoder = _encoder(pooled[[place[s] for s in shown]], flat(responses), shown)
    tested, rows = averaged(*inputs.responses(subject, rows="test"), "stimulus_id")
    tested = tested[np.searchsorted(rows["row_id"], stimulus_ids)]
    values = np.arange(tested[0].size).reshape(tested.shape[1:])
    regions = {r: values[c].ravel() for r, c in regions_of(inputs, subject, len(values)).items()}
    about = inputs.json("embed", "target.json")
    target = scored(build(about["target"]), about.get("pooled", "own"))

    def eye(pictures):
        evoked = predict_ridge(target.pictures(pictures)[0], encoder)
        return {roi: evoked[:, own] for roi, own in regions.items()}

    return {roi: flat(tested)[:, own] for roi, own in regions.items()}, eye


def _encoder(embeddings, responses, stimuli):
    """Ridge regression, a penalty for every channel; trials of a stimulus stay in one fold."""
    import scipy.linalg  # noqa: F401  (only libraries that are loaded already can be limited)
    from threadpoolctl import threadpool_limits

    from neurodecode.models.ridge import fit_ridge

    with threadpool_limits(1, "blas"):  # two threads on matrices of this size take longer
        return fit_ridge(embeddings, responses, stimuli)
