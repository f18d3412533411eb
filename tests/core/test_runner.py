"""A pipeline of toy stages: cached, recomputed, healed and sealed as promised."""

import sys
import textwrap
from pathlib import Path

import pytest

from neurodecode.core.errors import ConfigError, SealedError
from neurodecode.core.runner import Pipeline

TOY = {
    "toy_index": """
        from dataclasses import dataclass
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            subjects: list[str]
            source: str = ""

        def files(config):
            return [config.source] if config.source else []

        @stage("index", config=Config, external=files)
        def run(config, inputs, out):
            out.save_json("subjects.json", config.subjects)
            for subject in config.subjects:
                out.path(f"{subject}/n.txt").write_text(subject[-1])
        """,
    "toy_double": """
        from dataclasses import dataclass, field
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            factor: int = 2
            n_jobs: int = field(default=1, metadata={"keyed": False})

        CALLS = []

        @stage(
            "double",
            config=Config,
            inputs=("index:{each}/*",),
            each="subject",
            sealed=("secret.txt",),
        )
        def run(config, inputs, out):
            CALLS.append(inputs.each)
            n = int(inputs.path("index", f"{inputs.each}/n.txt").read_text())
            out.path("n.txt").write_text(str(config.factor * n))
            out.path("secret.txt").write_text("test rows")
        """,
    "toy_sum": """
        from dataclasses import dataclass
        from neurodecode.core.stage import stage

        @dataclass(frozen=True)
        class Config:
            peek: bool = False

        CALLS = []

        @stage("sum", config=Config, inputs=("double",))
        def run(config, inputs, out):
            CALLS.append(1)
            name = "secret.txt" if config.peek else "n.txt"
            values = [inputs.path("double", name, s).read_text() for s in inputs.members("double")]
            out.path("figures.json").write_text(str(sum(map(int, values))))
        """,
}
HARDWARE = {"device": "cpu", "threads": 1}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    folder = tmp_path / "code"
    folder.mkdir()
    for name, source in TOY.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.dont_write_bytecode = before
    forget()


def forget():
    from neurodecode.core import fingerprint

    for name in TOY:
        sys.modules.pop(name, None)
    fingerprint._source.cache_clear()
    fingerprint._digest_and_imports.cache_clear()


def config(**nodes):
    names = [".".join(["toy_index"]), "toy_double", "toy_sum"]
    base = {"stages": names, "index": {"subjects": ["sub-1", "sub-2"]}, "double": {}, "sum": {}}
    return base | nodes


@pytest.fixture(autouse=True)
def plain_module_names(monkeypatch):
    """Let toy modules be named without a package in the list of stages."""
    import importlib

    from neurodecode.core import runner, stage

    load = lambda name: importlib.import_module(name).run
    monkeypatch.setattr(runner, "load_stage", load)
    assert stage.load_stage


def states(pipeline):
    return [event["state"] for event in pipeline.state.done.values()]


def run(store, run_folder=None, **nodes):
    pipeline = Pipeline(config(**nodes), store, HARDWARE, run_folder)
    return pipeline.run(), pipeline


def calls(name):
    return sys.modules[name].CALLS


def total(artifacts):
    return artifacts["sum"].path("figures.json").read_text()


def test_second_run_computes_nothing(toys, store):
    assert total(run(store)[0]) == "6"
    artifacts, again = run(store)
    assert total(artifacts) == "6"
    assert states(again) == ["cached"] * 4
    assert len(calls("toy_double")) == 2 and len(calls("toy_sum")) == 1


def test_a_keyed_field_recomputes_and_an_unkeyed_one_does_not(toys, store):
    run(store)
    assert total(run(store, double={"factor": 3})[0]) == "9"
    run(store, double={"n_jobs": 4})
    assert len(calls("toy_double")) == 4


def test_a_new_subject_leaves_the_others_cached(toys, store):
    run(store)
    run(store, index={"subjects": ["sub-1", "sub-2", "sub-3"]})
    assert calls("toy_double") == ["sub-1", "sub-2", "sub-3"]


def test_a_shorter_list_of_stages_makes_fewer_artifacts(toys, store):
    assert set(run(store)[0]) == {"index", "double", "sum"}
    assert set(run(store, stages=["toy_index", "toy_double"])[0]) == {"index", "double"}


def test_only_the_subjects_asked_for_are_computed(toys, store):
    assert total(run(store, subjects=["sub-2"])[0]) == "4"
    assert calls("toy_double") == ["sub-2"]


@pytest.mark.parametrize("other", [{"threads": 2}, {"device": "cuda"}])
def test_another_device_or_number_of_threads_is_computed_anew(toys, store, other):
    run(store)
    pipeline = Pipeline(config(), store, HARDWARE | other)
    pipeline.run()
    assert {e["state"] for e in pipeline.state.done.values()} == {"computed"}


def test_a_damaged_file_is_noticed_and_computed_again(toys, store):
    artifacts, _ = run(store)
    damaged = artifacts["double"]["sub-2"].folder / "n.txt"
    damaged.write_text("9")  # same size, another byte
    healed, _ = run(store, sum={"peek": False})
    store.discard(healed["sum"].folder)
    assert total(run(store)[0]) == "6"
    assert damaged.read_text() == "4"


def test_a_missing_file_is_computed_again(toys, store):
    artifacts, _ = run(store)
    (artifacts["sum"].folder / "figures.json").unlink()
    assert total(run(store)[0]) == "6"


def test_edited_numerics_recompute_and_edited_comments_do_not(toys, store):
    run(store)
    source = toys / "toy_double.py"
    source.write_text("# a comment\n" + source.read_text())
    forget()
    _, again = run(store)
    assert {e["state"] for e in again.state.done.values()} == {"cached"}
    source.write_text(source.read_text().replace("config.factor * n", "config.factor * n + 1"))
    forget()
    artifacts, edited = run(store)
    assert total(artifacts) == "8"
    assert states(edited) == ["cached", "computed", "computed", "computed"]


def test_an_input_recomputed_to_equal_bytes_stops_the_wave(toys, store):
    run(store)
    source = toys / "toy_double.py"
    source.write_text(source.read_text().replace("config.factor * n", "n * config.factor"))
    forget()
    _, again = run(store)
    assert states(again) == ["cached", "computed", "computed", "cached"]


def test_changed_bytes_outside_the_store_count(toys, store, tmp_path):
    source = tmp_path / "raw.bin"
    source.write_bytes(b"a")
    node = {"subjects": ["sub-1"], "source": str(source)}
    run(store, index=node)
    source.write_bytes(b"bb")
    assert run(store, index=node)[1].state.done["index", None]["state"] == "computed"


def test_a_sealed_file_cannot_be_read(toys, store):
    with pytest.raises(SealedError, match="holds test rows"):
        run(store, sum={"peek": True})


def test_a_failed_stage_leaves_nothing_that_looks_finished(toys, store, tmp_path):
    with pytest.raises(SealedError):
        run(store, tmp_path / "run", sum={"peek": True})
    assert not list((store.root / "sum").glob("*/*/manifest.json"))
    assert not list((store.root / "scratch").iterdir())
    assert '"failed"' in (tmp_path / "run" / "run.json").read_text()


def test_a_run_that_was_interrupted_did_not_fail(toys, store, tmp_path, monkeypatch):
    def stops(self, stage):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "_run_stage", stops)
    with pytest.raises(KeyboardInterrupt):
        run(store, tmp_path / "run")
    assert '"interrupted"' in (tmp_path / "run" / "run.json").read_text()


def test_products_are_copied_to_the_run_folder(toys, store, tmp_path):
    run(store, tmp_path / "run")
    assert (tmp_path / "run" / "figures.json").read_text() == "6"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"double": {"factr": 3}}, "double.factr: there is no such key; did you mean factor"),
        ({"double": {"factor": "three"}}, "double.factor: expected a whole number, got 'three'"),
        ({"index": {"subjects": "sub-1"}}, r"index.subjects: expected a list such as \[sub-1\]"),
        ({"subjects": ["sub-9"]}, "'sub-9' is not in the study: sub-1, sub-2"),
        ({"stages": ["toy_index", "toy_sum"]}, "sum needs double before it"),
        ({"index": {}}, "index: missing subjects"),
    ],
)
def test_mistakes_are_named_before_anything_is_computed(toys, store, nodes, message):
    with pytest.raises(ConfigError, match=message):
        run(store, **nodes)


def test_toy_code_lies_outside_the_package(toys):
    import toy_sum

    assert Path(toy_sum.__file__).parent == toys


def test_a_stage_with_nothing_to_do_is_left_out(toys, store, monkeypatch):
    import dataclasses

    import toy_index
    import toy_sum

    idle = dataclasses.replace(toy_sum.run, applies=lambda config: config.peek)
    monkeypatch.setattr(toy_sum, "run", idle)
    assert toy_index.run.applies(None)
    assert "sum" not in run(store)[0]
