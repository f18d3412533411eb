"""import-checkpoint: by key and shape, whole or not at all, and what did not match is said."""

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from neurodecode import cli
from neurodecode.core.build import build
from neurodecode.core.errors import UserError
from neurodecode.diffusion.prior import DiffusionPrior
from neurodecode.weights import matching
from neurodecode.weights.importing import Asked, import_checkpoint
from tests.weights.tiny_network import TinyNetwork, published, random_state

NODE = {"_target_": "tests.weights.tiny_network.TinyNetwork", "heads": 2}
PRIOR = {"depth": 1, "heads": 2, "dim_head": 4, "ff_mult": 2, "n_steps": 10}


@pytest.fixture
def file(tmp_path):
    """``file(state, **beside)``: write a checkpoint, wrapped as training code does."""

    def write(state=None, **beside):
        found = {"epoch": 9, "optimizer_state_dict": {"state": {}}, **beside}
        torch.save(found | {"model_state_dict": state or random_state()}, tmp_path / "last.pth")
        return tmp_path / "last.pth"

    return write


def run(folder, path, *words, node=NODE):
    """The command itself; its exit code."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(node))
    out = [] if any(w.startswith("out=") for w in words) else [f"out={folder / 'imported'}"]
    return cli.main(["import-checkpoint", str(path), f"model={folder / 'tiny.yaml'}", *out, *words])


def test_a_checkpoint_becomes_a_folder_with_a_card(tmp_path, file, capsys):
    state = random_state()
    assert run(tmp_path, file(state), "subjects=[anna,ben]", "licence=MIT", "heads=3") == 0
    said, folder = capsys.readouterr().out, tmp_path / "imported"
    weights = load_file(folder / "model.safetensors")
    assert torch.equal(weights["inputs.anna.weight"], state["ridge.0.weight"])
    assert torch.equal(weights["inputs.ben.bias"], state["ridge.1.bias"])
    assert len(weights) == len(state)
    n_parameters = sum(t.numel() for t in state.values())
    assert f"{len(state)} tensors, {n_parameters} parameters" in said
    assert "states of optimisers are not imported: optimizer_state_dict" in said
    about = json.loads((folder / "config.json").read_text())
    assert about["subjects"] == ["anna", "ben"] and about["model"] == NODE | {"heads": 3}
    text = (folder / "README.md").read_text()
    for words in ("last.pth", about["source"]["sha256"], "MIT", "Nobody (2026)", "anna, ben"):
        assert words in text
    assert str(n_parameters) in text and "Everything matched" not in text  # the epoch is left


def test_a_second_run_finds_it_and_another_import_is_kept_apart(tmp_path, file, capsys):
    path = file()
    assert run(tmp_path, path) == 0
    before = (tmp_path / "imported" / "model.safetensors").stat().st_mtime_ns
    assert run(tmp_path, path) == 0
    assert "holds this import already" in capsys.readouterr().out
    assert (tmp_path / "imported" / "model.safetensors").stat().st_mtime_ns == before
    assert run(tmp_path, path, "licence=MIT") == 2
    assert "holds something else" in capsys.readouterr().err


def test_missing_parameters_end_with_code_2_and_nothing_written(tmp_path, file, capsys):
    state = random_state()
    del state["core.0.bias"], state["ridge.1.bias"]
    path = file(state | {"extra.weight": torch.ones(2)})
    assert run(tmp_path, path) == 2
    told = capsys.readouterr()
    assert "missing               2" in told.out and "shared.0.bias" in told.out
    assert "unexpected            1" in told.out and "extra.weight" in told.out
    assert "lacks 2 parameters" in told.err and "partial=true" in told.err
    assert {p.name for p in tmp_path.iterdir()} == {"last.pth", "tiny.yaml"}
    assert run(tmp_path, path, "partial=true") == 0
    card = (tmp_path / "imported" / "README.md").read_text()
    assert "`shared.0.bias`" in card and "`extra.weight`" in card


def test_a_missing_table_and_another_shape_are_told_apart(tmp_path, file, capsys):
    state = random_state()
    del state["table"]
    assert run(tmp_path, file(state)) == 0
    assert "missing tables        1" in capsys.readouterr().out
    state["core.2.bias"] = torch.ones(7)
    assert run(tmp_path, file(state), f"out={tmp_path / 'second'}") == 2
    assert "shared.2.bias (network (6,), file (7,))" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["subjects=[a]"], "parts of 2 (sub-01, sub-02)"),
        (["subjects=[a,a]"], "no different names"),
        (["subjects=a"], "a list such as [a]"),
        (["hedas=2"], "did you mean heads"),
        (["heads=two"], "a whole number"),
        (["partial=maybe"], "true or false"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, file, capsys, words, says):
    assert run(tmp_path, file(), *words) == 2
    assert says in capsys.readouterr().err


def test_a_checkpoint_of_another_network_says_what_it_holds(tmp_path, file, capsys):
    assert run(tmp_path, file({"lin0.0.weight": torch.ones(2, 2)})) == 2
    said = capsys.readouterr().err
    assert "is no checkpoint of model=tiny: TinyNetwork has ridge.0.weight" in said
    assert "1 tensors, such as lin0.0.weight" in said


def test_a_network_without_a_published_layout_is_refused(tmp_path, file, capsys):
    assert cli.main(["import-checkpoint", str(file()), "model=residual_mlp"]) == 2
    assert "residual_mlp knows no published checkpoints" in capsys.readouterr().err
    assert cli.main(["import-checkpoint", str(file()), "model=nothing"]) == 2
    assert "there is no such choice; there are" in capsys.readouterr().err
    assert cli.main(["import-checkpoint", str(file()), "licence=MIT"]) == 2
    assert "give model=NAME" in capsys.readouterr().err


def test_keys_that_all_begin_with_another_name_are_read_without_it(tmp_path, file):
    state = {f"decoder.{key}": tensor for key, tensor in random_state().items()}
    assert run(tmp_path, file(state)) == 0
    weights = load_file(tmp_path / "imported" / "model.safetensors")
    assert torch.equal(weights["shared.2.weight"], state["decoder.core.2.weight"])


def test_safetensors_of_half_precision_stay_as_they_are(tmp_path):
    state = {key: tensor.bfloat16() for key, tensor in random_state().items()}
    save_file(state, tmp_path / "a.safetensors")
    assert run(tmp_path, tmp_path / "a.safetensors") == 0
    weights = load_file(tmp_path / "imported" / "model.safetensors")
    assert weights["table"].dtype is torch.bfloat16 and torch.equal(
        weights["table"], state["table"]
    )


@pytest.mark.parametrize("start", ["", "diffusion_prior."])
def test_the_prior_within_a_checkpoint_is_the_prior_of_the_folder(tmp_path, file, start):
    torch.manual_seed(0)
    prior = DiffusionPrior(4, 8, **PRIOR, image_embed_scale=None, compat=True).eval()
    state = {f"{start}{key}": tensor for key, tensor in prior.state_dict().items()}
    assert run(tmp_path, file(random_state() | state)) == 0
    about = json.loads((tmp_path / "imported" / "config.json").read_text())
    assert about["unexpected"] == [] and about["prior_lacks"] == []
    again = build(about["prior"], **about["prior_sizes"]).eval()
    again.load_state_dict(load_file(tmp_path / "imported" / "prior.safetensors"))
    brain = torch.randn(3, 4, 8)
    expected = prior.sample(brain, [0, 1, 2], 4)
    torch.testing.assert_close(again.sample(brain, [0, 1, 2], 4), expected, rtol=0, atol=0)


def test_a_prior_without_its_sizes_is_refused(tmp_path, file, capsys):
    prior = DiffusionPrior(4, 8, **PRIOR).state_dict()
    del prior["net.learned_query"]
    assert run(tmp_path, file(random_state() | prior)) == 2
    assert "'net.learned_query': it is no published one" in capsys.readouterr().err


def test_the_network_that_was_imported_says_what_the_published_one_said(tmp_path, file):
    state = random_state()
    asked = Asked((file(state),), "tiny", NODE, ("anna", "ben"))
    folder = import_checkpoint(asked, tmp_path / "imported", tell=lambda line: None)
    network, names = published({key: tuple(t.shape) for key, t in state.items()})
    theirs = TinyNetwork(network.sizes)
    theirs.load_state_dict({names[key]: tensor for key, tensor in state.items()})
    sizes = network.sizes.__class__({"anna": 5, "ben": 4}, 6, 4, 8)
    ours = TinyNetwork(sizes)
    ours.load_state_dict(load_file(folder / "model.safetensors"))
    responses = torch.randn(7, 4)
    for a, b in zip(theirs(responses, "sub-02")[:2], ours(responses, "ben")[:2], strict=True):
        assert torch.equal(a, b)


def test_subjects_are_found_by_their_modules_where_there_are_no_sizes():
    inner = {"sub-01": torch.nn.Linear(2, 2), "sub-02": torch.nn.Linear(2, 2)}
    network = torch.nn.ModuleDict({"embedder": torch.nn.ModuleDict(inner)})
    network["gates"] = torch.nn.ModuleDict({"1": torch.nn.Sequential(torch.nn.Linear(1, 1))})
    names = {key: key for key in network.state_dict()}
    renamed, subjects = matching.with_subjects(network, names, ["a", "b"])
    assert subjects == ["a", "b"] and renamed["embedder.sub-02.bias"] == "embedder.b.bias"
    assert renamed["gates.1.0.bias"] == "gates.1.0.bias"


def test_a_kill_while_writing_leaves_no_folder(tmp_path, file, monkeypatch):
    from neurodecode.weights import importing

    monkeypatch.setattr(importing, "card", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        import_checkpoint(Asked((file(),), "tiny", NODE), tmp_path / "imported", lambda line: None)
    assert {p.name for p in tmp_path.iterdir()} == {"last.pth"}


def test_a_folder_that_is_there_is_not_written_over(tmp_path, file):
    (tmp_path / "imported").mkdir()
    np.save(tmp_path / "imported" / "mine.npy", np.zeros(1))
    with pytest.raises(UserError, match="holds something else"):
        import_checkpoint(Asked((file(),), "tiny", NODE), tmp_path / "imported", lambda line: None)
    assert (tmp_path / "imported" / "mine.npy").is_file()
