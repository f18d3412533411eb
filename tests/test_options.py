"""Every option of the configuration changes something, in a test that `options.yaml` names.

The options are read from the dataclasses and signatures that `conf/` reaches: a new one fails here
until a test turns it.
"""

import ast
import dataclasses
import inspect
import typing
from functools import cache
from pathlib import Path

import yaml

from neurodecode.core.build import locate
from neurodecode.core.stage import load_stage

TESTS = Path(__file__).parent
CONF = TESTS.parent / "conf"


@cache
def known():
    """What options.yaml says: ``{"group.option": [test, …]}``, and the options without a test."""
    table = yaml.safe_load((TESTS / "options.yaml").read_text())
    gaps = set(table.pop("gaps") or [])
    named = {
        f"{group}.{option}": [tests] if isinstance(tests, str) else tests
        for group, lines in table.items()
        for options, tests in lines.items()
        for option in options.split(", ")
    }
    return named, gaps


@cache
def options():
    """Every option that a configuration can set: ``{"group.option", …}``."""
    trees = {path: yaml.safe_load(path.read_text()) for path in CONF.rglob("*.yaml")}
    top = set(trees[CONF / "config.yaml"]) - {"defaults", "hydra"}
    found = {f"config.{key}" for key in top}
    for path in CONF.glob("stage/*.yaml"):
        stage = load_stage(path.stem)
        found |= fields_of(stage.config, stage.name)
    found |= {f"launcher.{key}" for key in trees[CONF / "launcher" / "slurm.yaml"]["launcher"]}
    own = [{k: n for k, n in tree.items() if k != "hydra"} for tree in trees.values() if tree]
    for node in (node for tree in own for node in nodes(tree)):
        target = locate(node["_target_"])
        for p in inspect.signature(target).parameters.values():
            if p.default is not p.empty or p.name in node:  # the others come from the stage
                found.add(f"{target.__name__}.{p.name}")
    return found


def fields_of(made, group):
    """The fields of a dataclass, and those of the dataclasses within it under their own names."""
    found, hints = set(), typing.get_type_hints(made)
    for field in dataclasses.fields(made):
        inner = hints[field.name]
        within = dataclasses.is_dataclass(inner)
        found |= fields_of(inner, inner.__name__) if within else {f"{group}.{field.name}"}
    return found


def nodes(tree):
    """Every mapping with a `_target_`, at any depth."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield tree
        tree = list(tree.values())
    for value in tree if isinstance(tree, list) else ():
        yield from nodes(value)


@cache
def functions_of(file):
    """Names of the test functions of a file."""
    body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
    return {f.name for f in body if isinstance(f, ast.FunctionDef) and f.name.startswith("test_")}


def test_every_option_is_turned_by_a_test():
    named, gaps = known()
    missing = options() - named.keys() - gaps
    assert not missing, f"turn {sorted(missing)} in a test, and name it in tests/options.yaml"
    closed = gaps & named.keys()
    assert not closed, f"{sorted(closed)} have a test now: take them out of the gaps"


def test_every_option_that_is_named_is_there():
    named, gaps = known()
    gone = (named.keys() | gaps) - options()
    assert not gone, f"no configuration has {sorted(gone)}: take them out of tests/options.yaml"


def test_every_test_that_is_named_is_there():
    for option, tests in known()[0].items():
        for test in tests:
            file, _, name = test.partition("::")
            assert name in functions_of(file), f"{option} names {test}, which is not there"
