"""A tiny study of epochs (channels, times) with planted responses, run up to painted pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from neurodecode.core.runner import Pipeline
from neurodecode.core.store import Store
from neurodecode.core.views import read_table
from neurodecode.data.layouts.base import Run
from neurodecode.data.trials import read_events
from neurodecode.preprocess.base import RunResponses

SUBJECTS, N_CHANNELS, N_TIMES, N_RUNS = ("sub-01", "sub-02"), 8, 5, 7
MINIATURE = {"_target_": "neurodecode.contrastive.low_level.Miniature", "px": 2}
PICTURES = [f"p{i:02d}.png" for i in range(12)]
TEST_RUN, VAL_RUN = "run-7", "run-6"


class Epochs:
    """Responses that lie in files, one a run; `shift_s` moves their times."""

    channels = "sensors"

    def __init__(self, files, shift_s: float = 0.0):
        self.files = files[files["kind"] == "signal"].set_index("run")["file"]
        self.shape = np.load(self.files.iloc[0], mmap_mode="r").shape[1:]
        names = [f"E{i}" for i in range(self.shape[0])]
        path = Path(self.files.iloc[0]).parent / "names.txt"
        self.names = path.read_text().split() if path.exists() else names
        self.times_s = np.arange(self.shape[1]) / 10 + shift_s

    def run(self, name, trials):
        """The rows of a run's file, in the order of its events."""
        return RunResponses(np.load(self.files[name]))

    def space(self):
        """Sensors and times."""
        sensors = pd.DataFrame({"name": self.names, "type": "eeg", "unit": "µV"})
        return {"sensors.tsv": sensors, "times_s.npy": self.times_s}

    def quality(self, runs):
        """Nothing."""
        return {}


class Layout:
    """``sub-01/run-1.npy`` and ``sub-01/run-1.tsv``."""

    def runs(self, recipe, root):
        """All runs, by name."""
        found = sorted(Path(root).glob("sub-*/run-*.npy"))
        runs = [Run(p.parent.name, "", p.stem, {"": p}, p.with_suffix(".tsv")) for p in found]
        return [r for r in runs if not recipe.subjects or r.subject in recipe.subjects]

    def facts(self, run):
        """Nothing."""
        return {}

    def events(self, run, recipe, facts):
        """By onset."""
        return read_events(run.events, recipe)


class Eye:
    """Embeds a picture as its four quarters' colours."""

    dim, n_tokens, token_dim = 12, 2, 6

    def pictures(self, pictures):
        """Unit rows, and the same numbers as two tokens."""
        quarters = pictures.reshape(len(pictures), 2, 4, 2, 4, 3).mean(axis=(2, 4))
        flat = quarters.reshape(len(pictures), 12) / 255 - 0.5
        unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return np.float32(unit), np.float32(flat.reshape(len(flat), 2, 6))


class Painter:
    """Paints four quarters, with a speck that only the seed decides."""

    token_shape, picture_px, reads = (None, 6), 8, ("tokens",)

    def generate(self, tokens, seeds, start=None, strength=1.0, batch=1):
        """Pictures of 8 x 8."""
        colours = np.clip((np.asarray(tokens).reshape(-1, 2, 2, 3) + 0.5) * 255, 0, 255)
        painted = colours.astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
        painted[:, 0, 0, 0] = [seed % 251 for seed in seeds]
        return painted


def write_study(root, runs=N_RUNS, column="stim_file", noise=0.5, subjects=SUBJECTS):
    """Write the study: every picture once a run, in random order.

    Parameters
    ----------
    column : str
        Of the events, naming the picture; "" leaves it out and adds ``item``, a number.
    """
    rng = np.random.default_rng(0)
    (root / "stimuli").mkdir(parents=True)
    quarters = rng.integers(0, 255, (len(PICTURES), 2, 2, 3), dtype=np.uint8)
    pictures = quarters.repeat(4, axis=1).repeat(4, axis=2)
    for name, picture in zip(PICTURES, pictures, strict=True):
        Image.fromarray(picture).save(root / "stimuli" / name)
    features = Eye().pictures(pictures)[0]
    for subject in subjects:
        weights = rng.standard_normal((12, N_CHANNELS * N_TIMES))
        (root / subject).mkdir()
        for run in range(1, N_RUNS + 1):
            order = rng.permutation(len(PICTURES))
            brain = features[order] @ weights
            brain = 7 + brain + noise * rng.standard_normal(brain.shape)
            if run > N_RUNS - runs:
                brain = brain.reshape(-1, N_CHANNELS, N_TIMES).astype(np.float32)
                np.save(root / subject / f"run-{run}.npy", brain)
                _write_events(root / subject / f"run-{run}.tsv", order, column)
    return root


def _write_events(path, order, column):
    shown = [PICTURES[i] for i in order]
    table = pd.DataFrame({"onset": 4.0 * np.arange(len(order)), "duration": 1.0})
    table = table.assign(**{column: shown} if column else {"item": [s[:3] for s in shown]})
    table.to_csv(path, sep="\t", index=False)


def config(root, **recipe):
    """The configuration of a run on the study."""
    here = {"root": str(root)}
    eye = {"_target_": f"{__name__}.Eye"}
    plan = {
        "_target_": "neurodecode.contrastive.loop.Plan",
        "n_epochs": 12,
        "learning_rate": 0.02,
        "select": "best",
    }
    loss = {"_target_": "neurodecode.contrastive.losses.InfoNCELoss", "temperature": 0.1}
    model = {
        "_target_": "neurodecode.models.residual_mlp.ResidualMLP",
        "hidden": 24,
        "n_blocks": 1,
        "projector_hidden": 8,
        "input_dropout": 0.1,
    }
    rule = {"_target_": "neurodecode.rigour.splits.RunSplit"}
    study = {"layout": {"_target_": f"{__name__}.Layout"}, "stimulus_table": "", **here, **recipe}
    return {
        "stages": "index embed split preprocess align train predict reconstruct".split(),
        "recipe": study,
        "index": {"recipe": study},
        "embed": {"target": eye, "low_level": MINIATURE, **here},
        "split": {"rule": rule | {"test_runs": [TEST_RUN], "val_runs": [VAL_RUN]}},
        "preprocess": {"method": {"_target_": f"{__name__}.Epochs"}, **here},
        "align": {},
        "train": {
            "model": model,
            "loss": loss,
            "prior": None,
            "decoder_training": plan,
            "prior_training": None,
            "linear_start": None,
            "batch": 6,
        },
        "predict": {"n_gallery": 12, "n_samples": 2},
        "reconstruct": {"generator": {"_target_": f"{__name__}.Painter"}, "target": eye},
    }


def run_study(folder, **changes):
    """Run the study in ``folder/study`` to ``folder/run``; return the artifacts by stage."""
    made = config(folder / "study") | changes
    pipeline = Pipeline(made, Store(folder / "store"), {"device": "cpu"}, folder / "run")
    return pipeline.run()


def table_of(artifact, name):
    """A table of an artifact."""
    return read_table(artifact.folder / name)
