"""Annotations are the schema: what fits passes unchanged, what does not is named."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from neurodecode.core.build import build, check_targets, targets
from neurodecode.core.checks import dataclass_from, typed
from neurodecode.core.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    n: int
    inner: Inner = field(default_factory=Inner)
    names: list[str] = field(default_factory=list)
    cutoff_hz: float | None = None
    kind: Literal["a", "b"] = "a"
    size: tuple[int, int] = (1, 2)

    def __post_init__(self):
        if self.n < 0:
            raise ValueError(f"n must not be negative, got {self.n}")


class Ridge:
    def __init__(self, alpha: float = 1.0, folds: int = 5, *, sizes=None):
        self.alpha, self.folds, self.sizes = alpha, folds, sizes


HERE = f"{__name__}.Ridge"


def test_nested_dataclasses_come_out_typed():
    found = dataclass_from({"n": 3, "inner": {"rate": 1}, "size": [4, 5]}, Outer, "x")
    assert found == Outer(3, Inner(1.0), size=(4, 5))
    assert isinstance(found.inner.rate, float)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"n": "3"}, "x.n: expected a whole number, got '3' .str."),
        ({"n": True}, "x.n: expected a whole number, got True"),
        ({"n": 1.5}, "x.n: expected a whole number"),
        ({"n": 1, "inner": {"rat": 1}}, "x.inner.rat: there is no such key; did you mean rate"),
        ({"n": 1, "names": "sub-01"}, r"x.names: expected a list such as \[sub-01\]"),
        ({"n": 1, "names": [1]}, r"x.names\[0\]: expected text, got 1"),
        ({"n": 1, "kind": "c"}, "x.kind: expected one of a, b, got 'c'"),
        ({"n": 1, "cutoff_hz": "low"}, "x.cutoff_hz: expected a number or null, got 'low'"),
        ({"n": 1, "size": [1]}, "x.size: expected 2 values"),
        ({"n": None}, "x.n: expected a whole number, got null"),
        ({"n": -1}, "x: n must not be negative, got -1"),
        ({}, "x: missing n"),
        ([], "x: expected the keys of Outer"),
    ],
)
def test_what_does_not_fit_is_named_with_its_key(node, message):
    with pytest.raises(ConfigError, match=message):
        dataclass_from(node, Outer, "x")


def test_null_passes_only_where_it_may():
    assert typed(None, float | None, "x") is None
    with pytest.raises(ConfigError):
        typed(None, float, "x")


def test_build_calls_the_target_with_typed_keys():
    made = build({"_target_": HERE, "alpha": 3}, sizes=7)
    assert (made.alpha, made.folds, made.sizes) == (3.0, 5, 7)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": HERE, "alfa": 3}, "alfa: there is no such key; did you mean alpha"),
        ({"_target_": HERE, "folds": "many"}, "folds: expected a whole number, got 'many'"),
        ({"_target_": f"{__name__}.Rigde"}, "cannot find"),
        ({"_target_": "no.such.module"}, "cannot find 'no.such.module'"),
    ],
)
def test_a_wrong_target_node_is_found_before_it_is_built(node, message):
    with pytest.raises(ConfigError, match=message):
        check_targets({"deep": [{"er": node}]}, "x")


def test_targets_are_found_at_any_depth():
    assert targets({"a": [{"_target_": "p.q"}], "b": {"_target_": "r.s"}}) == ["p.q", "r.s"]
