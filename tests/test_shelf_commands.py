"""The commands around the store: what they print, and the code they end with."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from neurodecode.cli import main
from tests.core import toy_lab


@pytest.fixture
def lab(tmp_path, monkeypatch, store):
    """Two finished, registered runs on one store: their folders and places."""
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("NEURODECODE_STORE", str(store.root))
    toy_lab.write_lab(tmp_path / "code")
    raw, runs = toy_lab.write_raw(tmp_path / "raw"), {}
    for name, offset in (("one", 0), ("two", 1)):
        folder = tmp_path / "runs" / name
        toy_lab.run(store, raw, folder, total={"offset": offset})
        runs[name] = folder
    yield runs
    toy_lab.forget()


def asked(capsys, *words):
    """Run a command; return its exit code and what it printed."""
    code = main([str(w) for w in words])
    return code, capsys.readouterr().out


def test_verify_says_whole_or_what_is_not_and_ends_with_5(lab, capsys):
    code, said = asked(capsys, "verify", lab["one"])
    assert code == 0 and said.splitlines()[-1].endswith("read: whole")
    assert "5 artifacts" in said
    (lab["one"] / "figures.json").write_text("8")
    code, said = asked(capsys, "verify", lab["one"])
    assert code == 5 and "run: figures.json: " in said and "run the same command again" in said
    code, said = asked(capsys, "verify", lab["one"], "--json")
    told = json.loads(said)
    assert code == 5 and not told["whole"] and told["findings"][0]["kind"] == "damaged"


def test_verify_of_no_run_and_of_a_moved_store_ends_with_2(lab, capsys, store, tmp_path):
    assert main(["verify", str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
    shutil.move(store.root, tmp_path / "moved")
    assert main(["verify", str(lab["one"])]) == 2
    assert "--store DIR" in capsys.readouterr().err
    assert main(["verify", str(lab["one"]), "--store", str(tmp_path / "moved")]) == 0


def test_ls_lists_runs_and_artifacts_and_who_needs_them(lab, capsys):
    code, said = asked(capsys, "store", "ls", "--json")
    told = json.loads(said)
    assert code == 0 and len(told["runs"]) == 2 and len(told["artifacts"]) == 7
    shared = [a for a in told["artifacts"] if len(a["runs"]) == 2]
    assert {a["stage"] for a in shared} == {"index", "double"}
    folders = [r["folder"] for r in told["runs"]]
    assert sorted(folders) == sorted(map(str, lab.values()))
    code, said = asked(capsys, "store", "ls", "--stage", "total", "--run", lab["one"])
    assert said.splitlines()[-1].startswith("1 artifacts")
    for wrong in (["--stage", "nosuch"], ["--run", "nosuch"]):
        assert main(["store", "ls", *wrong]) == 2


def test_du_adds_up_and_gc_frees_only_with_yes(lab, capsys, store):
    used = json.loads(asked(capsys, "store", "du", "--json")[1])
    assert used["unneeded"] == 0 and sum(r["own_bytes"] > 0 for r in used["runs"]) == 2
    assert "its own" in asked(capsys, "store", "du")[1]
    shutil.rmtree(lab["two"])
    code, said = asked(capsys, "store", "gc", "--older-than", 0)
    assert code == 0 and "nothing to free" in said and "--deleted-runs" in said
    words = ["store", "gc", "--older-than", 0, "--deleted-runs"]
    before = sorted(store.root.rglob("*"))
    dry = json.loads(asked(capsys, *words, "--json")[1])
    assert sorted(store.root.rglob("*")) == before and not dry["freed"]
    assert sorted(w["path"].split("/")[0] for w in dry["waste"]) == ["page", "runs", "total"]
    assert "would free 3 things" in asked(capsys, *words)[1]
    done = json.loads(asked(capsys, *words, "--json", "--yes")[1])
    assert done["freed"] and done["waste"] == dry["waste"]
    assert "nothing to free" in asked(capsys, *words)[1]
    assert main(["verify", str(lab["one"])]) == 0


@pytest.mark.parametrize("words", [["ls"], ["du"], ["gc"]])
def test_no_store_ends_with_2(words, capsys, tmp_path):
    assert main(["store", *words, "--store", str(tmp_path / "nowhere")]) == 2
    assert "there is no store" in capsys.readouterr().err


def test_days_are_not_negative(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["store", "gc", "--older-than", "-1"])
    assert ended.value.code == 2 and "0 or more days" in capsys.readouterr().err


def test_a_run_that_cannot_be_exported_ends_with_2(lab, capsys, tmp_path):
    assert main(["export", str(lab["one"]), "--out", str(tmp_path / "out")]) == 2
    assert "preprocess" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and Path(lab["one"]).exists()
