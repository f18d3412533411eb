"""A forecast says what a run will do, and leaves everything as it was."""

import dataclasses
import json

import pytest

from neurodecode.core.costs import REFERENCE, duration, space
from neurodecode.core.errors import ConfigError
from neurodecode.core.forecast import forecast, free_mib, summary, table, total
from neurodecode.core.runner import Pipeline
from neurodecode.core.stage import load_stage
from neurodecode.core.store import Store
from tests.core.test_runner import (  # noqa: F401
    HARDWARE,
    config,
    plain_module_names,
    run,
    toys,
)


def foreseen(store, **nodes):
    return forecast(Pipeline(config(**nodes), Store.looked_at(store.root), HARDWARE))


def states(lines):
    return {(line.stage, line.each): line.state for line in lines}


def everything_below(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


def test_a_fresh_store_holds_nothing_and_is_not_even_made(toys, tmp_path):  # noqa: F811
    pipeline = Pipeline(config(), Store.looked_at(tmp_path / "new"), HARDWARE)
    lines = forecast(pipeline)
    assert {line.state for line in lines} == {"to compute"}
    assert not (tmp_path / "new").exists()
    assert lines[0].waits_for == () and lines[-1].waits_for == ("index",)
    assert free_mib(tmp_path / "new") == pytest.approx(free_mib(tmp_path), rel=0.01)


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        {"double": {"factor": 3}},
        {"double": {"n_jobs": 4}},
        {"sum": {"peek": False}},
        {"subjects": ["sub-2"]},
        {"index": {"subjects": ["sub-1", "sub-2", "sub-3"]}},
        {"stages": ["toy_index", "toy_double"]},
    ],
)
def test_what_is_foreseen_is_what_the_run_does(toys, store, nodes):  # noqa: F811
    run(store)
    before = everything_below(store.root)
    lines = foreseen(store, **nodes)
    assert everything_below(store.root) == before
    _, pipeline = run(store, **nodes)
    did = {(e["stage"], e["each"]): e["state"] for e in pipeline.state.done.values()}
    certain = [line for line in lines if not line.waits_for]
    assert {line.stage for line in lines} == {stage for stage, _ in did}
    for line in certain:
        assert (line.state == "cached") == (did[line.stage, line.each] == "cached"), line
    assert len(certain) == len(lines) or "computed" in did.values()


def test_raw_files_are_digested_without_a_note(toys, store, tmp_path):  # noqa: F811
    source = tmp_path / "raw.bin"
    source.write_bytes(b"a")
    node = {"subjects": ["sub-1"], "source": str(source)}
    run(store, index=node)
    source.write_bytes(b"bb")
    before = everything_below(store.root)
    assert states(foreseen(store, index=node))["index", None] == "to compute"
    assert everything_below(store.root) == before


def test_raw_files_too_large_to_digest_are_named(toys, store, tmp_path, monkeypatch):  # noqa: F811
    from neurodecode.core import forecast as module

    source = tmp_path / "raw.bin"
    source.write_bytes(b"a")
    monkeypatch.setattr(module, "UNREAD_LIMIT", 0)
    node = {"subjects": ["sub-1"], "source": str(source)}
    first = foreseen(store, index=node)[0]
    assert first.waits_for == ("1 raw files not read yet",)
    run(store, index=node)  # which remembers the digest
    assert foreseen(store, index=node)[0].state == "cached"


def test_what_is_damaged_will_be_computed_and_is_left_lying(toys, store):  # noqa: F811
    artifacts, _ = run(store)
    file = artifacts["double"]["sub-1"].folder / "n.txt"
    file.write_text("too long")
    found = states(foreseen(store))
    assert found["double", "sub-1"] == "to compute" and found["double", "sub-2"] == "cached"
    assert file.read_text() == "too long"


def test_work_left_by_an_interrupted_run_is_seen(toys, store):  # noqa: F811
    artifacts, _ = run(store)
    folder = artifacts["sum"].folder
    store.discard(folder)
    folder.with_suffix(".work").mkdir()
    line = foreseen(store)[-1]
    assert line.partly and "from a checkpoint" in table([line], store.root)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"double": {"factr": 3}}, "double.factr: there is no such key"),
        ({"subjects": ["sub-9"]}, "'sub-9' is not in the study: sub-1, sub-2"),
    ],
)
def test_the_mistakes_of_a_run_are_those_of_its_forecast(toys, store, nodes, message):  # noqa: F811
    run(store)
    with pytest.raises(ConfigError, match=message):
        foreseen(store, **nodes)


@pytest.fixture
def sized(toys, monkeypatch):  # noqa: F811
    """The toy study tells its size: 100 trials of 10 channels a subject."""
    import toy_index

    size = lambda config: {"subjects": len(config.subjects), "trials": 100, "channels": 10}
    monkeypatch.setattr(toy_index, "run", dataclasses.replace(toy_index.run, expects=size))


@pytest.mark.parametrize(("n_subjects", "times"), [(8, 4.0), (2, 1.0), (1, 0.5**0.5)])
def test_costs_follow_the_size_of_the_study(sized, store, n_subjects, times):
    artifacts, _ = run(store)
    record = artifacts["index"].folder.with_suffix(".record.json")
    record.write_text(json.dumps({"seconds": 10.0, "peak_mib": 1000}))
    names = [f"other-{number}" for number in range(n_subjects)]
    line = foreseen(store, index={"subjects": names})[0]
    assert line.cost.seconds == pytest.approx(10 * times)
    assert line.cost.disk_mib == pytest.approx(times * size_mib(artifacts["index"]))
    assert line.cost.peak_mib == pytest.approx(1000 if times <= 1 else 600 + 400 * times)
    assert "other settings" in line.cost.basis


@pytest.mark.parametrize("n_subjects", [1, 3])
def test_subjects_to_come_are_counted_by_the_dials_of_the_study(sized, store, n_subjects):
    run(store)
    names = [f"sub-{number}" for number in range(5, 5 + n_subjects)]
    lines = foreseen(store, index={"subjects": names})
    assert sum(line.stage == "double" for line in lines) == n_subjects


def test_without_dials_and_files_an_earlier_index_tells_the_subjects(toys, store):  # noqa: F811
    artifacts, _ = run(store)
    (artifacts["index"].folder / "sub-1" / "n.txt").write_text("damaged")
    found = [line.each for line in foreseen(store) if line.stage == "double"]
    assert found == ["sub-1", "sub-2"]


def size_mib(artifact):
    return sum(f["size"] for f in artifact.files.values()) / 1024**2


def test_the_nearest_settings_speak_first(toys, store):  # noqa: F811
    for seconds, factor in ((5, 3), (7, 4)):
        artifacts, _ = run(store, double={"factor": factor})
        for one in artifacts["double"].values():
            record = one.folder.with_suffix(".record.json")
            record.write_text(json.dumps({"seconds": seconds, "peak_mib": 100}))
    names = ["sub-1", "sub-5"]  # sub-5 is new
    for seconds, factor in ((5, 3), (7, 4)):
        nodes = {"index": {"subjects": names}, "double": {"factor": factor}, "subjects": names}
        line = foreseen(store, **nodes)[2]
        assert line.each == "sub-5" and line.cost.seconds == seconds
        assert "same settings" in line.cost.basis


def test_a_stage_that_never_ran_has_no_price(toys, store):  # noqa: F811
    lines = foreseen(store)
    assert lines[1].cost.seconds is None and "never run" in lines[1].cost.basis
    assert total(lines)["n_unknown"] == 2  # double and sum; the demo has an index
    assert "2 of unknown cost" in summary(lines, 1e6)[0]


def test_runs_of_a_sweep_share_what_is_equal(toys, store):  # noqa: F811
    one, other = foreseen(store), foreseen(store, sum={"peek": True})
    together = total([*one, *other])
    assert together["n_to_compute"] == len(one) + 1  # the other sum
    assert total([*one, *one]) == total(one)


def test_too_little_space_is_a_warning(toys, store):  # noqa: F811
    lines = foreseen(store)
    assert total(lines)["disk_mib"] > 0
    assert not any(text.startswith("warning") for text in summary(lines, 1e6))
    assert summary(lines, 0.0)[-1].startswith("warning")


def test_a_finished_run_says_so_and_where_it_lies(toys, store):  # noqa: F811
    artifacts, _ = run(store)
    lines = foreseen(store)
    assert "all 4 artifacts are cached" in summary(lines, 1e6)[0]
    printed = table(lines, store.root).splitlines()
    where = artifacts["sum"].folder.relative_to(store.root)
    assert printed[-1].endswith(str(where)) and "ago" in printed[-1]
    at = printed[0].index("where")
    assert all(line[at - 1] == " " and line[at] != " " for line in printed), "columns are aligned"


def test_the_shipped_costs_cover_the_demo():
    known = json.loads(REFERENCE.read_text())
    names = "simulate index embed split preprocess align train predict reconstruct evaluate report"
    assert set(known["stages"]) == {*names.split(), "audit", "timecourse"}
    assert all(v > 0 for costs in known["stages"].values() for v in costs.values())
    dials = {"study": {"_target_": "neurodecode.world.study.simulate_study", "n_subjects": 3}}
    simulate = load_stage("simulate")
    expected = simulate.expects(simulate.config(**dials))
    assert expected == {"subjects": known["subjects"], "trials": known["trials"], "channels": 850}


@pytest.mark.parametrize(("n_bytes", "times"), [(400_000_000, 400), (0, None)])
def test_a_recorded_study_is_measured_by_its_files(store, tmp_path, n_bytes, times):
    from neurodecode.core.costs import History

    history = History.__new__(History)
    history.reference = json.loads(REFERENCE.read_text()) | {"raw": 1e6 / 1024**2}
    path = tmp_path / "sub-01" / "bold.nii"
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(n_bytes)
    index = dataclasses.replace(load_stage("index"), external=lambda config: [path])
    pipeline = Pipeline.__new__(Pipeline)
    pipeline.stages, pipeline.configs, pipeline.artifacts = [index], {"index": None}, {}
    history.pipeline, history.stages = pipeline, {"index": index}
    cost = history._reference_cost(load_stage("preprocess"), "sub-01", history.size("sub-01"))
    known = history.reference["stages"]["preprocess"]["seconds"]
    assert cost.seconds == pytest.approx(known * (times or 1))
    assert ("MiB of raw files" if times else "size not known") in cost.basis


def test_durations_and_sizes_are_said_as_people_say_them():
    assert [duration(s) for s in (None, 0.02, 4.21, 80, 600, 7200, 200000)] == [
        "–", "< 0.1 s", "4.2 s", "80 s", "10 min", "2.0 h", "2.3 d",
    ]  # fmt: skip
    assert [space(m) for m in (None, 0.2, 12.3, 2048)] == ["–", "< 1 MiB", "12 MiB", "2.0 GiB"]
