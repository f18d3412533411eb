"""The trained model of a run: from responses to embeddings, image tokens and pictures.

What it does is what the stages `predict` and `reconstruct` do, by their own functions.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neurodecode.align.apply import Fitted, transform
from neurodecode.core.build import build, check_targets, targets
from neurodecode.core.checks import dataclass_from
from neurodecode.core.errors import UserError
from neurodecode.core.fingerprint import code_digest, fingerprint, moved
from neurodecode.core.progress import log
from neurodecode.core.stage import load_stage
from neurodecode.core.trust import foreign, trusted
from neurodecode.core.views import View
from neurodecode.stages import predict, reconstruct
from neurodecode.stages.align import load_fitted
from neurodecode.stages.prior_training import code_reader
from neurodecode.stages.samples import line_of, sample_table

FARTHEST, NARROWEST = 100, 1e-3  # of scaled responses, which are around 1 and vary by 1


@dataclass(frozen=True)
class TrainedModel:
    """Everything that a run fitted, on one device; `load_model` makes it.

    Attributes
    ----------
    inputs : View
        The artifacts of the run; test rows are sealed.
    fitted : Fitted
        Scaling, channels and maps of every subject.
    trained : dict of ndarray
        The weights, statistics and calibrations that `train` wrote.
    sizes : dict
        What the data decided: channels of each subject, dim, n_tokens, token_dim, blurry, n_times.
    decoder, prior : nn.Module
        The prior may be None.
    device : str
    """

    inputs: View
    fitted: Fitted
    trained: dict
    sizes: dict
    decoder: object
    prior: object
    device: str
    trust: frozenset = frozenset()
    """Packages whose code the run may name, also where it is built later."""

    @property
    def subjects(self):
        """The subjects whose brains it knows."""
        return list(self.sizes["channels"])

    def check_subject(self, subject, advice="train with this subject's recordings too"):
        """Refuse a subject whose brain the model does not know."""
        if subject not in self.subjects:
            raise UserError(
                f"{subject} is unknown to the model, which was trained on "
                f"{', '.join(self.subjects)}: a decoder reads the brains that it was trained on; "
                f"{advice}"
            )

    def align(self, responses, subject):
        """Scale, select and map responses as preprocessed: float32 (n_trials, channels, …).

        Raises
        ------
        UserError
            For an unknown subject, or where scaled responses are so far from 1 that they must be
            in another unit.
        """
        self.check_subject(subject)
        aligned = transform(responses, subject, self.fitted)
        check_unit(aligned, subject)
        return aligned

    def decode(self, aligned, subject):
        """What the network says of aligned responses: arrays by name, pooled as unit rows."""
        from neurodecode.models.answers import network_answers, ridge_answers
        from neurodecode.models.stacking import stacked

        ridge = ridge_answers(self.inputs.tensors("train", "ridge.safetensors"))
        network = network_answers(self.decoder, code_reader(self.prior))
        network = stacked(network, ridge, self.trained)
        return predict.tidy(network(aligned, subject), self.low_level)

    def imagine(self, said, rows, subject, n_samples):
        """Add image tokens to what was decoded: the prior's samples for each row.

        Parameters
        ----------
        said : dict
            Of `decode`.
        rows : DataFrame
            row_id, which decides the noise of a row's samples, and n_repeats.
        subject : str
        n_samples : int
            Of each row.
        """
        samples = sample_table(rows["row_id"], n_samples)
        n_repeats = rows["n_repeats"].to_numpy()
        known = predict.belief(self.prior, self.trained, "model", subject, said, n_repeats)
        config = self.predict_config
        return predict.with_tokens(config, self.prior, self.trained, known, said, samples)

    @property
    def paints(self):
        """Whether the run has a generator of pictures, and the decoder says tokens for it."""
        return self.reconstruct_config is not None and self.sizes["n_tokens"] > 0

    def paint(self, said):
        """Generate a picture for each sample, and choose one a row by the brain alone.

        Returns
        -------
        pictures : ndarray of uint8, shape (n_samples, h, w, 3)
        samples : DataFrame
            row_id sample evidence chosen.
        """
        generator, target = self._painter
        config, samples = self.reconstruct_config, said["samples"]
        part = lambda name: said[name].astype(np.float32)
        pictures = reconstruct.generate(config, generator, "model", samples, part)
        decoded = part("pooled")[line_of(samples)]
        found = reconstruct.evidence(pictures, decoded, target)
        return pictures, reconstruct.chosen(samples, found)

    @cached_property
    def predict_config(self):
        """How the run samples its prior; the defaults where it did not come so far."""
        node = self._config_of("predict") or {}
        return dataclass_from(node | {"device": self.device}, predict.PredictConfig, "predict")

    @cached_property
    def reconstruct_config(self):
        """How the run paints; None where it does not."""
        node = self._config_of("reconstruct")
        if node is None:
            return None
        node = {name: on_device(value, self.device) for name, value in node.items()}
        return dataclass_from(node, reconstruct.ReconstructConfig, "reconstruct")

    @cached_property
    def low_level(self):
        """What the low-level values are values of."""
        with foreign(self.trust):
            return build(on_device(self.predict_config.low_level, self.device))

    @cached_property
    def target(self):
        """The embedding of pictures that the brain is decoded into."""
        from neurodecode.contrastive.targets import scored

        about = self.inputs.json("embed", "target.json")
        with foreign(self.trust):
            return scored(
                build(on_device(about["target"], self.device)), about.get("pooled", "own")
            )

    @cached_property
    def _painter(self):
        from neurodecode.contrastive.targets import scored

        config = self.reconstruct_config
        same = config.target == on_device(
            self.inputs.json("embed", "target.json")["target"], self.device
        )
        with foreign(self.trust):
            target = self.target if same else scored(build(config.target), config.pooled)
            return build(config.generator), target

    def _config_of(self, stage):
        if not self.inputs.has(stage):
            return None
        member = next(iter(self.inputs.members(stage)), None)
        return self.inputs.manifest(stage, member)["config"]


def load_model(run, device="cpu"):
    """Load what a finished run trained.

    Parameters
    ----------
    run : neurodecode.core.finished.FinishedRun
        That reached `train`. What it names is built within `neurodecode.core.trust.foreign`.
    device : str
        ``cpu`` or ``cuda``.
    """
    inputs = run.view()
    trained = inputs.tensors("train", "weights.safetensors")
    made = inputs.json("train", "config.json")
    check_targets({n: made.get(n) for n in ("model", "prior")}, f"{run.folder}: train")
    for name in changed_code(inputs, run.config, made):
        log.warning("%s: its code changed since it was trained: run again to be sure", name)
    networks = predict.networks(made, trained, device)
    fitted = load_fitted(inputs)
    return TrainedModel(inputs, fitted, trained, made["sizes"], *networks, device, trusted())


def changed_code(inputs, config, made):
    """Name what recordings pass on their way to the network whose code is no longer the run's.

    Parameters
    ----------
    inputs : View
    config : dict
        Of the run, one node per stage.
    made : dict
        What `train` made: nodes by name, and ``code``, the digest of each one's code.
    """
    aligned = inputs.json("align", "aligner.json")
    digests = [(n, part[n], d) for part in (aligned, made) for n, d in part["code"].items()]
    changed = [name for name, node, digest in digests if code_digest(node) != digest]
    first = inputs.members("preprocess")[0]
    before = inputs.manifest("preprocess", first)["code"]
    now = fingerprint(load_stage("preprocess").module, targets(config.get("preprocess")))
    return ["preprocess", *changed] if before and moved(before, now) else changed


def check_unit(aligned, subject):
    """Refuse scaled responses so large, or so much alike, that they must be in another unit."""
    size = float(np.median(np.abs(aligned))) if aligned.size else 1.0
    spread = float(np.median(aligned.std(axis=0))) if len(aligned) > 1 else 1.0
    if size > FARTHEST or 0 < spread < NARROWEST:
        raise UserError(
            f"{subject}: scaled by the run's training rows, the responses are about {size:.2g} in "
            f"size and vary by {spread:.2g}, where both should be around 1: give them in the run's "
            "unit, preprocessed as in the run"
        )


def on_device(node, device):
    """Move a configuration node that names a device to another one."""
    return node | {"device": device} if isinstance(node, dict) and "device" in node else node


def candidates_of(model, wanted):
    """Return what may be retrieved: ids, unit rows (n_candidates, dim), and paths of pictures.

    Parameters
    ----------
    model : TrainedModel
    wanted : str
        ``all``, ``test`` or ``train``: stimuli of the study; or a folder of pictures.
    """
    if wanted in ("all", "test", "train"):
        return _stimuli(model.inputs, wanted)
    from pathlib import Path

    from neurodecode.data.stimuli import load_pictures, picture_files
    from neurodecode.stages.embed import common_size

    folder = Path(wanted).expanduser()
    names = picture_files(folder)
    pictures = load_pictures(folder, names, common_size(folder, names))
    ids = [Path(n).with_suffix("").as_posix() for n in names]
    paths = [folder / name for name in names]
    return Candidates(np.array(ids), model.target.pictures(pictures)[0], paths)


@dataclass(frozen=True)
class Candidates:
    """Pictures among which one is sought: ids, embeddings as unit rows, and their files."""

    ids: np.ndarray
    pooled: np.ndarray
    paths: list | None = None

    def nearest(self, decoded, k):
        """Find the k nearest candidates of unit rows: their numbers and similarities, (n, k).

        Of equally near ones the first wins.
        """
        similarity = decoded @ self.pooled.T
        k = min(k, len(self.ids))
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        return order, np.take_along_axis(similarity, order, axis=1)


def _stimuli(inputs, wanted):
    ids = inputs.table("embed", "stimuli.tsv")["stimulus_id"].to_numpy(str)
    keep = np.ones(len(ids), bool)
    if wanted != "all":
        split = inputs.table("split", "split.tsv")
        keep = np.isin(ids, split.loc[split["split"] == wanted, "stimulus_id"].to_numpy(str))
    paths = inputs.table("index", "stimuli.tsv").set_index("stimulus_id")["path"]
    pooled = np.asarray(inputs.array("embed", "pooled.npy"), np.float32)
    return Candidates(ids[keep], pooled[keep], [paths[i] for i in ids[keep]])


def calibrated(model, subject, candidates, averaged):
    """Fit and judge a subject's confidence on the run's validation rows.

    Parameters
    ----------
    model : TrainedModel
    subject : str
    candidates : Candidates
        Among which is sought; a validation row's own picture is added where it is not there.
    averaged : bool
        Average the repeats of a stimulus first.

    Returns
    -------
    judged : dict or None
        Of `metrics.confidence.judge_confidence`, and ``n_repeats`` of the rows; None where the run
        has no validation rows of this subject.
    """
    from neurodecode.metrics.confidence import judge_confidence

    responses, trials = model.inputs.responses(subject, rows="val")
    if not len(trials):
        return None
    by = "stimulus_id" if averaged else "trial_id"
    rows = predict.averaged(model.align(responses, subject), trials, by, ["stimulus_id"])
    decoded = model.decode(rows[0], subject)["pooled"]
    shown = rows[1]["stimulus_id"].to_numpy(str)
    everything = _stimuli(model.inputs, "all")
    place = {name: i for i, name in enumerate(everything.ids)}
    own = everything.pooled[[place[name] for name in shown]]
    similarity, column = with_own(decoded, candidates.pooled, own)
    judged = judge_confidence(similarity, column, shown)
    return judged | {"n_repeats": float(rows[1]["n_repeats"].mean())}


def with_own(decoded, candidates, own):
    """Similarities of rows to candidates, and which column is a row's own picture.

    Where a row's own picture is not among the candidates it takes the last column, which is
    otherwise out of the race (-inf).

    Parameters
    ----------
    decoded, own : ndarray, shape (n_rows, dim)
        Unit rows.
    candidates : ndarray, shape (n_candidates, dim)

    Returns
    -------
    similarity : ndarray, shape (n_rows, n_candidates + 1)
    column : ndarray of int, shape (n_rows,)
    """
    same = own @ candidates.T
    column, there = same.argmax(axis=1), same.max(axis=1) > 1 - 1e-5
    added = np.where(there, -np.inf, np.einsum("rd,rd->r", decoded, own))
    similarity = np.column_stack([decoded @ candidates.T, added])
    return similarity, np.where(there, column, len(candidates))
