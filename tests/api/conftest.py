"""One small run for all tests of this folder: it is only read."""

from types import SimpleNamespace

import pytest

from neurodecode.core.views import read_table
from tests.api import small_run


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The run's folder, its artifacts, and its last run recorded anew, without the pictures."""
    folder = tmp_path_factory.mktemp("small")
    small_run.write_study(folder / "study")
    made = small_run.run_study(folder)
    new = small_run.write_study(folder / "new", runs=1, column="")
    return SimpleNamespace(folder=folder, run=folder / "run", made=made, new=new)


@pytest.fixture
def expected(small):
    """``expected(stage, name)``: a table or an array of sub-01."""
    import numpy as np

    def read(stage, name):
        path = small.made[stage]["sub-01"].folder / name
        return np.load(path) if name.endswith(".npy") else read_table(path)

    return read


@pytest.fixture(autouse=True)
def own_classes_are_trusted(monkeypatch):
    """The run of these tests names layouts and networks of the tests."""
    monkeypatch.setenv("NEURODECODE_TRUST", "tests")
