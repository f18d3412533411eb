"""The ablation's table: what a variant lost is found where it was planted, and nowhere else."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.store import Store
from neurodecode.core.views import read_table
from neurodecode.rigour.results import ALL
from neurodecode.stages.evaluate import run as evaluate
from tests.stages.test_evaluate import CONFIG, IDS, SUBJECTS, pick, write_study, write_table

N, PX = len(IDS), 16
COLOURS = np.array([[220, 60, 60], [60, 220, 60], [60, 60, 220]])
NAMES = ["red", "green", "blue"]
VARIANTS = {  # which part each one keeps: (position, from the low-level picture; colour, of tokens)
    "semantic_only": (False, True),
    "structure_only": (True, False),
    "same": (True, True),
}


class Corner:
    """Says in which quarter of the picture the square lies, and its colour."""

    def read(self, pictures: np.ndarray) -> pd.DataFrame:
        """Read the brightest quarter, and its strongest channel."""
        half = PX // 2
        quarters = pictures.reshape(len(pictures), 2, half, 2, half, 3).mean(axis=(2, 4))
        quarters = quarters.reshape(len(pictures), 4, 3)
        where = quarters.sum(axis=2).argmax(axis=1)
        colour = quarters[np.arange(len(pictures)), where].argmax(axis=1)
        return pd.DataFrame({"position": where.astype(str), "colour": np.array(NAMES)[colour]})


def squares(position, colour):
    half, pictures = PX // 2, np.zeros((len(position), PX, PX, 3), np.uint8)
    for picture, where, hue in zip(pictures, position, colour, strict=True):
        y, x = divmod(int(where), 2)
        picture[y * half : (y + 1) * half, x * half : (x + 1) * half] = COLOURS[hue]
    return pictures


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """evaluate's artifact of a study whose model reads position and colour well."""
    from neurodecode.core.store import Artifact, describe

    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(3)
    write_study(root)
    position, colour = rng.integers(0, 4, N), rng.integers(0, 3, N)
    table = read_table(root / "index/stimuli.tsv")
    named = table.assign(position=position.astype(str), colour=np.array(NAMES)[colour])
    write_table(root / "index/stimuli.tsv", named)
    for subject in SUBJECTS:
        rows = read_table(root / "predict" / subject / "rows.tsv")
        at = [IDS.index(stimulus) for stimulus in rows["stimulus_id"]]
        folder = root / "reconstruct" / subject
        right = rng.random((2, N)) < 0.9
        where = np.where(right[0], position[at], rng.integers(0, 4, N))
        hue = np.where(right[1], colour[at], rng.integers(0, 3, N))
        samples = pd.DataFrame({"row_id": rows["row_id"], "sample": 0, "chosen": True})
        for name, (placed, coloured) in {"model": (True, True), **VARIANTS}.items():
            (folder / name).mkdir(exist_ok=True)
            write_table(folder / name / "samples.tsv", samples.assign(evidence=0.5))
            made = squares(
                where if placed else rng.integers(0, 4, N), hue if coloured else (0 * hue)
            )
            np.save(folder / name / "pictures.npy", made)
        about = [{"name": name, "of": "model", "about": ""} for name in VARIANTS]
        (folder / "variants.json").write_text(json.dumps(about))
    about = {"config": {}, "key": "0" * 64, "versions": {}, "commit": "", "code": {}}
    pose = lambda folder: Artifact(folder, about | {"files": describe(folder)})
    upstream = {n: pose(root / n) for n in ("index", "embed", "split")}
    for name in ("preprocess", "predict", "reconstruct"):
        upstream[name] = {s: pose(root / name / s) for s in SUBJECTS}
    reader = {"reader": {"_target_": f"{__name__}.Corner"}, "root": str(root / "bids")}
    return run_stage(evaluate, CONFIG | reader, upstream, Store(root / "store"))


@pytest.fixture
def lines(scored):
    return read_table(scored.path("ablations.tsv"))


def test_what_each_variant_lost_is_found_in_every_subject_and_in_all(lines):
    for subject in (*SUBJECTS, ALL):
        mine = lines[lines["subject"] == subject].set_index(["variant", "metric"])
        loses = {"semantic_only": "attribute_position", "structure_only": "attribute_colour"}
        for variant, metric in loses.items():
            for name in loses.values():
                found = mine.loc[(variant, name)]
                assert (found["difference_lo"] > 0.1) == (name == metric)
                assert found["difference"] == pytest.approx(0, abs=1e-12) or name == metric


def test_a_variant_without_a_difference_shows_none(lines):
    same = pick(lines, variant="same")
    assert len(same) and (same["difference"] == 0).all()
    assert (same["difference_lo"] <= 0).all() and (same["difference_hi"] >= 0).all()


def test_a_difference_is_full_minus_variant_of_the_same_table(lines, scored):
    full = pick(lines, variant="full").set_index(["subject", "metric"])
    assert full["difference"].isna().all() and full["p"].isna().all()
    for line in lines[lines["variant"] != "full"].itertuples():
        expected = full.loc[(line.subject, line.metric), "value"] - line.value
        assert line.difference == pytest.approx(expected)
    metrics = read_table(scored.path("metrics.tsv"))
    model = pick(metrics, condition="model").set_index(["subject", "metric"])["value"]
    assert all(row["value"] == pytest.approx(model[key]) for key, row in full.iterrows())


def test_only_pictures_are_scored_again_and_no_variant_stands_among_the_conditions(lines, scored):
    assert set(lines["space"]) == {"picture"}
    metrics = read_table(scored.path("metrics.tsv"))
    compared = read_table(scored.path("comparisons.tsv"))
    trials = read_table(scored.path("per_trial.parquet"))
    named = {*metrics["condition"], *compared["a"], *compared["b"], *trials["condition"]}
    assert not named & {*VARIANTS, "full"}
    figures = json.loads(scored.path("figures.json").read_text())
    assert len(figures["ablations"]) == len(lines)


def test_every_line_has_an_interval_chance_and_n(lines):
    assert (lines["lo"] <= lines["value"] + 1e-9).all() and (lines["n"] == N).all()
    chance = lines.set_index("metric")["chance"]
    assert chance["attribute_position"].between(0.15, 0.35).all()
