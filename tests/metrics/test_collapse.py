"""Every metric of conf/metric, put to a model that says one thing: exactly chance, nowhere more."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from neurodecode.cli import conf_folder
from neurodecode.core.build import build
from neurodecode.metrics import captions, trunks
from neurodecode.rigour.controls import mismatched_mean
from tests.metrics.test_pixel import pictures

FILES = sorted((conf_folder() / "metric").glob("*.yaml"))
NODES = {
    path.stem: node for path in FILES if "_target_" in (node := yaml.safe_load(path.read_text()))
}
N = {"pooled": 320}  # as many as the published protocol draws from; of other materials few
WORDS = "a dog cat man runs sits on with the red green ball grass sea".split()
RNG = np.random.default_rng(0)


class Hashes:
    """An encoder of sentences that gives each its own direction."""

    def __init__(self, model: str):
        self.model = model

    def texts(self, texts):
        """Embed sentences at random, equal ones equally."""
        seeds = [np.frombuffer(t.encode(), np.uint8) for t in texts]
        return np.stack([np.random.default_rng(s).normal(size=8) for s in seeds])


def materials(need):
    """What is true of the stimuli, one thing said of all, and a thing that says nothing."""
    n = N.get(need, 12)
    if need == "pooled":
        truth = RNG.normal(size=(n, 8)).astype(np.float32)
        return truth, truth[:1].repeat(n, 0) + 1, np.zeros_like(truth)
    if need == "layers":
        truth = {"early": RNG.normal(size=(n, 30)), "late": RNG.normal(size=(n, 4))}
        said = {k: v[:1].repeat(n, 0) + np.arange(v.shape[1]) for k, v in truth.items()}
        return truth, said, {k: np.full_like(v, 0.1) for k, v in truth.items()}
    if need == "brain":
        truth = {"V1": RNG.normal(size=(n, 30))}
        said = {"V1": RNG.normal(size=(1, 30)).repeat(n, 0)}
        return truth, said, {"V1": np.full((n, 30), 0.1)}
    if need == "pictures":
        truth = pictures(0, n, 24)
        return truth, pictures(1, 1, 24).repeat(n, 0), np.full_like(truth, 128)
    if need == "attributes":
        truth = pd.DataFrame({"colour": RNG.choice(["red", "green"], n)})
        return truth, truth.assign(colour="red"), truth.assign(colour="unheard of")
    truth = [" ".join(RNG.choice(WORDS, 6)) for _ in range(n)]
    return truth, ["a dog sits on the sea"] * n, ["silence"] * n


@pytest.fixture
def make(monkeypatch, tmp_path):
    """``make(name)``: a metric as conf/ has it, with a small network or encoder in its place."""
    small = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 16, 16), torch.nn.Flatten())
    torch.save(small.state_dict(), tmp_path / "small.pth")

    def build_small(state):
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 16, 16), torch.nn.Flatten())
        network.load_state_dict(state)
        return network

    for name, trunk in trunks.TRUNKS.items():
        changed = {"nodes": dict.fromkeys(trunk.nodes, "1"), "build": build_small}
        monkeypatch.setitem(trunks.TRUNKS, name, trunks.Trunk(**trunk.__dict__ | changed))
    no_synonyms = SimpleNamespace(synsets=lambda word: [])
    monkeypatch.setattr(captions, "_wordnet", lambda: no_synonyms)
    (tmp_path / "encoder").mkdir()

    def make(name):
        node = {
            k: {"${seed}": 0, "${device}": "cpu"}.get(str(v), v) for k, v in NODES[name].items()
        }
        if "network" in node:
            node["weights"] = str(tmp_path / "small.pth")
        if "encoder" in node:
            node["encoder"] = {
                "_target_": f"{__name__}.Hashes",
                "model": str(tmp_path / "encoder"),
            }
        if "n_partners" in node:
            node["n_partners"] = 11  # all others: only then is chance that of the mismatched pairs
        return build(node)

    return make


def scores_of(metric, truth, predicted, own):
    """Score as the stage evaluate does."""
    sides = [truth, predicted]
    if hasattr(metric, "prepare"):
        sides = [metric.prepare(side) for side in sides]
    return metric(*sides, own) if getattr(metric, "paired", False) else metric(*sides)


@pytest.mark.parametrize("says", ["one thing of all", "nothing"])
@pytest.mark.parametrize("name", [n for n in NODES if n != "brain_correlation_gnet"])
def test_a_collapsed_model_scores_chance(name, says, make):
    metric = make(name)
    if name == "meteor":
        pytest.importorskip("nltk")
    truth, one_thing, nothing = materials(metric.needs)
    n = N.get(metric.needs, 12)
    own = np.random.default_rng(1).permutation(n)
    predicted = one_thing if says == "one thing of all" else nothing
    scores = scores_of(metric, truth, predicted, own)
    assert scores
    for score in scores:
        rows = score.values[0] if score.sampled else score.values[own, np.arange(n)]
        value, chance = getattr(np, score.summary)(rows), score.chance
        if chance is None:
            mismatched = score.values[1:].mean if score.sampled else None
            chance = mismatched() if mismatched else mismatched_mean(score.values, own)
        if score.name.endswith("_compat") and says == "nothing":
            assert value <= chance + 1e-9, "ties fail in the strict form: never more than chance"
        else:
            assert value == pytest.approx(chance, abs=1e-9), score.name


def test_the_metric_that_is_never_computed_is_the_only_one_left_out(make):
    left_out = {name for name in NODES if getattr(make(name), "available", lambda: None)()}
    assert left_out - {"meteor"} == {"brain_correlation_gnet"}
