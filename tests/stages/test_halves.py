"""Split halves: odd and even repeats apart, one noise for all, and no condition among others."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.seeds import child_seed
from neurodecode.stages import halves, predict
from neurodecode.stages.samples import sample_table
from tests.stages.test_train import N_TEST, config, run_predict, run_train, study

__all__ = ["study"]


@pytest.fixture
def said(study, tmp_path, artifact):
    """``said(name, halves=…)``: the folder of predict."""
    trained = run_train(study, tmp_path, artifact, config())
    return lambda name, **how: run_predict(study, trained, tmp_path, artifact, name=name, **how)[0]


def test_trials_of_a_stimulus_are_dealt_by_turns():
    trials = pd.DataFrame({"stimulus_id": list("abacaba")})
    assert halves.which_half(trials).tolist() == [0, 0, 1, -1, 0, 1, 1]


def test_each_half_is_what_its_own_trials_say(said):
    folder, single = said("halved"), said("single", averaging="none", halves=False)
    rows = pd.read_csv(folder / "halves.tsv", sep="\t")
    assert len(rows) == N_TEST and set(rows["n_repeats_1"]) == set(rows["n_repeats_2"]) == {1}
    trials = pd.read_csv(single / "rows.tsv", sep="\t")["row_id"].tolist()
    alone = np.load(single / "model/pooled.npy")
    for k, half in enumerate(halves.HALVES, 1):
        own = [trials.index(trial) for trial in rows[f"trial_ids_{k}"]]
        assert np.allclose(np.load(folder / half / "pooled.npy"), alone[own], atol=1e-5)


def test_without_halves_nothing_else_changes(said):
    folder, bare = said("with"), said("without", halves=False)
    assert not (bare / "halves.tsv").exists() and not (bare / "half_1").exists()
    assert (folder / "half_1/tokens.npy").exists()
    for file in bare.rglob("*.*"):
        same = folder / file.relative_to(bare)
        assert same.read_bytes() == file.read_bytes(), file.name


def test_halves_stand_in_no_list_of_conditions(said):
    folder = said("listed")
    names = [c["name"] for c in json.loads((folder / "conditions.json").read_text())]
    assert not set(names) & set(halves.HALVES) and (folder / "half_2").is_dir()


def test_all_halves_of_all_stimuli_share_one_noise():
    class Prior:
        def sample(self, given, seeds, *how):
            import torch

            return torch.as_tensor(seeds, dtype=torch.float64)[:, None, None]

    samples = sample_table(pd.Series(["a", "b"]), 1)
    asked = predict.PredictConfig()
    own = predict.draw(asked, Prior(), None, samples).ravel()
    shared = predict.draw(asked, Prior(), None, samples.assign(noise=halves.NOISE)).ravel()
    assert own[0] != own[1] and shared[0] == shared[1]
    assert own[0] == float(child_seed(asked.seed, "prior", "a", 0))
