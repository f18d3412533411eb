"""Checkpoints of anybody's: tensors are found, nothing runs, and what is forged is refused."""

import argparse
import os
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from neurodecode.core.claims import FalseClaim
from neurodecode.weights import checkpoint_file
from neurodecode.weights.checkpoint_file import read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def saved(folder, found, **how):
    path = folder / "a.pth"
    torch.save(found, path, **how)
    return path


def same(found, expected=STATE):
    return found.keys() == expected.keys() and all(
        torch.equal(found[key], tensor) for key, tensor in expected.items()
    )


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {}},
        lambda state: {"state_dict": state, "lr": [1e-3]},
        lambda state: {"model": state},
        lambda state: {"best_state": {"model": state}, "optimizer": {"state": {}}},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"module": {f"_orig_mod.{k}": nn.Parameter(t) for k, t in state.items()}},
    ],
)
def test_weights_are_found_within_the_usual_wrappers(tmp_path, wrap, new):
    path = saved(tmp_path, wrap(STATE), _use_new_zipfile_serialization=new)
    assert same(read_checkpoint(path).state)


def test_what_lies_beside_the_weights_is_named(tmp_path):
    found = read_checkpoint(
        saved(tmp_path, {"epoch": 3, "model_state_dict": STATE, "optimizer_state_dict": {}})
    )
    assert found.within == ("model_state_dict",) and found.left == ("epoch", "optimizer_state_dict")


def test_safetensors_are_read_in_one_file_or_a_folder(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors")
    assert same(read_checkpoint(tmp_path / "model.safetensors").state)
    assert same(read_checkpoint(tmp_path).state)


def test_options_and_numbers_of_other_classes_are_not_made(tmp_path):
    beside = {"args": argparse.Namespace(lr=1), "best": np.float64(0.5), "grid": np.arange(3)}
    found = read_checkpoint(saved(tmp_path, {"model": STATE} | beside))
    assert same(found.state) and set(found.left) == set(beside)
    assert "argparse.Namespace" in found.inert
    assert any("scalar" in name for name in found.inert)


def test_a_network_that_was_saved_whole_is_refused_with_how_to_convert_it(tmp_path):
    with pytest.raises(FalseClaim, match=r"saved whole \(torch.nn.modules.*state_dict\(\)"):
        read_checkpoint(saved(tmp_path, nn.Linear(2, 3)))


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("new", [True, False])
def test_nothing_of_a_checkpoint_runs(tmp_path, new):
    flag = tmp_path / "ran"
    path = saved(tmp_path, STATE | {"x": Evil(flag)}, _use_new_zipfile_serialization=new)
    with pytest.raises(FalseClaim, match="posix.system, which no weights need"):
        read_checkpoint(path)
    assert not flag.exists()


def test_a_class_of_ones_own_is_neither_made_nor_in_the_way(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(Settings, "__setstate__", lambda self, s: made.append(s), raising=False)
    found = read_checkpoint(saved(tmp_path, {"state_dict": STATE, "cfg": Settings()}))
    assert same(found.state) and not made
    assert found.inert == (f"{Settings.__module__}.Settings",)


class Settings:
    """Options, as training code pickles them."""

    def __init__(self):
        self.lr = 1


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_is_cut_short_is_refused(tmp_path, share, new):
    path = saved(tmp_path, STATE, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FalseClaim, match="a.pth .*(cut short|no checkpoint|no readable)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a page of the web"),
        (b"\x1f\x8b\x08\0", "compressed by gzip"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"epoch,loss\n1,2\n", "neither safetensors nor a file of torch.save"),
        (b"", "no checkpoint"),
    ],
)
def test_another_file_is_told_by_what_it_is(tmp_path, start, says):
    (tmp_path / "a.pth").write_bytes(start)
    with pytest.raises(FalseClaim, match=f"a.pth .*{says}"):
        read_checkpoint(tmp_path / "a.pth")


def archive(path, change):
    """Write a checkpoint anew with its files changed: (info, bytes) -> several of the same."""
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as old:
        files = [(info, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for info, content in (pair for file in files for pair in change(*file)):
            new.writestr(info, content, compress_type=info.compress_type)
    return path


def deflated(info, content):
    info.compress_type = zipfile.ZIP_DEFLATED
    yield info, content if "/data/" not in info.filename else bytes(1 << 20)


def elsewhere(info, content):
    yield info, content
    if info.filename.endswith("data.pkl"):
        yield zipfile.ZipInfo("a/../../evil.py"), b""


def script(info, content):
    yield info, content
    if info.filename.endswith("data.pkl"):
        yield zipfile.ZipInfo("a/constants.pkl"), b""


def many(info, content):
    yield info, content
    if info.filename.endswith("data.pkl"):
        yield from ((zipfile.ZipInfo(f"a/data/x{i}"), b"") for i in range(20))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (deflated, "not compressed"),
        (elsewhere, r"evil.py"),
        (script, "TorchScript"),
        (many, "files within"),
    ],
)
def test_an_archive_that_no_checkpoint_has_is_refused(tmp_path, monkeypatch, change, says):
    monkeypatch.setattr(checkpoint_file, "ENTRIES", 15)
    with pytest.raises(FalseClaim, match=says):
        read_checkpoint(archive(tmp_path / "a.pth", change))


def test_a_directory_that_claims_more_than_the_file_is_refused(tmp_path):
    path = saved(tmp_path, STATE)
    whole = bytearray(path.read_bytes())
    at = whole.rfind(b"PK\5\6")
    struct.pack_into("<I", whole, at + 12, 1 << 30)
    path.write_bytes(whole)
    with pytest.raises(FalseClaim, match="a directory of"):
        read_checkpoint(path)


def test_numbers_that_are_repeated_or_not_there_are_refused(tmp_path):
    with pytest.raises(FalseClaim, match="which its numbers do not fill"):
        read_checkpoint(saved(tmp_path, {"a": torch.ones(1).expand(10**12)}))
    with pytest.raises(FalseClaim, match="which its numbers do not fill"):
        read_checkpoint(saved(tmp_path, {"a": torch.ones(0, 10**12)}))
    whole = torch.ones(100_000)
    with pytest.raises(FalseClaim, match="made to fill the memory"):
        read_checkpoint(saved(tmp_path, {f"a{i}": whole for i in range(50)}))


def test_tensors_that_are_no_dense_numbers_are_refused(tmp_path):
    with pytest.raises(FalseClaim, match="not dense numbers .*sparse"):
        read_checkpoint(saved(tmp_path, {"a": torch.eye(3).to_sparse()}))
    with pytest.raises(FalseClaim, match="builtins.bytearray, which no weights need"):
        read_checkpoint(saved(tmp_path, STATE | {"b": bytearray(10)}, pickle_protocol=2))


def test_tied_weights_are_one_tensor_under_two_names(tmp_path):
    tied = torch.randn(64, 64)
    state = {"a": tied, "b": tied}
    assert same(read_checkpoint(saved(tmp_path, state)).state, state)


def test_a_file_larger_than_the_free_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_file, "_free_memory", lambda: 100)
    with pytest.raises(FalseClaim, match="GB of memory"):
        read_checkpoint(saved(tmp_path, STATE))


def test_pieces_of_deepspeed_are_refused_with_the_script_that_joins_them(tmp_path):
    (tmp_path / "global_step9").mkdir()
    (tmp_path / "global_step9" / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").touch()
    with pytest.raises(FalseClaim, match="zero_to_fp32.py"):
        read_checkpoint(tmp_path)


def test_a_file_without_weights_says_what_it_holds(tmp_path):
    with pytest.raises(FalseClaim, match="no weights by name .only epoch, losses"):
        read_checkpoint(saved(tmp_path, {"epoch": 1, "losses": [1.0]}))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_checkpoint(tmp_path / "nothing.pth")
