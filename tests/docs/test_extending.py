"""The four examples of docs/extending do what they say, from outside the package."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from neurodecode.core.views import read_table
from tests.docs.blocks import DOCS, commands, run, write_files

DOCUMENTS = ("dataset", "aligner", "network", "metric")
SMALL = [
    "recipe=world_small",
    "recipe.study.n_train=60",
    "recipe.study.n_test=20",
    "recipe.study.n_repeated_train=12",
    "recipe.study.test_repeats=2",
    "recipe.study.n_voxels=120",
]
HERE = ["name=small", "threads=1", "device=cpu", "hydra.run.dir=run"]
FEW = ["train.decoder_training.n_epochs=1", "evaluate.n_bootstrap=20", "evaluate.n_permutations=20"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with the files of all four documents, and one store."""
    folder = tmp_path_factory.mktemp("lab")
    for name in DOCUMENTS:
        write_files(f"extending/{name}.md", folder)
    return folder


def example(name, lab, *more):
    """Run the command of a document with further words; it must succeed."""
    *before, words = commands(f"extending/{name}.md")
    for first in before:
        done = run(first, lab)
        assert done.returncode == 0, done.stderr
    assert words[:3] == ["neurodecode", "run", "--config-dir=myconf"]
    done = run(words, lab, *HERE, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stages(*names):
    return f"stages=[{','.join(names)}]"


def newest(lab, stage, name):
    """The file of a stage's artifact that was written last."""
    return max((lab / "store" / stage).glob(f"*/*/{name}"), key=lambda p: p.stat().st_mtime_ns)


def test_an_example_is_one_python_file_and_one_yaml(tmp_path):
    assert {p.stem for p in (DOCS / "extending").glob("*.md")} == set(DOCUMENTS)
    for name in DOCUMENTS:
        files = write_files(f"extending/{name}.md", tmp_path)
        own = [f for f in files if f.startswith(("mylab/", "myconf/"))]
        assert [Path(f).suffix for f in own] == [".py", ".yaml"], name


def test_the_layout_finds_the_labs_runs_and_rows(lab):
    example("dataset", lab, stages("index", "split", "preprocess"))
    trials = read_table(newest(lab, "index", "trials.tsv"))
    assert set(trials["subject"]) == {"sub-anna", "sub-ben"}
    assert trials.groupby("subject").size().tolist() == [160, 160]
    assert trials["reaction_s"].between(0.3, 0.9).all()
    tables = {p: read_table(p.with_name("trials.tsv")) for p in _responses(lab)}
    own = {p: rows for p, rows in tables.items() if "reaction_s" in rows}  # the store is shared
    assert len(own) == 2
    for path, rows in own.items():
        person = rows["subject"][0].removeprefix("sub-")
        third = np.flatnonzero(rows["run"] == "run-3")
        written = np.load(lab / "labdata" / person / "run3.npy").astype(np.float32)
        np.testing.assert_array_equal(np.load(path)[third], written)


def _responses(lab):
    return sorted((lab / "store" / "preprocess").glob("*/*/responses.npy"))


TO_ALIGN = stages("simulate", "index", "split", "preprocess", "align")


@pytest.mark.slow
def test_the_aligner_is_taken_and_its_code_counts(lab):
    example("aligner", lab, *SMALL, TO_ALIGN)
    first = newest(lab, "align", "alignment.tsv")
    assert set(read_table(first)["aligner"]) == {"partialleastsquares"}
    made = json.loads(first.with_name("aligner.json").read_text())
    assert made["aligner"] == {
        "_target_": "mylab.aligner.PartialLeastSquares",
        "n_components": 10,
    }

    code = lab / "mylab" / "aligner.py"
    plain = code.read_text()
    code.write_text(plain.replace("# refuses fewer", "# an edited comment"))
    assert "align  cached" in example("aligner", lab, *SMALL, TO_ALIGN)
    # a factor that changes no correlation still reaches whoever applies the map
    code.write_text(plain.replace("return affine(", "return 2 * affine("))
    said = example("aligner", lab, *SMALL, TO_ALIGN)
    assert "code changed in mylab.aligner" in said and "preprocess sub-01  cached" in said
    second = newest(lab, "align", "aligner.json")
    assert second.read_text() != first.with_name("aligner.json").read_text()
    code.write_text(plain)


def test_a_wrong_option_of_ones_own_is_refused_before_anything_is_computed(lab):
    *_, words = commands("extending/aligner.md")
    done = run(words, lab, *HERE, *SMALL, "align.aligner.n_components=ten", "store=another")
    assert done.returncode == 2 and not (lab / "another" / "simulate").exists()
    assert "align.aligner.n_components: expected a whole number, got 'ten'" in done.stderr
    code = lab / "mylab" / "aligner.py"
    code.rename(code.with_suffix(".off"))
    done = run(words, lab, *HERE, *SMALL, "store=another")
    code.with_suffix(".off").rename(code)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "align.aligner: cannot find 'mylab.aligner.PartialLeastSquares'" in done.stderr


def test_the_metric_is_own_minus_nearest_other(lab, monkeypatch):
    monkeypatch.syspath_prepend(str(lab))
    for name in [n for n in sys.modules if n.split(".")[0] == "mylab"]:
        monkeypatch.delitem(sys.modules, name)
    margin = importlib.import_module("mylab.metric").Margin
    truth = np.random.default_rng(0).standard_normal((6, 9))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    (score,) = margin()(truth, truth)
    expected = [1 - np.delete(truth @ truth[i], i).max() for i in range(6)]
    np.testing.assert_allclose(np.diagonal(score.values), expected)
    (wider,) = margin(n_others=5)(truth, truth)
    assert (np.diagonal(wider.values) > np.diagonal(score.values)).all()


@pytest.mark.slow
def test_the_network_is_the_one_that_is_trained(lab):
    to_train = stages("simulate", "index", "embed", "split", "preprocess", "align", "train")
    example("network", lab, *SMALL, *FEW, to_train)
    made = json.loads(newest(lab, "train", "config.json").read_text())
    assert made["model"]["_target_"] == "mylab.network.Perceptron"
    from safetensors.numpy import load_file

    weights = load_file(newest(lab, "train", "weights.safetensors"))
    assert weights["decoder/own.sub-01.weight"].shape[0] == 128

    code = lab / "mylab" / "network.py"
    plain = code.read_text()
    code.write_text(plain.replace("functional.gelu", "functional.relu"))
    said = example("network", lab, *SMALL, *FEW, to_train)
    code.write_text(plain)
    assert "code changed in mylab.network" in said and "align  cached" in said


@pytest.mark.slow
def test_the_metric_stands_in_the_tables_and_the_report(lab):
    names = "simulate index embed split preprocess align train predict evaluate report".split()
    example("metric", lab, *SMALL, *FEW, stages(*names), "train.prior=null")
    metrics = read_table(newest(lab, "evaluate", "metrics.tsv"))
    assert {"margin", "two_way_embedding"} <= set(metrics["metric"])
    margin = metrics[metrics["metric"] == "margin"].set_index(["subject", "condition"])
    assert (margin["chance"] < 0).all(), "the nearest of others is nearer than a mismatched one"
    assert margin.loc[("all", "true_features"), "value"] > 0
    compared = read_table(newest(lab, "evaluate", "comparisons.tsv"))
    assert "margin" in set(compared["metric"])
    assert "margin" in (lab / "run" / "report.html").read_text()
