"""The stage on planted categories: scores, controls, tables; and the same bytes twice."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.store import Artifact, Store, describe
from neurodecode.stages import crossvalidate

CLASSES = ["bottle", "cat", "face", "house", "shoe"]
N_RUNS, N_CHANNELS = 5, 40
MODEL = {
    "_target_": "neurodecode.models.text_ridge.TextRidge",
    "alphas": [1.0, 10.0],
    "whiten": [True],
    "targets": ["centred"],
}
CONFIG = {
    "model": MODEL,
    "baselines": {"lda": {"_target_": "neurodecode.models.classifiers.ShrinkageLda"}},
    "scalings": ["zscored"],
    "n_channels": [None],
    "n_bootstrap": 200,
    "n_permutations": 100,
    "n_refits": 9,
}


def folders(tmp_path, signal=1.5, subjects=("sub-01", "sub-02"), regions=True):
    """Finished stages index to preprocess: responses are a linear image of the names."""
    rng = np.random.default_rng(0)
    names = rng.standard_normal((5, 3))
    made = {name: tmp_path / name for name in ("index", "embed", "split")}
    for folder in made.values():
        folder.mkdir(parents=True)
    pd.DataFrame({"stimulus_id": CLASSES}).to_csv(made["embed"] / "stimuli.tsv", sep="\t")
    np.save(made["embed"] / "text.npy", names.astype(np.float32))
    (made["index"] / "subjects.json").write_text(json.dumps(subjects))
    splits = []
    for subject in subjects:
        place = made[subject] = tmp_path / subject
        (place / "space").mkdir(parents=True)
        trials = table_of(subject, rng)
        labels = trials["stimulus_id"].map(CLASSES.index).to_numpy()
        x = signal * names[labels] @ rng.standard_normal((3, N_CHANNELS))
        x = (
            x
            + rng.standard_normal(x.shape)
            + 10 * trials["run"].str[-1].astype(int).to_numpy()[:, None]
        )
        np.save(place / "responses.npy", x.astype(np.float32))
        trials.to_csv(place / "trials.tsv", sep="\t", index=False)
        noise = rng.standard_normal((len(trials), 2))
        nuisance = trials[["trial_id", "run"]].assign(trans_x=noise[:, 0], order=noise[:, 1])
        nuisance.to_csv(place / "nuisance.tsv", sep="\t", index=False)
        (place / "qc.json").write_text("{}")
        if regions:
            region = pd.DataFrame({"channel": range(20), "roi": "vt"})
            region.to_csv(place / "space" / "rois.tsv", sep="\t", index=False)
        splits.append(trials.assign(split="test"))
    pd.concat(splits).to_csv(made["split"] / "split.tsv", sep="\t", index=False)
    (made["split"] / "split.json").write_text(json.dumps({"hash": "0"}))
    return made


def table_of(subject, rng):
    rows = [
        {
            "trial_id": f"{subject}_run-{r}_{c}",
            "subject": subject,
            "run": f"run-{r}",
            "stimulus_id": c,
        }
        for r in range(1, N_RUNS + 1)
        for c in rng.permutation(CLASSES)
    ]
    return pd.DataFrame(rows).assign(session="", duration_s=22.5, repeat=1)


def crossvalidated(made, store, artifact, **changes):
    upstream = {name: artifact(made[name]) for name in ("index", "embed", "split")}
    people = [name for name in made if name.startswith("sub-")]
    upstream["preprocess"] = {s: artifact(made[s]) for s in people}
    done = run_stage(crossvalidate.run, CONFIG | changes, upstream, store)
    return done


def scores(done, metric="accuracy", subject="all"):
    table = pd.read_csv(done.path("metrics.tsv"), sep="\t")
    rows = table[(table["metric"] == metric) & (table["subject"] == subject)]
    return rows.set_index("condition")


@pytest.fixture
def done(tmp_path, store, artifact):
    return crossvalidated(folders(tmp_path), store, artifact)


def test_planted_categories_are_named_and_controls_stay_at_chance(done):
    found = scores(done)
    assert found.loc["model", "value"] > 0.8 and found.loc["model", "p"] == 0.1  # of nine refits
    assert found.loc["lda", "value"] > 0.7 and found.loc["lda", "p"] < 0.05
    assert found.loc["nuisance", "value"] < 0.45
    assert (found["chance"] == 0.2).all() and (found["n"] == 50).all()


def test_unseen_categories_are_told_by_their_names_not_by_random_vectors(done):
    found = scores(done, "zero_shot")
    assert found.loc["model", "value"] > 0.8 and found.loc["model", "p"] < 0.1
    assert found.loc["random_vectors", "value"] < found.loc["model", "value"]
    assert (found["chance"] == 0.5).all() and (found["n"] == 20).all()
    pairs = pd.read_csv(done.path("pairs.tsv"), sep="\t")
    own = pairs[pairs["condition"] == "model"]
    assert len(own) == 20 and np.isclose(own["accuracy"].mean(), found.loc["model", "value"])


def test_tables_agree_with_each_other(done):
    folds = pd.read_csv(done.path("folds.tsv"), sep="\t")
    accuracy = scores(done).loc["model", "value"]
    assert np.isclose((folds["true"] == folds["predicted_model"]).mean(), accuracy)
    assert (folds["ranking"].str.split(",").str[0] == folds["predicted_model"]).all()
    confusion = np.load(done.path("confusion.npy"))
    assert confusion.sum() == 50 and np.isclose(np.trace(confusion) / 50, accuracy)
    trials = pd.read_parquet(done.path("per_trial.parquet"))
    of_model = trials[(trials["condition"] == "model") & (trials["metric"] == "accuracy")]
    assert np.isclose(of_model["value"].mean(), accuracy)
    figures = json.loads(done.path("figures.json").read_text())
    assert figures["best_baseline"] == "lda"
    assert {c["name"] for c in json.loads(done.path("conditions.json").read_text())} == {
        "model", "lda", "random_vectors", "nuisance",
    }  # fmt: skip


def test_the_decoder_is_compared_with_every_other_condition_by_mcnemar(done):
    compared = pd.read_csv(done.path("comparisons.tsv"), sep="\t")
    pooled = compared[compared["subject"] == "all"].set_index("b")
    assert list(pooled.index) == ["lda", "random_vectors", "nuisance"]
    row, found = pooled.loc["nuisance"], scores(done)["value"]
    assert np.isclose(row["difference"], found["model"] - found["nuisance"])
    assert np.isclose((row["only_a"] - row["only_b"]) / row["n"], row["difference"])
    assert row["p"] < 0.001 and row["lo"] > 0


def test_without_signal_nothing_is_found(tmp_path, store, artifact):
    done = crossvalidated(folders(tmp_path, signal=0.0), store, artifact, n_refits=0)
    found = scores(done)
    assert (found["value"] < 0.42).all() and (found["p"] > 0.005).all()


def test_the_same_study_gives_the_same_bytes_whatever_the_processes(tmp_path, artifact):
    made = folders(tmp_path, subjects=("sub-01",))
    a = crossvalidated(made, Store(tmp_path / "a"), artifact, n_jobs=1)
    b = crossvalidated(made, Store(tmp_path / "b"), artifact, n_jobs=2)
    assert a.path("figures.json").read_bytes() == b.path("figures.json").read_bytes()


def test_as_many_processes_are_asked_for_as_the_user_says(tmp_path, store, artifact, monkeypatch):
    import joblib

    asked, Parallel = [], joblib.Parallel
    alone = lambda n_jobs, **how: asked.append(n_jobs) or Parallel(1, **how)
    monkeypatch.setattr(joblib, "Parallel", alone)
    made = folders(tmp_path, subjects=("sub-01",))
    crossvalidated(made, store, artifact, n_jobs=7, n_refits=1)
    assert asked == [7, 7, 7]  # conditions, dealt labels, unseen pairs


@pytest.mark.parametrize(
    "change",
    [
        {"model": MODEL | {"alphas": [0.001]}},
        {"baselines": {}},
        {"masks": ["vt"]},
        {"scalings": ["none"]},
        {"n_channels": [10]},
        {"n_bootstrap": 50},
        {"n_permutations": 50},
        {"n_refits": 5},
        {"level": 0.5},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_changes_the_figures(weak, store, artifact, change):
    made, figures = weak
    after = crossvalidated(made, store, artifact, **change)
    assert figures != after.path("figures.json").read_bytes()


@pytest.fixture(scope="module")
def weak(tmp_path_factory):
    """A study of weak signal, and its figures."""
    tmp_path = tmp_path_factory.mktemp("weak")
    made = folders(tmp_path, signal=0.5, subjects=("sub-01",))
    pose = lambda folder: Artifact(folder, {"files": describe(folder)})
    done = crossvalidated(made, Store(tmp_path / "store"), pose)
    return made, done.path("figures.json").read_bytes()


def test_an_unknown_mask_or_scaling_lists_the_known_ones(tmp_path, store, artifact):
    made = folders(tmp_path, subjects=("sub-01",))
    with pytest.raises(ValueError, match=r"\['v1'\]; sub-01 has brain, vt"):
        crossvalidated(made, store, artifact, masks=["v1"])
    with pytest.raises(ValueError, match="none, centred, zscored"):
        crossvalidated(made, store, artifact, scalings=["zscore"])
    with pytest.raises(ValueError, match="add null for all"):
        crossvalidated(made, store, artifact, n_channels=[100])


def test_responses_with_a_time_axis_are_read_as_more_channels(tmp_path, artifact):
    made = folders(tmp_path, regions=False)
    flat = crossvalidated(made, Store(tmp_path / "a"), artifact, n_refits=0)
    for subject in ("sub-01", "sub-02"):
        path = made[subject] / "responses.npy"
        values = np.load(path)
        np.save(path, values.reshape(len(values), -1, 2))
    deep = crossvalidated(made, Store(tmp_path / "b"), artifact, n_refits=0)
    assert deep.path("figures.json").read_bytes() == flat.path("figures.json").read_bytes()


def test_names_without_text_embeddings_are_refused(tmp_path, store, artifact):
    made = folders(tmp_path, subjects=("sub-01",))
    (made["embed"] / "text.npy").unlink()
    with pytest.raises(ValueError, match="text embeddings"):
        crossvalidated(made, store, artifact)


def test_fewer_categories_than_can_be_held_out_are_refused(tmp_path, store, artifact):
    made = folders(tmp_path)
    names = pd.DataFrame({"stimulus_id": CLASSES[:3]})
    names.to_csv(made["embed"] / "stimuli.tsv", sep="\t")
    with pytest.raises(ValueError, match="needs 4 or more.*recipe.label_column"):
        crossvalidated(made, store, artifact)
