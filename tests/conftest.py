"""Shared fixtures: a store of one's own, and folders that pose as finished stages."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

from neurodecode.core import trust
from neurodecode.core.store import Artifact, Store, describe


@pytest.fixture(autouse=True)
def nobody_trusted(monkeypatch):
    """Commands run in this process say whom they trust; the next test begins without."""
    monkeypatch.setattr(trust, "_now", None)


@pytest.fixture
def store(tmp_path):
    """A fresh store."""
    return Store(tmp_path / "store")


@pytest.fixture
def artifact():
    """``artifact(folder, config={…})``: let a folder of files pose as a finished stage."""

    def make(folder, **manifest):
        about = {"config": {}, "key": "0" * 64, "versions": {}, "commit": "", "code": {}}
        return Artifact(folder, about | manifest | {"files": describe(folder)})

    return make
