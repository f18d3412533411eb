"""What an audit looks at: predictions, truths, categories, pictures, and the decoders."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.data.stimuli import data_set_root, kind_of, load_pictures
from neurodecode.stages.controls import categories_of
from neurodecode.stages.embed import check_digests
from neurodecode.stages.predict import networks
from neurodecode.stages.reading import aligned, averaged

DESCRIBED_PX = 64  # side at which pictures are read to be described


@dataclass(frozen=True)
class Study:
    """What all subjects share.

    Parameters
    ----------
    inputs : View
    subjects : list of str
    pooled : DataFrame
        Embedding of every stimulus, by its id.
    category : Series
        Category of every stimulus, by its id.
    category_from : str
        The column it is from, or how it was made.
    trained_on : list of str
        Stimuli that some subject was trained on.
    low_level : DataFrame or None
        Low-level features of the test pictures and of training pictures, by stimulus id.
    decoders : dict of str to callable (responses, subject) -> dict
    """

    inputs: object
    subjects: list
    pooled: object
    category: object
    category_from: str
    trained_on: list
    low_level: object
    decoders: dict

    @classmethod
    def of(cls, config, inputs):
        """Read it, and describe the pictures."""
        import pandas as pd

        from neurodecode.models.answers import network_answers, ridge_answers

        ids = inputs.table("embed", "stimuli.tsv")["stimulus_id"]
        pooled = pd.DataFrame(np.array(inputs.array("embed", "pooled.npy")), index=ids)
        split = inputs.table("split", "split.tsv")
        trained_on = sorted(set(split["stimulus_id"][split["split"] == "train"]))
        trained = inputs.tensors("train", "weights.safetensors")
        network, _ = networks(inputs.json("train", "config.json"), trained, config.device)
        ridge = inputs.tensors("train", "ridge.safetensors")
        tested = sorted(set(split["stimulus_id"][split["split"] == "test"]))
        rng = child_rng(config.seed, "described")
        some = rng.permutation(trained_on)[: config.n_described].tolist()
        return cls(
            inputs,
            inputs.members("predict"),
            pooled,
            categories_of(inputs),
            inputs.json("embed", "target.json")["category"],
            trained_on,
            described(config, inputs, sorted({*tested, *some})),
            {"model": network_answers(network), "ridge": ridge_answers(ridge)},
        )

    def subject(self, name):
        """The part of one subject."""
        return Asked(self, name)

    @cached_property
    def train(self):
        """Embeddings, low-level features and categories of training pictures, as verdicts ask."""
        ids = self.trained_on
        if self.low_level is not None:
            ids = [i for i in ids if i in self.low_level.index]
        features = None if self.low_level is None else self.low_level.loc[ids].to_numpy()
        return self.pooled.loc[ids].to_numpy(), features, self.category.loc[ids].to_numpy()


@dataclass(frozen=True)
class Asked:
    """One subject's test rows and the decoders that answer them.

    Parameters
    ----------
    study : Study
    name : str
    read : dict
        Sides whose responses were read already.
    """

    study: Study
    name: str
    read: dict = field(default_factory=dict)

    @cached_property
    def rows(self):
        """The rows that predict wrote."""
        return self.study.inputs.table("predict", "rows.tsv", self.name)

    @cached_property
    def stimuli(self):
        """The tested stimuli, sorted."""
        return np.unique(self.rows["stimulus_id"].to_numpy(str))

    @cached_property
    def truth(self):
        """Their embeddings, (n_stimuli, dim)."""
        return self.study.pooled.loc[self.stimuli].to_numpy()

    def predicted(self, condition):
        """What a condition says of the rows, (n_rows, dim)."""
        return np.array(self.study.inputs.array("predict", f"{condition}/pooled.npy", self.name))

    def of_stimuli(self, condition):
        """The same, averaged over the rows of a stimulus, (n_stimuli, dim)."""
        table = self.rows.assign(trial_id=self.rows["row_id"])
        return averaged(self.predicted(condition), table, "stimulus_id")[0]

    def side(self, rows):
        """Responses of train, val or test rows as decoders read them, and their trials."""
        if rows not in self.read:
            self.read[rows] = aligned(self.study.inputs, self.name, rows)
        return self.read[rows]

    def answer(self, decoder, responses):
        """Embeddings that a decoder says of responses, unit rows."""
        said = self.study.decoders[decoder](responses, self.name)["pooled"]
        return said / np.maximum(np.linalg.norm(said, axis=1, keepdims=True), 1e-12)


def described(config, inputs, ids):
    """Describe pictures by their low-level features: a DataFrame by id; None without pictures."""
    import pandas as pd

    from neurodecode.metrics.low_level import low_level_features

    stimuli = inputs.table("index", "stimuli.tsv").set_index("stimulus_id", drop=False).loc[ids]
    if kind_of(stimuli) != "pictures":
        return None
    root = data_set_root(config.root, inputs)
    check_digests(root, stimuli, inputs.raw_digest)
    parts = []
    for first in range(0, len(stimuli), 256):
        paths = stimuli["path"].iloc[first : first + 256].tolist()
        parts.append(low_level_features(load_pictures(root, paths, (DESCRIBED_PX, DESCRIBED_PX))))
    return pd.DataFrame(np.concatenate(parts), index=ids)
