"""A small study of epochs with a planted latency, posing as finished stages."""

import numpy as np
import pandas as pd

from neurodecode.core.runner import run_stage
from neurodecode.stages.align import run as align

TIMES_S = np.arange(-20, 40) / 100
N_RUNS, DIM = 5, 8
NAMES = {"train": 100, "val": 10, "test": 30}  # stimuli; those of the test are shown twice


def transient(times_s, peak_s):
    """A bump of 0.1 s to either side, as symmetric as the windows."""
    x = np.abs(times_s - peak_s) / 0.1
    return np.where(x < 1, np.cos(np.pi / 2 * x) ** 2, 0.0)


class Epochs:
    """Stages up to align, written below a folder.

    Parameters
    ----------
    root : Path
    artifact : callable
        Lets a folder pose as a finished stage.
    snr : float
        0: the responses are noise.
    gains : callable (n_channels) -> ndarray
        Unit of each channel.
    shared : float
        Noise that channels share, against that of their own.
    """

    def __init__(self, root, artifact, n_subjects=2, snr=1.0, peak_s=0.15, n_channels=6, seed=0,
                 gains=np.ones, noise_seed=1, shared=0.0):  # fmt: skip
        self.root, self.artifact = root, artifact
        rng = np.random.default_rng(seed)
        self.ids = [f"pic-{i:03d}" for i in range(sum(NAMES.values()))]
        self.side = np.repeat(list(NAMES), list(NAMES.values()))
        self.pooled = rng.standard_normal((len(self.ids), DIM)).astype(np.float32)
        self.pooled /= np.linalg.norm(self.pooled, axis=1, keepdims=True)
        self.subjects = [f"sub-{i + 1:02d}" for i in range(n_subjects)]
        self.noise = np.random.default_rng(noise_seed)
        self.gains, self.shared, self.mix = gains, shared, {}
        members, splits = {}, []
        for subject in self.subjects:
            self.mix[subject] = mix = rng.standard_normal((DIM, n_channels))
            members[subject], split = self._preprocess(subject, mix, snr, peak_s)
            splits.append(split)
        self.inputs = {"embed": self._embed(), "split": self._split(splits), "preprocess": members}

    def _embed(self):
        folder = self._folder("embed")
        np.save(folder / "pooled.npy", self.pooled)
        _tsv({"stimulus_id": self.ids}, folder / "stimuli.tsv")
        return self.artifact(folder)

    def _split(self, splits):
        folder = self._folder("split")
        pd.concat(splits).to_csv(folder / "split.tsv", sep="\t", index=False)
        return self.artifact(folder)

    def _preprocess(self, subject, mix, snr, peak_s):
        from scipy.ndimage import gaussian_filter1d

        shown = np.concatenate([np.arange(len(self.ids)), np.flatnonzero(self.side == "test")])
        noise = self.noise.standard_normal((len(shown), mix.shape[1], len(TIMES_S)))
        noise = gaussian_filter1d(noise, 1.0, axis=2)
        noise = noise + self.shared * np.linspace(-1, 1, mix.shape[1])[:, None] * noise[:, :1]
        signal = (self.pooled[shown] @ mix)[:, :, None] * transient(TIMES_S, peak_s)
        responses = (noise / noise.std() + snr * signal) * self.gains(mix.shape[1])[:, None]
        trials = pd.DataFrame({"trial_id": [f"{subject}_{i:03d}" for i in range(len(shown))]})
        trials["stimulus_id"] = [self.ids[i] for i in shown]
        trials = trials.assign(subject=subject, session="", run=np.arange(len(shown)) % N_RUNS)
        folder = self._folder("preprocess", subject)
        np.save(folder / "responses.npy", responses.astype(np.float32))
        np.save(folder / "space" / "times_s.npy", TIMES_S)
        trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
        return self.artifact(folder), trials.assign(split=self.side[shown])

    def _folder(self, *names):
        folder = self.root.joinpath(*names)
        (folder / "space").mkdir(parents=True)
        return folder

    def aligned(self, store, aligner="neurodecode.align.identity.Identity", **config):
        """Run align on it; return all artifacts."""
        needed = {name: self.inputs[name] for name in ("preprocess", "split")}
        config |= {"aligner": {"_target_": aligner}, "min_reliability": -1.0}
        return self.inputs | {"align": run_stage(align, config, needed, store)}


def _tsv(columns, path):
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)
