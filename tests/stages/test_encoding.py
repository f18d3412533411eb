"""Brain correlation: a planted linear brain is encoded, and regions keep their channels."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.views import Folder, View
from neurodecode.metrics.brain import BrainCorrelation
from neurodecode.stages import evaluate
from neurodecode.stages.encoding import brain_of

IDS = [f"p{i:02d}" for i in range(60)]
N_TEST, DIM, N_CHANNELS = 12, 4, 9


class Means:
    """Embeds a picture as its first pixels."""

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Four numbers."""
        return pictures.reshape(len(pictures), -1)[:, :DIM] / 255.0, None


@pytest.fixture
def study(tmp_path, artifact):
    """Sixty pictures, of which twelve are tested twice; responses linear in the embedding."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (len(IDS), 2, 2, 3), dtype=np.uint8)
    pooled = Means().pictures(pictures)[0]
    embed = Folder(tmp_path / "embed", None)
    embed.save_table("stimuli.tsv", pd.DataFrame({"stimulus_id": IDS}))
    embed.save_array("pooled.npy", pooled)
    embed.save_json("target.json", {"target": {"_target_": f"{__name__}.Means"}})
    shown = np.r_[np.arange(len(IDS)), np.arange(N_TEST)]
    trials = pd.DataFrame({"trial_id": [f"t{k}" for k in range(len(shown))]})
    trials["stimulus_id"] = np.array(IDS)[shown]
    trials["subject"] = "sub-01"
    side = np.where(shown < N_TEST, "test", "train")
    weights = rng.normal(size=(DIM, N_CHANNELS))
    responses = pooled[shown] @ weights + 0.05 * rng.normal(size=(len(shown), N_CHANNELS))
    made = Folder(tmp_path / "preprocess", None)
    made.save_table("trials.tsv", trials)
    made.save_array("responses.npy", responses.astype(np.float32))
    rois = pd.DataFrame({"channel": [2, 3, 5], "roi": "V1"})
    made.save_table("space/rois.tsv", rois)
    split = Folder(tmp_path / "split", None)
    split.save_table("split.tsv", trials.assign(split=side))
    artifacts = {n: artifact(tmp_path / n) for n in ("embed", "split")}
    artifacts["preprocess"] = {"sub-01": artifact(tmp_path / "preprocess")}
    return View(evaluate.run, artifacts), pictures, responses


def test_true_pictures_evoke_what_was_measured_and_others_do_not(study):
    view, pictures, responses = study
    measured, eye = brain_of(view, "sub-01", IDS[:N_TEST])
    twice = (responses[:N_TEST] + responses[-N_TEST:]) / 2
    np.testing.assert_allclose(measured["all"], twice, atol=1e-6)
    np.testing.assert_array_equal(measured["V1"], measured["all"][:, [2, 3, 5]])
    (whole, region) = BrainCorrelation()(measured, eye(pictures[:N_TEST]))
    assert (whole.name, region.name) == (
        "brain_correlation_all_ridge",
        "brain_correlation_V1_ridge",
    )
    own = np.diagonal(whole.values)
    others = whole.values[~np.eye(N_TEST, dtype=bool)]
    assert own.min() > 0.95 and others.mean() < own.mean() - 0.1
    assert [o["subject"] for o in view.openings] == ["sub-01"], "opening the test side is counted"


def test_a_region_is_made_of_its_channels_at_all_times(study, tmp_path, artifact):
    view, pictures, responses = study
    folder = tmp_path / "preprocess"
    late = np.stack([responses, 2 * responses], axis=2).astype(np.float32)
    np.save(folder / "responses.npy", late)
    view._artifacts["preprocess"]["sub-01"] = artifact(folder)
    measured, eye = brain_of(view, "sub-01", IDS[:N_TEST])
    assert measured["V1"].shape == (N_TEST, 6)
    np.testing.assert_allclose(measured["V1"][:, 1::2], 2 * measured["V1"][:, ::2], rtol=1e-5)
    assert eye(pictures[:3])["V1"].shape == (3, 6)
    assert json.loads(view.path("embed", "target.json").read_text())
