"""What the benches take from the package is there: they run too seldom to be noticed otherwise."""

import ast
import importlib
from pathlib import Path

import pytest

from tests import test_memory

BENCHES = sorted((Path(__file__).parents[1] / "scripts" / "bench").glob("*.py"))


@pytest.mark.parametrize("path", BENCHES, ids=lambda path: path.stem)
def test_a_bench_imports_what_the_package_has(path):
    missing = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurodecode"):
            missing += [one.name for one in node.names if not is_there(node.module, one.name)]
    assert missing == []


def is_there(module, name):
    """Whether `from module import name` works."""
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


def test_what_the_memory_bench_watches_is_there():
    for stage, name in test_memory.bench.PHASES.values():
        assert is_there(f"neurodecode.stages.{stage}", name)
