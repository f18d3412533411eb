"""Every published row runs from nothing to a report with its controls, at its tiny size."""

import json
import logging
import time

import pytest

from neurodecode import cli
from tests.docs.test_decoders import ROWS

CONTROLS = {"ridge", "shuffled", "shuffled_within", "mean_brain", "matched_noise", "prior_only"}
LESS = ["threads=1", "device=cpu", "evaluate.n_bootstrap=100", "evaluate.n_permutations=100"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all rows: they share studies and embeddings."""
    return tmp_path_factory.mktemp("rows") / "store"


def run(row, store, folder):
    """Run a row in this process; its exit code."""
    handlers = logging.getLogger().handlers[:]
    try:
        where = [f"store={store}", f"hydra.run.dir={folder}"]
        return cli.main(["run", f"experiment={row}", *LESS, *where])
    finally:
        logging.getLogger().handlers[:] = handlers


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_row_goes_to_a_report_with_its_controls(row, store, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    assert run(row, store, tmp_path / "run") == 0, capfd.readouterr().err
    print(f"{row}: {time.monotonic() - started:.1f} s")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "The published decoder" in page
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    conditions = {line["condition"] for line in figures["metrics"]}
    if "classify" in figures.get("stage", "") or "model" not in conditions:
        assert {"classifier", "linear"} <= conditions
    else:
        assert conditions >= CONTROLS | {"model"}
