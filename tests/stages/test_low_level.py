"""Any low-level target passes through train and predict, which shows what was decoded."""

import numpy as np
import pandas as pd

from tests.stages.test_train import N_TEST, config, run_predict, run_train, study

__all__ = ["study"]  # a fixture
MIXED = np.random.default_rng(7).standard_normal((5, 2 * 3 * 4))


class Latents:
    """Shows 2 x 3 latents of four numbers as pictures of 4 x 6 pixels."""

    shape = (2, 3, 4)

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Squash three of the numbers into [0, 1]."""
        shown = 1 / (1 + np.exp(-values[..., :3]))
        return np.repeat(np.repeat(shown, 2, axis=1), 2, axis=2)


def test_latents_of_any_shape_are_learned_and_shown_by_what_made_them(study, tmp_path, artifact):
    embed = study["embed"].folder
    # what the embedding is made of, around 0 with a deviation beyond a picture's
    pooled = np.load(embed / "pooled.npy")
    latents = (4 * pooled[:, :5] @ MIXED).reshape(-1, 2, 3, 4).astype(np.float32)
    np.save(embed / "blurry.npy", latents)
    study["embed"] = artifact(embed)
    trained = run_train(
        study, tmp_path, artifact, config(prior=None, prior_training=None, blurry_weight=5.0)
    )
    node = {"_target_": f"{__name__}.Latents"}
    folder, _ = run_predict(study, trained, tmp_path, artifact, low_level=node)

    names = pd.read_csv(embed / "stimuli.tsv", sep="\t")["stimulus_id"].tolist()
    rows = pd.read_csv(folder / "rows.tsv", sep="\t")["stimulus_id"]
    truth = Latents().decode(latents[[names.index(s) for s in rows]])
    assert np.allclose(np.load(folder / "true_features" / "blurry.npy"), truth, atol=1e-6)
    for condition in ("model", "ridge", "prior_only", "shuffled", "mean_brain"):
        shown = np.load(folder / condition / "blurry.npy")
        assert shown.shape == (N_TEST, 4, 6, 3) and 0 <= shown.min() <= shown.max() <= 1
    error = lambda name: np.abs(np.load(folder / name / "blurry.npy") - truth).mean()
    assert error("ridge") < 0.8 * error("prior_only")
    assert error("model") < 0.9 * error("prior_only")
