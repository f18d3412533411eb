"""Evaluate on samples and halves: what is planted is found, and chance is not."""

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.store import Store
from neurodecode.stages.evaluate import run as evaluate
from tests.stages.test_evaluate import (
    CONFIG,
    METRICS,
    SIZE,
    SUBJECTS,
    N,
    pick,
    table_of,
    unit,
    write_study,
    write_table,
)

ROWS, DIM = [f"r{i:02d}" for i in range(N)], 32
FEW = CONFIG | {"metrics": {"pixcorr": METRICS["pixcorr"]}, "encoder": None, "reader": None}


def plant(root, subject, brain, spread=None):
    """Halves whose decoded embeddings share `brain` of their variance; four samples of each row.

    The grey levels of row i's samples are spread by `spread[i]`.
    """
    rng = np.random.default_rng(SUBJECTS.index(subject))
    predict, made = root / "predict" / subject, root / "reconstruct" / subject
    stimuli = pd.read_csv(predict / "rows.tsv", sep="\t")
    write_table(predict / "halves.tsv", stimuli[["row_id", "stimulus_id"]])
    shared = rng.normal(size=(N, DIM))
    for half in ("half_1", "half_2"):
        noise = rng.normal(size=(N, DIM))
        said = unit(np.sqrt(brain) * shared + np.sqrt(1 - brain) * noise)
        (predict / half).mkdir()
        (made / half).mkdir()
        np.save(predict / half / "pooled.npy", said)
        np.save(made / half / "embedded.npy", said)
        shown = rng.integers(0, 256, (N, SIZE, SIZE, 3))
        np.save(made / half / "pictures.npy", shown.astype(np.uint8))
    if spread is None:
        return
    last = pd.read_csv(made / "model/samples.tsv", sep="\t").query("chosen").index
    shown = np.load(made / "model/pictures.npy")[last].repeat(4, axis=0)
    away = spread.repeat(4)[:, None, None, None] * rng.normal(size=shown.shape)
    np.save(made / "model/pictures.npy", np.clip(shown + away, 0, 255).astype(np.uint8))
    table = pd.DataFrame({"row_id": np.repeat(ROWS, 4), "sample": np.tile(range(4), N)})
    table = table.assign(evidence=0.5, chosen=table["sample"] == 1)
    write_table(made / "model/samples.tsv", table)


@pytest.fixture
def found(tmp_path, artifact):
    """``found(brain, spread)``: evaluate's artifact."""

    def make(brain, spread=None, **config):
        root = tmp_path / f"study_{brain}_{spread is None}_{len(config)}"
        write_study(root)
        for subject in SUBJECTS:
            plant(root, subject, brain, spread)
        upstream = {n: artifact(root / n) for n in ("index", "embed", "split")}
        for name in ("preprocess", "predict", "reconstruct"):
            upstream[name] = {s: artifact(root / name / s) for s in SUBJECTS}
        config = FEW | {"root": str(root / "bids")} | config
        return run_stage(evaluate, config, upstream, Store(root / "store"))

    return make


@pytest.mark.parametrize("brain", [0.0, 0.5])
def test_halves_share_what_the_brain_said_and_nothing_else(found, brain):
    table = pick(table_of(found(brain), "consistency.tsv"), over="halves")
    assert set(table["seen"]) == {"decoded", "embedding", "pixels"}
    assert set(table["n"]) == {N} and set(table["subject"]) == {*SUBJECTS, "all"}
    like = pick(table, seen="decoded", measure="likeness", subject="all").iloc[0]
    assert like["value"] == pytest.approx(brain, abs=0.08)
    assert like["lo"] < like["value"] < like["hi"] and abs(like["chance"]) < 0.05
    assert (like["p"] < 0.02) == (brain > 0)
    painted = pick(table, seen="pixels", measure="two_way", subject="all").iloc[0]
    assert painted["lo"] < 0.5 < painted["hi"], "these pictures are noise"
    top = pick(table, seen="decoded", measure="top1", subject="all").iloc[0]
    assert top["chance"] == pytest.approx(1 / N) and (top["value"] > 0.3) == (brain > 0)


def test_halves_compete_with_nothing(found):
    made = found(0.5)
    halves = {"half_1", "half_2"}
    assert not halves & set(table_of(made)["condition"])
    compared = table_of(made, "comparisons.tsv")
    assert not halves & {*compared["a"], *compared["b"]}
    assert not halves & set(pd.read_parquet(made.path("per_trial.parquet"))["condition"])


def test_the_planted_spread_of_samples_is_found_and_foretells_the_error(found):
    spread = np.linspace(2, 120, N)
    made = found(0.5, spread)
    per_row = table_of(made, "spread.tsv")
    assert len(per_row) == 2 * N and set(per_row["n_samples"]) == {4}
    mine = pick(per_row, subject="sub-01").set_index("row_id")["spread"].loc[ROWS]
    assert np.corrcoef(mine, spread)[0, 1] > 0.95
    told = pick(table_of(made, "certainty.tsv"), subject="all", uncertainty="spread").iloc[0]
    assert told["metric"] == "pixcorr" and 0 < told["lo"] < told["rho"] and told["p"] < 0.02
    alike = pick(table_of(made, "consistency.tsv"), over="samples", measure="likeness")
    assert (alike["value"] > alike["chance"] + 0.2).all() and (alike["p"] < 0.02).all()


def test_what_choosing_gains_is_counted_where_there_is_a_choice(found):
    made = found(0.5)  # five rows have two samples, and the first of them is black
    gain = table_of(made, "selection.tsv")
    assert set(gain["n"]) <= {5, 10} and set(gain["metric"]) == {"pixcorr"}
    one = pick(gain, subject="sub-01").iloc[0]
    trials = pd.read_parquet(made.path("per_trial.parquet"))
    mine = pick(trials, subject="sub-01", condition="model").set_index("row_id")["value"]
    assert one["difference"] == pytest.approx(mine.loc[ROWS[:5]].mean()), "black correlates 0"
    assert one["lo"] <= one["difference"] <= one["hi"]
