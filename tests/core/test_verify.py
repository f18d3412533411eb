"""Verify names exactly what is stale or damaged, from raw files to the products of a run."""

import json
import os
import random
import shutil
import sys

import pytest

from neurodecode.core.errors import UserError
from neurodecode.core.lease import me
from neurodecode.core.store import MANIFEST
from neurodecode.core.verify import verify
from tests.core import toy_lab


@pytest.fixture
def lab(tmp_path, monkeypatch, store):
    """A finished run: its code, raw files, store and folder."""

    class Lab:
        pass

    lab = Lab()
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    lab.code, lab.store = toy_lab.write_lab(tmp_path / "code"), store
    lab.raw, lab.folder = toy_lab.write_raw(tmp_path / "raw"), tmp_path / "run"
    lab.again = lambda **nodes: toy_lab.run(store, lab.raw, lab.folder, **nodes)
    lab.artifacts = lab.again().artifacts
    yield lab
    toy_lab.forget()


def found(lab, kind=None):
    lines = verify(lab.folder).findings
    return [(f.kind, f.where, f.what) for f in lines if kind in (None, f.kind)]


def rests(lab):
    return [where for _, where, _ in found(lab, "rests")]


def files_of(lab):
    """Every file of every artifact, manifests included."""
    folders = [
        a for s in lab.artifacts.values() for a in (s.values() if isinstance(s, dict) else [s])
    ]
    return sorted(p for a in folders for p in a.folder.rglob("*") if p.is_file())


def inside(lab, path):
    """The name of a file within its artifact."""
    return "/".join(path.relative_to(lab.store.root).parts[3:])


def where_of(lab, path):
    for stage, made in lab.artifacts.items():
        for each, artifact in made.items() if isinstance(made, dict) else [(None, made)]:
            if path.is_relative_to(artifact.folder):
                return f"{stage} {each}" if each else stage


def test_an_untouched_run_is_whole_and_its_bytes_were_all_read(lab):
    verdict = verify(lab.folder)
    assert verdict.whole and verdict.document()["whole"]
    raw = list(lab.raw.glob("*/n.txt"))
    products = [lab.folder / "figures.json", lab.folder / "report.html"]
    data = [p for p in files_of(lab) if p.name != MANIFEST]
    assert verdict.n_artifacts == 5
    assert verdict.n_files == len(raw) + len(products) + len(data)
    assert verdict.n_bytes == sum(p.stat().st_size for p in [*raw, *products, *data])


def test_every_flip_truncation_deletion_and_swap_is_named(lab):
    rng = random.Random(0)
    for path in files_of(lab):
        good, where = path.read_bytes(), where_of(lab, path)
        flipped = bytearray(good)
        flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        for bad in (bytes(flipped), good[:-1], good + b"0", b"", None):
            path.unlink() if bad is None else path.write_bytes(bad)
            damaged = found(lab, "damaged")
            assert [w for _, w, _ in damaged] == [where], (path, bad)
            assert damaged[0][2] == inside(lab, path)
            path.write_bytes(good)
    assert verify(lab.folder).whole


def test_every_bit_of_a_manifest_counts(lab):
    path = lab.artifacts["page"].folder / MANIFEST  # the last: no key rests on it
    good = path.read_bytes()
    for place in range(0, len(good) * 8, 37):
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(flipped))
        assert found(lab, "damaged") == [("damaged", "page", MANIFEST)], place
    path.write_bytes(good)
    assert verify(lab.folder).whole


def test_swapped_artifacts_and_strange_files_are_named(lab):
    one, two = (lab.artifacts["double"][s].folder for s in toy_lab.SUBJECTS)
    for a, b in ((one, two.with_name("aside")), (two, one), (two.with_name("aside"), two)):
        os.rename(a, b)
    assert [w for _, w, _ in found(lab, "damaged")] == ["double sub-1", "double sub-2"]
    assert rests(lab) == ["total", "page"]
    for a, b in ((one, two.with_name("aside")), (two, one), (two.with_name("aside"), two)):
        os.rename(a, b)
    (one / "strange.txt").write_text("?")
    assert found(lab, "damaged") == [("damaged", "double sub-1", "strange.txt")]


def test_what_rests_on_damage_is_told_apart_and_other_subjects_are_not_named(lab):
    (lab.artifacts["double"]["sub-2"].folder / "n.txt").write_text("9")
    assert found(lab) == [
        ("damaged", "double sub-2", "n.txt"),
        ("rests", "total", "inputs"),
        ("rests", "page", "inputs"),
    ]
    lab.again()  # the stage that reads it is cached: nothing reads the damaged file
    shutil.rmtree(lab.artifacts["double"]["sub-2"].folder)
    assert found(lab, "damaged") == [("damaged", "double sub-2", "artifact")]
    lab.again()
    assert verify(lab.folder).whole


def test_a_changed_raw_file_is_named_by_its_path(lab):
    raw = lab.raw / "sub-2" / "n.txt"
    raw.write_text("7")
    (first, *rest) = verify(lab.folder).findings
    assert (first.kind, first.where, first.path) == ("stale", "index", str(raw))
    assert first.what == f"raw file {raw}" and first.why == "its bytes changed"
    assert [f.where for f in rest] == ["double sub-1", "double sub-2", "total", "page"]
    assert {f.kind for f in rest} == {"rests"}
    lab.again()
    assert verify(lab.folder).whole


def test_raw_bytes_that_changed_behind_size_and_time_are_noticed(lab):
    raw = lab.raw / "sub-2" / "n.txt"
    stat = raw.stat()
    raw.write_text("7")
    os.utime(raw, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    lab.again()  # the runner believes size and time
    (first, *_) = verify(lab.folder).findings
    assert first.path == str(raw) and "touch" in first.todo


@pytest.mark.parametrize("change", ["new", "gone", "moved"])
def test_raw_files_that_came_or_went_are_named(lab, change):
    raw = lab.raw / "sub-2" / "n.txt"
    if change == "new":
        (lab.raw / "sub-2" / "more.txt").write_text("?")
        expected = f"raw file {lab.raw / 'sub-2' / 'more.txt'}"
    elif change == "gone":
        shutil.copy(raw, raw.with_name("m.txt"))
        raw.unlink()
        expected = "raw file 1/n.txt"
    else:
        shutil.move(lab.raw, lab.raw.with_name("elsewhere"))
        expected = "raw files"
    stale = found(lab, "stale")
    assert {w for _, w, _ in stale} == {"index"}
    assert expected in [what for *_, what in stale]


def test_edited_numerics_are_stale_by_module_and_edited_comments_are_not(lab):
    source = lab.code / "double.py"
    source.write_text("# a comment\n" + source.read_text())
    toy_lab.forget()
    assert verify(lab.folder).whole
    source.write_text(source.read_text().replace("factor * n", "factor * n + 1"))
    toy_lab.forget()
    stale = [f for f in verify(lab.folder).findings if f.kind == "stale"]
    assert [f.where for f in stale] == ["double sub-1", "double sub-2"]
    assert {f.why for f in stale} == {"it changed in toy_lab_code.double"}
    assert rests(lab) == ["total", "page"]


def test_code_that_changed_below_changed_raw_files_is_named_too(lab):
    (lab.raw / "sub-2" / "n.txt").write_text("7")
    source = lab.code / "page.py"
    source.write_text(source.read_text().replace("<html>", "<html >"))
    toy_lab.forget()
    lines = found(lab)
    assert ("stale", "page", "code") in lines and lines[0][:2] == ("stale", "index")
    assert rests(lab) == ["double sub-1", "double sub-2", "total"]


def test_another_configuration_in_run_json_is_named_by_its_key(lab):
    path = lab.folder / "run.json"
    state = json.loads(path.read_text())
    state["config"]["total"] = {"offset": 5}
    path.write_text(json.dumps(state))
    stale = [f for f in verify(lab.folder).findings if f.kind == "stale"]
    assert [(f.where, f.what) for f in stale] == [("total", "total.offset")]
    assert stale[0].why == "0 when it was made, 5 in run.json"


def test_a_configuration_that_nobody_reads_any_more_does_not_hide_damage(lab):
    path = lab.folder / "run.json"
    state = json.loads(path.read_text())
    state["config"]["total"] = {"ofset": 5}
    path.write_text(json.dumps(state))
    (lab.artifacts["page"].folder / "report.html").write_text("<html>")
    lines = found(lab)
    assert ("stale", "run", "configuration") in lines
    assert ("damaged", "page", "report.html") in lines


def test_an_input_replaced_together_with_its_manifest_is_noticed(lab):
    from neurodecode.core.sealed import read_sealed, write_sealed
    from neurodecode.core.store import describe

    folder = lab.artifacts["double"]["sub-1"].folder
    (folder / "n.txt").write_text("8")
    write_sealed(folder / MANIFEST, read_sealed(folder / MANIFEST) | {"files": describe(folder)})
    assert found(lab)[0] == ("stale", "double sub-1", "artifact")
    assert rests(lab) == ["total", "page"]
    path = lab.folder / "run.json"
    state = json.loads(path.read_text())
    for event in state["done"]:
        event.pop("digest")
    path.write_text(json.dumps(state))
    assert found(lab) == [("stale", "total", "input double"), ("rests", "page", "inputs")]


@pytest.mark.parametrize("name", ["report.html", "figures.json"])
def test_products_are_compared_with_the_artifacts(lab, name):
    (lab.folder / name).write_text("7")
    assert found(lab) == [("damaged", "run", name)]
    (lab.folder / name).unlink()
    assert found(lab) == [("damaged", "run", name)]


@pytest.mark.parametrize("lost", [("page", None), ("double", "sub-2")])
def test_a_done_run_that_names_too_few_artifacts_is_not_whole(lab, lost):
    path = lab.folder / "run.json"
    state = json.loads(path.read_text())
    state["done"] = [e for e in state["done"] if (e["stage"], e["each"]) != lost]
    path.write_text(json.dumps(state))
    by = {"page": ("damaged", "run", "run.json"), "double": ("stale", "total", "input double")}
    assert found(lab)[0] == by[lost[0]]


def test_a_store_that_moved_is_named_and_then_read(lab, tmp_path):
    shutil.move(lab.store.root, tmp_path / "moved")
    with pytest.raises(UserError, match="--store DIR"):
        verify(lab.folder)
    assert verify(lab.folder, tmp_path / "moved").whole


def test_of_an_unfinished_run_only_what_was_reached_is_verified(lab):
    path = lab.folder / "run.json"
    state = json.loads(path.read_text())
    state |= {"status": "running", "done": state["done"][:2]}
    path.write_text(json.dumps(state))
    verdict = verify(lab.folder)
    assert verdict.whole and verdict.n_artifacts == 2
    assert "running; it has come to double sub-1" in verdict.remark
    path.write_text(json.dumps(state | {"holder": me() | {"pid": 2**22 + 1}}))
    assert verify(lab.folder).remark.startswith("killed; ")
