"""What a network fits before it is trained sees training trials alone, and is there afterwards."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.stages.test_train import (
    N_TRAIN,
    PLAN,
    SUBJECTS,
    config,
    run_predict,
    run_train,
    study,
    top1,
)

__all__ = ["study"]  # a fixture
BRAINIT = {
    "_target_": "neurodecode.models.brainit.BrainIT",
    "dim": 16,
    "centres": 5,
    "heads": 2,
    "blocks": 1,
    "tuning_dim": 4,
    "patch": 1,
    "contrast": True,
}
OWN = {"prior": None, "prior_training": None, "linear_start": None}


def test_clusters_are_those_of_training_trials_and_predict_finds_them(study, tmp_path, artifact):
    settings = config(model=BRAINIT, decoder_training=PLAN | {"n_epochs": 25}, **OWN)
    trained = run_train(study, tmp_path, artifact, settings)
    weights = load_file(trained.folder / "weights.safetensors")
    clusters = {s: weights[f"decoder/vertices.{s}.cluster"] for s in SUBJECTS}
    assert {s: len(c) for s, c in clusters.items()} == SUBJECTS
    assert 1 < len(set(np.concatenate([*clusters.values()]))) <= 5
    folder, _ = run_predict(study, trained, tmp_path, artifact)
    assert top1(folder, "model", study) >= 0.4


def test_rows_that_do_not_train_change_no_cluster(study, tmp_path, artifact):
    settings = config(model=BRAINIT, decoder_training=PLAN | {"n_epochs": 1}, **OWN)
    first = run_train(study, tmp_path, artifact, settings)
    for subject in SUBJECTS:
        file = study["preprocess"][subject].folder / "responses.npy"
        responses = np.load(file)
        responses[N_TRAIN:] += 9.0
        np.save(file, responses)
        study["preprocess"][subject] = artifact(file.parent)
    second = run_train(study, tmp_path, artifact, settings, name="again")
    for name in (f"decoder/vertices.{s}.tuning" for s in SUBJECTS):
        weights = [load_file(t.folder / "weights.safetensors")[name] for t in (first, second)]
        assert weights[0].any() and np.array_equal(*weights)


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_tuning_to_a_new_subject_leaves_the_others_as_they_were(
    study, tmp_path, artifact, n_epochs
):
    node = {"_target_": "neurodecode.models.mindbridge.MindBridgeDecoder", "size": 20, "hidden": 8}
    node |= {"n_blocks": 1, "bottleneck": 4, "new_subject": "sub-02", "source_epochs": 1}
    plan = PLAN | {"n_epochs": n_epochs, "ema_decay": 0.0}
    trained = run_train(study, tmp_path, artifact, config(model=node, decoder_training=plan, **OWN))
    weights = load_file(trained.folder / "weights.safetensors")
    new = weights["decoder/bridge.embedder.sub-02.0.up_proj.weight"]
    known = weights["decoder/bridge.embedder.sub-01.0.up_proj.weight"]
    assert known.any() and new.any() == (n_epochs > 1)  # both begin as nought
