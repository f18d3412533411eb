"""A network fitted before descent sees training rows alone; with nothing to learn it stays."""

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from neurodecode.stages import train
from tests.stages.test_train import N_TRAIN, SUBJECTS, config, run_predict, run_train, study, top1

__all__ = ["study"]  # a fixture
NODE = {"_target_": "neurodecode.models.linear_systems.LinearSystem", "alphas": {}}
OWN = {"model": NODE, "prior": None, "prior_training": None, "linear_start": None}


class Spy:
    """A network that remembers what it was shown."""

    def prepare(self, responses, targets, groups, seed):
        self.shown = responses, targets, groups, seed


def test_training_trials_their_targets_and_runs_are_shown():
    trials = pd.DataFrame({"stimulus_id": ["b", "a", "b"], "session": 1, "run": [1, 1, 2]})
    rows, pooled = np.arange(12.0).reshape(3, 4), np.arange(10.0).reshape(2, 5)
    spy, tables = Spy(), {"pooled": pooled, "code": pooled[:, :1]}
    train.prepare(spy, {"s": (rows, trials)}, pd.Index(["a", "b"]), tables, 7)
    responses, targets, groups, seed = spy.shown
    assert np.array_equal(responses["s"], rows)
    assert list(targets["s"]) == ["pooled"] and seed == 7
    assert np.array_equal(targets["s"]["pooled"], pooled[[1, 0, 1]])
    assert groups["s"][0] == groups["s"][1] != groups["s"][2]
    assert train.prepare(object(), {}, None, {}, 7) is None


def test_a_linear_system_is_fitted_and_not_descended(study, tmp_path, artifact):
    trained = run_train(study, tmp_path, artifact, config(**OWN))
    history = pd.read_csv(trained.folder / "history.tsv", sep="\t")
    assert set(history["split"]) == {"val"}  # no epoch was trained
    assert history.set_index("name")["value"]["top1"] > 2 / 12
    folder, _ = run_predict(study, trained, tmp_path, artifact)
    assert top1(folder, "model", study) >= 0.6


def test_rows_that_do_not_train_change_no_weight(study, tmp_path, artifact):
    first = run_train(study, tmp_path, artifact, config(**OWN))
    for subject in SUBJECTS:
        file = study["preprocess"][subject].folder / "responses.npy"
        responses = np.load(file)
        responses[N_TRAIN:] += 9.0
        np.save(file, responses)
        study["preprocess"][subject] = artifact(file.parent)
    second = run_train(study, tmp_path, artifact, config(**OWN), name="again")
    weights = [load_file(t.folder / "weights.safetensors") for t in (first, second)]
    name = "decoder/fits.sub-01.tokens.weights"
    assert weights[0][name].any()
    assert np.array_equal(weights[0][name], weights[1][name])
