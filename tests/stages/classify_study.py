"""Trials with planted classes, or none, posing as finished stages; and small classifiers."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from neurodecode.core.runner import run_stage
from neurodecode.stages import classify

SFREQ_HZ = 50.0
NEAREST = {"_target_": f"{__name__}.NearestTrial"}
POWER = NEAREST | {"power": True}
LINEAR = {
    "_target_": "neurodecode.models.flat_logistic.FlatLogistic",
    "strengths": [0.01],
    "n_stretches": [4],
}
CONFIG = {
    "classifier": NEAREST,
    "baselines": {"linear": LINEAR},
    "label": "kind",
    "n_folds": 4,
    "n_bootstrap": 300,
    "n_permutations": 99,
}


@dataclass(frozen=True)
class NearestTrial:
    """The class of the nearest training piece: knows again what it has seen."""

    fits_on_all: ClassVar[bool] = False

    power: bool = False  # by log variance, which overlapping windows share; else by samples

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Keep the training rows."""
        flat = self._read(x)

        def predict(asked):
            rows = self._read(asked)
            far = (rows**2).sum(1)[:, None] - 2 * rows @ flat.T + (flat**2).sum(1)
            best = np.stack([far[:, y == c].min(axis=1, initial=1e9) for c in range(n_classes)])
            return -best.T

        return predict

    def _read(self, x):
        return np.log(x.var(axis=2)) if self.power else x.reshape(len(x), -1)


@dataclass(frozen=True)
class RandomEpochs:
    """A classifier that has learnt nothing in any epoch, and picks the epoch that does best."""

    fits_on_all: ClassVar[bool] = False

    n_epochs: int = 60

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Draw weights per epoch; choose on what it may see."""
        rng = np.random.default_rng(seed)
        weights = rng.standard_normal((self.n_epochs, x[0].size, n_classes))
        seen, true = (x, y) if peek is None else peek
        hits = [(seen.reshape(len(seen), -1) @ w).argmax(axis=1) == true for w in weights]
        best = weights[int(np.argmax([h.mean() for h in hits]))]
        return lambda asked: asked.reshape(len(asked), -1) @ best


@dataclass(frozen=True)
class Spy:
    """Answers nothing and remembers what it was shown."""

    seen: ClassVar[list] = []

    fits_on_all: bool = False

    def fit(self, x, y, groups, n_classes, sfreq_hz, seed, device, peek=None, also=None):
        """Write down the call."""
        told = {"x": x, "y": y, "groups": groups, "peek": peek, "also": also, "seed": seed}
        self.seen.append(told | {"sfreq_hz": sfreq_hz, "device": device})
        return lambda asked: np.zeros((len(asked), n_classes))


class Trials:
    """Stages index, split and preprocess, written below a folder.

    Each trial has white noise, a state of its own (a pattern that lasts all of it), what its
    stimulus evokes whatever its class, and what its class evokes.
    """

    def __init__(self, root, artifact, signal=0.0, state=0.0, stimulus=0.0, n_subjects=2,
                 n_stimuli=16, repeats=2, n_classes=2, n_channels=5, n_times=50, n_runs=4,
                 seed=0, channels=None):  # fmt: skip
        self.root, self.artifact, self.classes = root, artifact, n_classes
        self.rng = np.random.default_rng(seed)
        ids = [f"clip-{i:02d}" for i in range(n_stimuli)]
        kinds = np.arange(n_stimuli) % n_classes
        self.kind = dict(zip(ids, kinds, strict=True))
        stimuli = {"stimulus_id": ids, "path": "", "kind": [f"{k}" for k in kinds], "one": "same"}
        size = (n_channels, n_times)
        own = stimulus * self.rng.standard_normal((n_stimuli, *size))
        members, splits = {}, []
        for s in range(n_subjects):
            width = (channels or [n_channels] * n_subjects)[s]
            shown = np.concatenate([self.rng.permutation(n_stimuli) for _ in range(repeats)])
            n = len(shown)
            evoked = signal * self.rng.standard_normal((n_classes, *size))[kinds[shown]]
            x = self.rng.standard_normal((n, *size)) + own[shown] + evoked
            x = x + state * self.rng.standard_normal((n, n_channels, 1))
            subject = f"sub-{s + 1:02d}"
            trials = pd.DataFrame({"trial_id": [f"{subject}_{i:03d}" for i in range(n)]})
            trials["stimulus_id"] = [ids[i] for i in shown]
            run = [f"run-{i * n_runs // n + 1}" for i in range(n)]
            trials = trials.assign(subject=subject, session="", run=run)
            trials["rating"] = [f"{k}" if k < n_classes else "n/a" for k in kinds[shown]]
            folder = self._folder("preprocess", subject)
            np.save(folder / "responses.npy", x[:, :width].astype(np.float32))
            np.save(folder / "space" / "times_s.npy", np.arange(n_times) / SFREQ_HZ)
            trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
            nuisance = trials[["trial_id", "run"]].assign(amplitude=x.std(axis=(1, 2)))
            nuisance.to_csv(folder / "nuisance.tsv", sep="\t", index=False)
            (folder / "qc.json").write_text("{}")
            members[subject] = artifact(folder)
            splits.append(trials.assign(split="train"))
        index, split = self._folder("index"), self._folder("split")
        pd.DataFrame(stimuli).to_csv(index / "stimuli.tsv", sep="\t", index=False)
        (index / "subjects.json").write_text(json.dumps(list(members)))
        pd.concat(splits).to_csv(split / "split.tsv", sep="\t", index=False)
        (split / "split.json").write_text(json.dumps({"hash": "0"}))
        self.inputs = {"index": artifact(index), "split": artifact(split), "preprocess": members}

    def _folder(self, *names):
        folder = self.root.joinpath(*names)
        (folder / "space").mkdir(parents=True)
        return folder

    def classified(self, store, **changes):
        """Run the stage with the small configuration and these changes."""
        return run_stage(classify.run, CONFIG | changes, self.inputs, store)


def accuracies(done, table="metrics.tsv", metric="accuracy", subject="all"):
    """Lines of a table by condition."""
    found = pd.read_csv(done.path(table), sep="\t")
    rows = found[(found["metric"] == metric) & (found["subject"] == subject)]
    return rows.set_index("condition")
