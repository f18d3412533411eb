"""The shelf frees what no run needs, never what one needs, and can be killed while it does."""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodecode.core.errors import UserError
from neurodecode.core.key import digest
from neurodecode.core.lease import me
from neurodecode.core.shelf import (
    ABROAD_S,
    DAY_S,
    LEASE_S,
    Policy,
    items,
    known_runs,
    open_shelf,
    plan,
    sweep,
    usage,
)
from neurodecode.core.store import Store, damages, write_json
from neurodecode.core.verify import verify
from tests.core import toy_lab

DEAD = me() | {"pid": 2**22 + 1, "started": "1"}
ABROAD = me() | {"host": "another"}
NOW = time.time


def plant(store, name, age_s=10 * DAY_S, n_files=2):
    """Publish an artifact; return its place."""
    scratch = store.scratch()
    for i in range(n_files):
        (scratch / f"{i}.txt").write_text(f"{name} {i}")
    key = digest(name)
    about = {"stage": "toy", "each": None, "key": key, "code": {"toy": name}, "config": {}}
    folder = store.publish(scratch, ("toy", key, digest(about["code"])), about).folder
    write_json(folder.with_suffix(".record.json"), {"seconds": 1})
    age(folder, age_s)
    return folder.relative_to(store.root).as_posix()


def age(path, age_s):
    """Let a file or folder be last changed so long ago."""
    then = NOW() - age_s
    for p in [*path.rglob("*"), path] if path.is_dir() else [path]:
        os.utime(p, (then, then))


def make_run(store, name, places, **register):
    """A run with its folder, registered."""
    folder = store.root.parent / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    done = [{"stage": "toy", "each": p, "folder": str(store.root / p)} for p in places]
    status = register.get("status", "done")
    write_json(folder / "run.json", {"status": status, "done": done, "store": str(store.root)})
    toy_lab.register(store, name, folder, places, **register)
    return folder


def there(store):
    return {item.place for item in items(store, [])}


def collect(store, policy=None):
    policy = policy or Policy()
    waste, notes = plan(store, policy)
    assert len(sweep(store, waste, policy)) == len(waste)
    return {w.path for w in waste}, notes


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_gc_frees_exactly_what_no_kept_run_reaches(data):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        n = data.draw(st.integers(1, 8))
        ages = data.draw(st.lists(st.sampled_from([0.5, 3.0]), min_size=n, max_size=n))
        places = [plant(store, f"a{i}", days * DAY_S) for i, days in enumerate(ages)]
        subsets = st.sets(st.sampled_from(places))
        fates = data.draw(st.lists(st.sampled_from("kept gone far running".split()), min_size=1))
        deleted_runs, needed = data.draw(st.booleans()), set()
        for i, fate in enumerate(fates):
            used = data.draw(subsets)
            far = {"st_dev": -1} if fate == "far" else {}
            status = {"status": "running"} if fate == "running" else {}
            run = make_run(store, f"r{i}", used, **far, **status)
            if fate in ("gone", "far", "running"):
                shutil.rmtree(run)
            if fate != "gone" or not deleted_runs:
                needed |= used
        young = {p for p, days in zip(places, ages, strict=True) if days < 1}
        policy = Policy(deleted_runs=deleted_runs)
        dry = {w.path for w in plan(store, policy)[0]}
        assert there(store) == set(places)  # planning frees nothing
        freed, _ = collect(store, policy)
        assert freed == dry
        assert there(store) == needed | young
        assert not list((store.root / "scratch").iterdir())
        records = {p.name for p in store.root.glob("*/*/*.record.json")}
        assert len(records) == len(needed | young)
        assert all(not damages(a) for a in store.artifacts())
        assert not plan(store, policy)[0]


def test_gc_killed_before_any_of_its_steps_leaves_a_whole_store(tmp_path):
    rng = random.Random(0)
    for step in range(1000):
        store = Store(tmp_path / f"{step}" / "store")
        needed = plant(store, "needed")
        make_run(store, f"r{step}", [needed])
        unneeded = {plant(store, f"u{rng.random()}", n_files=3) for _ in range(2)}
        left = store.scratch()
        write_json(store.root / "scratch" / f"{left.name}.owner.json", DEAD)
        killed = die_at(step, lambda store=store: sweep(store, plan(store, Policy())[0]))
        assert needed in there(store) <= {needed, *unneeded}
        assert all(not damages(a) for a in store.artifacts())
        for entry in (store.root / "scratch").glob("*.part"):
            age(entry, 2 * 3600)
        collect(store)
        assert there(store) == {needed}
        assert not list((store.root / "scratch").iterdir())
        shutil.rmtree(store.root.parent)
        if not killed:
            break
    assert 20 < step < 999  # so many steps there were to be killed at


def die_at(step, action):
    """Run an action in a child that is killed before its n-th change of the disk; was it?"""
    child = os.fork()
    if not child:
        left = [step]

        def watch(event, arguments):
            if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        action()
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize(
    ("holder", "age_s", "goes"),
    [
        (me(), 99 * DAY_S, False),
        (DEAD, 0, True),
        (ABROAD, LEASE_S - 3600, False),
        (ABROAD, LEASE_S + 3600, True),
        ({"strange": 1}, LEASE_S + 3600, True),
        ({"strange": 1}, 0, False),
    ],
)
def test_leases_go_when_their_holder_is_gone(store, holder, age_s, goes):
    path = store.root / "leases" / "toy-key-code"
    path.parent.mkdir()
    write_json(path, holder)
    age(path, age_s)
    collect(store)
    assert path.exists() != goes


@pytest.mark.parametrize(
    ("holder", "age_s", "goes"),
    [
        (me(), 99 * DAY_S, False),
        (DEAD, 0, True),
        (ABROAD, ABROAD_S - 3600, False),
        (ABROAD, ABROAD_S + 3600, True),
        (None, ABROAD_S - 3600, False),
        (None, ABROAD_S + 3600, True),
    ],
)
def test_scratch_goes_when_its_owner_is_gone(store, holder, age_s, goes):
    folder = store.scratch()
    (folder / "half.npy").write_bytes(b"x")
    owner = folder.with_name(f"{folder.name}.owner.json")
    write_json(owner, holder) if holder else owner.unlink()
    for path in [folder, owner] if holder else [folder]:
        age(path, age_s)
    collect(store)
    assert folder.exists() != goes and owner.exists() == (bool(holder) and not goes)


def test_an_owner_without_a_folder_goes_with_its_process(store):
    for name, holder in (("mine", me()), ("dead", DEAD)):
        write_json(store.root / "scratch" / f"{name}.owner.json", holder)
    assert collect(store)[0] == {"scratch/dead"}
    assert [p.name for p in (store.root / "scratch").iterdir()] == ["mine.owner.json"]


def test_graves_and_half_written_files_go(store):
    grave = store.root / "scratch" / "discarded-ab"
    grave.mkdir()
    (grave / "a").write_text("a")
    part = store.root / "raw_digests.json.abcd.part"
    young = store.root / "runs" / "x.json.abcd.part"
    young.parent.mkdir()
    for path in (part, young):
        path.write_text("{")
    age(part, 2 * 3600)
    assert collect(store)[0] == {"scratch/discarded-ab", part.name}
    assert young.exists() and not grave.exists()


def test_unfinished_work_goes_when_it_is_finished_or_old_and_nobody_holds_it(store):
    place = plant(store, "made")
    make_run(store, "run", [place])
    made = (store.root / place).with_name(f"{place.split('/')[-1]}.work-ab")
    works = {n: store.root / "toy" / "k" / f"{n}.work" for n in ("young", "old", "held")}
    for folder in [made, *works.values()]:
        folder.mkdir(parents=True)
        (folder / "checkpoint").write_text("1")
    for name in ("old", "held"):
        age(works[name], 20 * DAY_S)
    look, now = (store.root / "toy" / "k" / f"{n}.look-ab" for n in ("a", "b"))
    for folder in (look, now):
        folder.mkdir()
    age(look, 2 * 3600)
    (store.root / "leases").mkdir()
    write_json(store.root / "leases" / "toy-k-held", me() | {"count": 0})
    freed, _ = collect(store)
    left = {"toy/k/old.work", "toy/k/a.look-ab"}
    assert freed == {made.relative_to(store.root).as_posix(), *left} and now.exists()
    assert works["young"].exists() and works["held"].exists()


def test_what_is_held_by_a_lease_stays(store):
    place = plant(store, "being made")
    make_run(store, "other", [])
    (store.root / "leases").mkdir()
    write_json(store.root / "leases" / place.replace("/", "-"), me() | {"count": 0})
    assert not collect(store)[0]


def test_without_a_register_no_artifact_goes_unless_the_runs_are_named(store, tmp_path):
    needed, other = plant(store, "needed"), plant(store, "other")
    make_run(store, "old", [needed])
    shutil.rmtree(store.root / "runs")
    freed, notes = collect(store)
    assert not freed and "not known" in notes[0]
    assert collect(store, Policy(folders=(tmp_path / "runs",)))[0] == {other}
    with pytest.raises(UserError, match="--runs"):
        plan(store, Policy(folders=(tmp_path / "nowhere",)))


def test_an_entry_that_cannot_be_read_keeps_every_artifact(store):
    plant(store, "other")
    make_run(store, "run", [])
    (store.root / "runs" / "bad.json").write_text("{")
    freed, notes = collect(store)
    assert not freed and any("bad.json cannot be read" in n for n in notes)


def test_a_run_that_moved_is_found_beside_or_by_name(store, tmp_path):
    near, far = plant(store, "near"), plant(store, "far")
    make_run(store, "renamed", [near]).rename(tmp_path / "runs" / "final")
    run = make_run(store, "away", [far])
    (tmp_path / "archive" / "deep").mkdir(parents=True)
    shutil.move(run, tmp_path / "archive" / "deep" / "away")
    asked = Policy(deleted_runs=True, folders=(tmp_path / "archive",))
    assert collect(store, asked)[0] == {"runs/away.json", "runs/renamed.json"}
    assert there(store) == {near, far}
    assert collect(store, Policy(deleted_runs=True))[0] == set()  # it knows where they are now
    assert {r.fate for r in known_runs(store)} == {"kept"} and there(store) == {near, far}


def test_a_run_that_nobody_registered_is_found_beside_one_that_is(store):
    one, two, three = plant(store, "one"), plant(store, "two"), plant(store, "three")
    make_run(store, "registered", [one])
    make_run(store, "forgotten", [two])
    (store.root / "runs" / "forgotten.json").unlink()
    assert collect(store)[0] == {three}
    assert len(list((store.root / "runs").iterdir())) == 2


def test_a_run_of_another_store_needs_nothing_here(store, tmp_path):
    one, two = plant(store, "one"), plant(store, "two")
    make_run(store, "registered", [one])
    other = make_run(store, "other", [two])
    (store.root / "runs" / "other.json").unlink()
    state = json.loads((other / "run.json").read_text())
    (tmp_path / "elsewhere").mkdir()
    write_json(other / "run.json", state | {"store": str(tmp_path / "elsewhere")})
    assert collect(store)[0] == {two}


def test_what_a_deleted_run_needed_goes_only_when_asked(store):
    place = plant(store, "needed")
    shutil.rmtree(make_run(store, "run", [place]))
    freed, notes = collect(store)
    assert not freed and "--deleted-runs" in notes[0]
    assert collect(store, Policy(deleted_runs=True))[0] == {place, "runs/run.json"}


def test_a_run_whose_disk_is_not_mounted_is_kept_and_said(store):
    place = plant(store, "needed")
    shutil.rmtree(make_run(store, "run", [place], st_dev=-1))
    freed, notes = collect(store, Policy(deleted_runs=True))
    assert not freed and "cannot be reached" in notes[0]


def test_while_a_run_is_running_nothing_used_in_the_last_day_goes(store):
    young, old = plant(store, "young", 3600), plant(store, "old", 2 * DAY_S)
    make_run(store, "run", [], status="running")
    freed, notes = collect(store, Policy(older_than_s=0))
    assert freed == {old} and "is running" in notes[0]
    make_run(store, "run", [], status="running", holder=DEAD)
    assert collect(store, Policy(older_than_s=0))[0] == {young}


@pytest.mark.parametrize("how", ["registered", "used", "leased"])
def test_what_is_taken_up_between_plan_and_sweep_stays(store, how):
    place = plant(store, "wanted")
    make_run(store, "other", [])
    waste, _ = plan(store, Policy())
    assert [w.path for w in waste] == [place]
    if how == "registered":
        make_run(store, "new", [place], status="running")
    elif how == "used":
        os.utime(store.root / place)
    else:
        (store.root / "leases").mkdir()
        write_json(store.root / "leases" / place.replace("/", "-"), me() | {"count": 0})
    assert sweep(store, waste) == [] and there(store) == {place}
    assert not list((store.root / "scratch").iterdir())


def test_what_is_taken_up_while_it_goes_is_put_back(store, monkeypatch):
    from neurodecode.core import shelf

    place = plant(store, "wanted")
    make_run(store, "other", [])
    waste, _ = plan(store, Policy())
    rename = os.rename

    def slow(a, b):
        rename(a, b)
        if "gc-" in str(b):
            make_run(store, "new", [place])

    monkeypatch.setattr(shelf.os, "rename", slow)
    assert sweep(store, waste) == [] and there(store) == {place}
    assert not list((store.root / "scratch").iterdir())


def test_usage_adds_up(store):
    one, two, both, none = (plant(store, n) for n in ("one", "two", "both", "none"))
    make_run(store, "a", [one, both])
    make_run(store, "b", [two, both])
    used = usage(store, Policy())
    size = {i.place: i.n_bytes for i in items(store, [])}
    assert used["artifacts"] == sum(size.values()) == used["stages"]["toy"]["n_bytes"]
    assert used["unneeded"] == used["free"]["n_bytes"] == size[none]
    a, b = used["runs"]
    assert (a["own_bytes"], a["shared_bytes"]) == (size[one], size[both])
    assert (b["own_bytes"], b["n"]) == (size[two], 2)


def test_no_store_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no store"):
        open_shelf(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UserError, match="is no store"):
        open_shelf(tmp_path)


@pytest.fixture
def lab(tmp_path, monkeypatch, store):
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    toy_lab.write_lab(tmp_path / "code")
    raw = toy_lab.write_raw(tmp_path / "raw")

    def run(name, **nodes):
        folder = tmp_path / "runs" / name
        done = toy_lab.run(store, raw, folder, **nodes)
        return done, folder

    yield run
    toy_lab.forget()


def test_after_gc_kept_runs_are_whole_and_all_is_cached(lab, store):
    _, kept = lab("kept")
    _, gone = lab("gone", total={"offset": 3})
    for item in items(store, []):
        age(store.root / item.place, 2 * DAY_S)
    shutil.rmtree(gone)
    freed, _ = collect(store, Policy(deleted_runs=True))
    assert {p.split("/")[0] for p in freed} == {"total", "page", "runs"}
    assert verify(kept).whole
    again, _ = lab("kept")
    assert {e["state"] for e in again.state.done.values()} == {"cached"}
    assert len(items(store, known_runs(store))) == 5


def test_what_a_run_finds_cached_counts_as_used(lab, store):
    _, folder = lab("run")
    before = {i.place: i.made_s for i in items(store, [])}
    for place in before:
        os.utime(store.root / place, (0, 0))
    assert {i.used_s for i in items(store, [])} == {0}
    lab("run")
    assert all(NOW() - i.used_s < 60 for i in items(store, []))
    assert {i.place: i.made_s for i in items(store, [])} == before


def test_a_run_that_is_run_again_needs_what_it_had_until_it_is_done(lab, store, tmp_path):
    lab("run")
    (first,) = known_runs(store)
    page = tmp_path / "code" / "toy_lab_code" / "page.py"
    good = page.read_text()
    page.write_text(good.replace("text =", "text = 1 / 0 #"))
    toy_lab.forget()
    with pytest.raises(ZeroDivisionError):
        lab("run", total={"offset": 1})
    assert sum(i.runs != () for i in items(store, known_runs(store))) == len(first.places) + 1
    page.write_text(good)
    toy_lab.forget()
    lab("run", total={"offset": 1})
    assert len(known_runs(store)[0].places) == len(first.places)


def test_a_damaged_manifest_shows(store):
    place = plant(store, "bad")
    manifest = store.root / place / "manifest.json"
    manifest.write_text(manifest.read_text().replace("toy", "toi", 1))
    assert [i.state for i in items(store, [])] == ["damaged"]


def test_gc_beside_a_running_pipeline_takes_nothing_from_it(lab, store, tmp_path):
    (tmp_path / "runs").mkdir()
    child = os.fork()
    if not child:
        code = 1
        try:
            for i in range(20):
                folder, offset = tmp_path / "runs" / f"r{i}", i % 3
                done, _ = lab(f"r{i}", total={"offset": offset})
                assert done.artifacts["total"].path("figures.json").read_text() == f"{6 + offset}\n"
                if i % 4:
                    shutil.rmtree(folder)
                    time.sleep(0.05)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    freed, policy = 0, Policy(older_than_s=0, deleted_runs=True)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        waste, _ = plan(store, policy)
        freed += sum(w.kind == "artifact" for w in sweep(store, waste, policy))
    assert ended[1] == 0 and freed > 0
    collect(store, policy)
    kept = sorted((tmp_path / "runs").iterdir())
    assert len(kept) == 5 and all(verify(folder).whole for folder in kept)
    assert not list((store.root / "scratch").iterdir())
