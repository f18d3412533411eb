"""Training begins with weights that are there: imported ones, or those of an earlier run."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from neurodecode.core.checks import dataclass_from
from neurodecode.core.errors import ConfigError
from neurodecode.diffusion.prior import DiffusionPrior
from neurodecode.stages import start, train
from neurodecode.weights.importing import Asked, import_checkpoint
from tests.stages.test_train import MODEL, PLAN, PRIOR, config, run_predict, run_train
from tests.stages.test_train import study as study  # noqa: PLC0414  (a fixture)
from tests.stages.test_train import trained as trained  # noqa: PLC0414
from tests.stages.test_train import with_code as with_code  # noqa: PLC0414
from tests.weights.tiny_network import random_state

TINY = {"_target_": "tests.weights.tiny_network.TinyNetwork", "hidden": 8}
SMALL = {"depth": 1, "heads": 2, "dim_head": 4, "ff_mult": 2, "n_steps": 10}
PUBLISHED = {"_target_": PRIOR["_target_"], **SMALL, "image_embed_scale": None, "compat": True}
ALONE = {"prior": None, "prior_training": None, "linear_start": None}
ONCE = PLAN | {"n_epochs": 1}


@pytest.fixture
def imported(tmp_path):
    """``imported(subjects, with_prior)``: a folder of imported weights for the study's sizes."""

    def make(subjects=("sub-01", "sub-02"), with_prior=False, name="imported"):
        channels = [{"sub-01": 30, "sub-02": 24}[s] for s in subjects]
        state = random_state(channels, hidden=8, dim=6, n_values=32)
        if with_prior:
            torch.manual_seed(0)
            prior = DiffusionPrior(4, 8, **SMALL, image_embed_scale=None, compat=True)
            state |= {f"diffusion_prior.{k}": v for k, v in prior.state_dict().items()}
        torch.save({"model_state_dict": state}, tmp_path / f"{name}.pth")
        asked = Asked((tmp_path / f"{name}.pth",), "tiny", TINY, subjects)
        return str(import_checkpoint(asked, tmp_path / name, tell=lambda line: None))

    return make


def weights(artifact, part="decoder/"):
    found = load_file(artifact.folder / "weights.safetensors")
    return {k.removeprefix(part): a for k, a in found.items() if k.startswith(part)}


def history(artifact):
    return pd.read_csv(artifact.folder / "history.tsv", sep="\t")


@pytest.fixture
def said(monkeypatch):
    """The lines that stages tell the user."""
    from neurodecode.core.views import Folder

    lines = []
    monkeypatch.setattr(Folder, "log", lambda self, line: lines.append(line))
    return lines


def test_without_training_the_network_stays_as_imported(study, imported, tmp_path, artifact, said):
    settings = config(model=TINY, start=imported(), decoder_training=None, **ALONE)
    made = run_train(study, tmp_path, artifact, settings)
    theirs = load_file(tmp_path / "imported" / "model.safetensors")
    ours = weights(made)
    assert ours.keys() - theirs.keys() == {"blurry.weight", "blurry.bias"}
    assert all(np.array_equal(ours[k], theirs[k]) for k in theirs)
    assert any("2 shared parameters begin at random: blurry.bias" in line for line in said)
    table = history(made)
    assert set(table["split"]) == {"val"} and set(table["epoch"]) == {0}
    assert {"score", "top1", "tokens"} <= set(table["name"])
    folder, _ = run_predict(study, made, tmp_path, artifact)
    assert np.isfinite(np.load(folder / "model" / "pooled.npy")).all()


def test_tokens_of_imported_weights_are_not_standardised(study, imported, tmp_path, artifact):
    settings = config(model=TINY, start=imported(), decoder_training=None, **ALONE)
    made = run_train(study, tmp_path, artifact, settings)
    scale = load_file(made.folder / "weights.safetensors")
    assert not scale["targets/tokens_mean"].any() and (scale["targets/tokens_std"] == 1).all()
    plain = run_train(study, tmp_path, artifact, config(model=TINY, **ALONE), "plain")
    assert load_file(plain.folder / "weights.safetensors")["targets/tokens_mean"].any()


def test_training_goes_on_from_what_was_imported(study, imported, tmp_path, artifact, said):
    plan = ONCE | {"learning_rate": 0.0}
    still = config(model=TINY, start=imported(), decoder_training=plan, **ALONE)
    made = run_train(study, tmp_path, artifact, still)
    theirs = load_file(tmp_path / "imported" / "model.safetensors")
    assert all(np.allclose(weights(made)[k], theirs[k]) for k in theirs)
    moving = train.TrainConfig(**{**vars(still), "decoder_training": ONCE})
    moved = weights(run_train(study, tmp_path, artifact, moving, "moved"))
    assert not np.array_equal(moved["shared.2.weight"], theirs["shared.2.weight"])
    assert any("11 tensors begin as in" in line for line in said)


def test_other_subjects_begin_at_random_and_it_is_said(study, imported, tmp_path, artifact, said):
    one = imported(["sub-01"], name="one")
    settings = config(model=TINY, start=one, decoder_training=None, **ALONE)
    made = weights(run_train(study, tmp_path, artifact, settings))
    theirs = load_file(tmp_path / "one" / "model.safetensors")
    assert np.array_equal(made["inputs.sub-01.weight"], theirs["inputs.sub-01.weight"])
    assert "decoder: 2 parameters of sub-02 alone begin at random" in said
    other = imported(["sub-02"], name="other")
    both = config(model=TINY, start=[one, other], decoder_training=None, **ALONE)
    made = weights(run_train(study, tmp_path, artifact, both, "both"))
    theirs |= load_file(tmp_path / "other" / "model.safetensors")
    assert all(np.array_equal(made[k], theirs[k]) for k in theirs)


def test_a_part_that_a_start_has_once_is_every_subjects():
    network = torch.nn.Module()
    network.sizes = type("Sizes", (), {"channels": {"a": 2, "b": 2}})
    network.inputs = torch.nn.ModuleDict({s: torch.nn.Linear(2, 2) for s in "ab"})
    tensors = {"inputs.weight": np.eye(2), "inputs.bias": np.arange(2.0)}
    begun = start.Start("folder", tensors, {}, None, {})
    lines = []
    out = type("Out", (), {"log": lambda self, line: lines.append(line)})()
    start.begin_decoder(network, [begun], {}, out)
    assert all(torch.equal(network.inputs[s].weight, torch.eye(2)) for s in "ab")
    assert "decoder: inputs.bias, inputs.weight is that of every subject" in lines


def begins(**about):
    """A network of two subjects, and a start of it with other properties."""
    network = torch.nn.Linear(2, 2)
    network.sizes = type("Sizes", (), {"channels": {"a": 2, "b": 2}})
    tensors = {"weight": np.eye(2), "bias": np.zeros(2)}
    return network, start.Start("folder", tensors, {}, None, about.pop("model", {}), **about)


OUT = type("Out", (), {"log": lambda self, line: None})()


def test_a_start_made_with_other_slips_is_refused():
    network, begun = begins(model={"compat": True})
    with pytest.raises(ValueError, match="give train.model.compat=true"):
        start.begin_decoder(network, [begun], {"compat": False}, OUT)


def test_rows_of_other_subjects_are_refused():
    network, begun = begins(subjects=["b", "c"])
    network.rows_of_subjects = "weight"
    with pytest.raises(ValueError, match="a row for each of b, c, and this study has a, b"):
        start.begin_decoder(network, [begun], {}, OUT)


def test_a_prior_whose_weights_mean_something_else_is_refused():
    prior = DiffusionPrior(n_tokens=2, dim=8, depth=1, heads=1, dim_head=8)
    tensors = {k: v.numpy() for k, v in prior.state_dict().items()}
    begun = start.Start("folder", {}, tensors, None, {}, {"image_embed_scale": None})
    with pytest.raises(ValueError, match="give train.prior.image_embed_scale=null"):
        start.begin_prior(prior, [begun], {"image_embed_scale": 1.0}, OUT)
    assert start.begin_prior(prior, [begun], {"image_embed_scale": None}, OUT)


def test_starts_that_say_tokens_in_different_scales_are_refused():
    scale = lambda std: {"mean": np.zeros(2), "std": np.full(2, std)}
    starts = [start.Start(name, {}, {}, scale(std), {}) for name, std in (("x", 1.0), ("y", 2.0))]
    statistics = {"targets/tokens_mean": np.zeros(2), "targets/tokens_std": np.ones(2)}
    with pytest.raises(ValueError, match="x and y say tokens in different scales"):
        start.token_scale(statistics, starts, OUT)


def test_what_comes_trained_is_not_learnt_first():
    network, begun = begins()
    network.tuning = type("Tuning", (), {"source_epochs": 3})
    with pytest.raises(ValueError, match="give train.model.source_epochs=0"):
        start.check_phases(network, [begun])


def test_a_draw_of_the_null_begins_at_random():
    with pytest.raises(ValueError, match="begin at random"):
        config(permutation=1, start="folder")


def test_the_prior_of_a_checkpoint_is_used_as_it_is_or_trained_on(
    study,
    imported,
    tmp_path,
    artifact,
):
    folder = imported(with_prior=True)
    as_is = {"model": TINY, "start": folder, "prior": PUBLISHED, "linear_start": None}
    settings = config(**as_is, decoder_training=None, prior_training=None)
    made = run_train(study, tmp_path, artifact, settings)
    theirs = load_file(tmp_path / "imported" / "prior.safetensors")
    assert all(np.array_equal(weights(made, "prior/")[k], theirs[k]) for k in theirs)
    assert set(history(made)["phase"]) == {"decoder"}
    predicted, _ = run_predict(study, made, tmp_path, artifact, n_samples=1, sampling_steps=4)
    assert np.isfinite(np.load(predicted / "model" / "tokens.npy")).all()
    settings = config(**as_is, decoder_training=None, prior_training=ONCE)
    more = run_train(study, tmp_path, artifact, settings, "more")
    assert set(history(more)["phase"]) == {"decoder", "prior"}
    assert not np.array_equal(
        weights(more, "prior/")["net.learned_query"], theirs["net.learned_query"]
    )


def test_another_prior_is_not_begun_with_and_has_to_be_trained(study, imported, tmp_path, artifact):
    as_is = {"model": TINY, "start": imported(with_prior=True), "linear_start": None}
    settings = config(**as_is, prior=PUBLISHED | {"depth": 2}, prior_training=None)
    with pytest.raises(ValueError, match="prior_training is null"):
        run_train(study, tmp_path, artifact, settings)


def test_a_run_begins_where_an_earlier_one_ended(study, trained, tmp_path, artifact, said):
    settings = config(start=str(trained.folder), decoder_training=None, prior_training=None)
    again = run_train(study, tmp_path, artifact, settings, "again")
    for part in ("decoder/", "prior/", "targets/"):
        before, after = weights(trained, part), weights(again, part)
        assert before.keys() == after.keys() and len(before)
        differ = [k for k in before if not np.array_equal(before[k], after[k], equal_nan=True)]
        assert not differ, part
    options = config(start=str(trained.folder), model=MODEL | {"dropout": 0.4}, **ALONE)
    run_train(study, tmp_path, artifact, options, "other")
    assert any("train.model.dropout is 0.4, and was 0.1" in line for line in said)


def test_what_is_frozen_stays_and_the_rest_is_trained(study, imported, tmp_path, artifact):
    settings = config(model=TINY, start=imported(), freeze=["shared.*", "inputs.*.bias"], **ALONE)
    made = weights(run_train(study, tmp_path, artifact, settings))
    theirs = load_file(tmp_path / "imported" / "model.safetensors")
    stays = {k for k in made if k.startswith("shared.") or k.endswith("-01.bias")}
    assert len(stays) == 5
    assert all(np.array_equal(made[k], theirs[k]) for k in stays)
    assert not np.array_equal(made["inputs.sub-01.weight"], theirs["inputs.sub-01.weight"])


@pytest.mark.parametrize(
    ("patterns", "says"),
    [(["shaerd.*"], r"named like 'shaerd.\*'; there are inputs.\*, shared"), (["*"], "nothing to")],
)
def test_patterns_that_freeze_nothing_or_everything_are_refused(
    study,
    tmp_path,
    artifact,
    patterns,
    says,
):
    with pytest.raises(ValueError, match=says):
        run_train(study, tmp_path, artifact, config(model=TINY, freeze=patterns, **ALONE))


def test_the_bytes_of_a_start_count_in_the_key(imported):
    folder = imported(with_prior=True)
    settings = config(model=TINY, start=folder, **ALONE)
    names = [path.name for path in train.run.external(settings)]
    assert names == ["model.safetensors", "config.json", "prior.safetensors"]
    with pytest.raises(FileNotFoundError, match="no weights to begin with.*import-checkpoint"):
        train.run.external(config(model=TINY, start=f"{folder}/nowhere", **ALONE))


def test_a_tensor_of_another_shape_is_not_used_and_it_is_said(
    study, imported, tmp_path, artifact, said
):
    settings = config(model=TINY | {"hidden": 5}, start=imported(), decoder_training=None, **ALONE)
    run_train(study, tmp_path, artifact, settings)
    assert "decoder: shared.2.weight is (6, 5) here and (6, 8) there: not used" in said


def test_starts_that_do_not_fit_are_refused(study, imported, tmp_path, artifact, with_code):
    folder = imported()
    for changes, says in (
        ({"model": MODEL, **ALONE}, "equal names would mean other layers"),
        ({"model": TINY, **with_code}, "train.linear_start=5.0: the network begins at one"),
    ):
        with pytest.raises(ValueError, match=says):
            run_train(study, tmp_path, artifact, config(start=folder, **changes))
    shutil.copytree(folder, tmp_path / "forged")
    (tmp_path / "forged" / "config.json").write_text(json.dumps({"model": 3}))
    with pytest.raises(ValueError, match="names no model"):
        start.opened(str(tmp_path / "forged"))


def test_no_training_without_a_start_is_refused():
    node = vars(config()) | {"decoder_training": None}
    with pytest.raises(ConfigError, match="what it begins with .train.start=FOLDER"):
        dataclass_from(node, train.TrainConfig, "train")
