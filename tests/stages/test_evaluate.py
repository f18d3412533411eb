"""The evaluate stage on a fabricated study: what is planted is found, what is not is chance."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.core.key import file_digest
from neurodecode.core.runner import run_stage
from neurodecode.core.store import Store
from neurodecode.core.views import read_table
from neurodecode.metrics.score import Score
from neurodecode.stages.evaluate import chosen_samples
from neurodecode.stages.evaluate import run as evaluate

SUBJECTS, N, DIM, SIZE = ("sub-01", "sub-02"), 30, 8, 16
KINDS = {
    "model": "model",
    "ridge": "baseline",
    "shuffled": "control",
    "prior_only": "control",
    "true_features": "ceiling",
}
IDS = [f"pic-{i:02d}" for i in range(N)]
METRICS = {
    "retrieval": {"_target_": "neurodecode.metrics.retrieval.Retrieval", "set_sizes": [10]},
    "two_way": {"_target_": "neurodecode.metrics.identification.TwoWay"},
    "layers": {"_target_": "neurodecode.metrics.identification.TwoWayLayers"},
    "pixcorr": {"_target_": "neurodecode.metrics.pixel.PixCorr"},
    "ssim": {"_target_": "neurodecode.metrics.pixel.SSIM"},
    "attributes": {"_target_": "neurodecode.metrics.agreement.AttributeAccuracy"},
}


class Encoder:
    """Two layers that need no weights."""

    def layers(self, pictures: np.ndarray) -> dict:
        """Mean colours, and the pixels."""
        flat = pictures.reshape(len(pictures), -1, 3).astype(float)
        return {"colour": flat.mean(axis=1), "pixels": flat.reshape(len(pictures), -1)}


class Reader:
    """Says which colour is strongest."""

    def read(self, pictures: np.ndarray) -> pd.DataFrame:
        """Name the strongest channel."""
        strongest = pictures.reshape(len(pictures), -1, 3).mean(axis=1).argmax(axis=1)
        return pd.DataFrame({"colour": np.array(["red", "green", "blue"])[strongest]})


CONFIG = {
    "metrics": METRICS,
    "encoder": {"_target_": f"{__name__}.Encoder"},
    "reader": {"_target_": f"{__name__}.Reader"},
    "n_bootstrap": 200,
    "n_permutations": 199,
}


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def write_study(root, signal=1.0, pictures=True):
    """Write what evaluate reads; `signal` is the weight of the truth in the model's predictions."""
    rng = np.random.default_rng(0)
    true_pictures = rng.integers(0, 256, (N, 1, 1, 3)) * 0.6 + rng.integers(
        0, 100, (N, SIZE, SIZE, 3)
    )
    true_pictures = np.clip(true_pictures, 0, 255).astype(np.uint8)
    colour = Reader().read(true_pictures)["colour"]
    pooled = unit(rng.normal(size=(N, DIM)))
    _write_stimuli(root, true_pictures, colour, pooled)
    for subject in SUBJECTS:
        _write_subject(root, rng, subject, signal, true_pictures, pooled, pictures)


def _write_stimuli(root, true_pictures, colour, pooled):
    for name in ("bids/stimuli", "index", "embed", "split"):
        (root / name).mkdir(parents=True)
    for stimulus, picture in zip(IDS, true_pictures, strict=True):
        Image.fromarray(picture).save(root / "bids/stimuli" / f"{stimulus}.png")
    stimuli = pd.DataFrame({"stimulus_id": IDS, "path": [f"stimuli/{i}.png" for i in IDS]})
    digests = [file_digest(root / "bids" / path) for path in stimuli["path"]]
    stimuli = stimuli.assign(sha256=digests, caption="", partition="test", colour=colour)
    write_table(root / "index/stimuli.tsv", stimuli)
    order = np.random.default_rng(1).permutation(N)  # rows of embed have an order of their own
    write_table(root / "embed/stimuli.tsv", stimuli[["stimulus_id"]].iloc[order])
    np.save(root / "embed/pooled.npy", pooled[order])
    kinds = stimuli[["stimulus_id"]].assign(category=np.asarray(colour)).iloc[order]
    write_table(root / "embed/categories.tsv", kinds)
    split = [{"subject": s, "stimulus_id": i, "split": "test"} for s in SUBJECTS for i in IDS]
    write_table(root / "split/split.tsv", pd.DataFrame(split))
    (root / "split/split.json").write_text('{"hash": "abc"}')


def _write_subject(root, rng, subject, signal, true_pictures, pooled, pictures):
    predict, made = root / "predict" / subject, root / "reconstruct" / subject
    order = rng.permutation(N)  # each subject's rows in another order
    rows = pd.DataFrame(
        {"row_id": [f"r{i:02d}" for i in range(N)], "stimulus_id": np.array(IDS)[order]}
    )
    weights = {"model": signal, "ridge": 0.4 * signal, "true_features": 1e6}
    for name in KINDS:
        (predict / name).mkdir(parents=True)
        noise = unit(rng.normal(size=(N, DIM)))
        if name == "prior_only":
            noise = np.repeat(noise[:1], N, axis=0)
        weight = weights.get(name, 0.0)
        np.save(predict / name / "pooled.npy", unit(weight * pooled[order] + noise))
        if pictures:
            (made / name).mkdir(parents=True)
            _write_samples(made / name, rng, weight, true_pictures[order])
    write_table(predict / "rows.tsv", rows)
    conditions = [{"name": n, "kind": k, "brain": True, "about": ""} for n, k in KINDS.items()]
    (predict / "conditions.json").write_text(json.dumps(conditions))
    quality = root / "preprocess" / subject
    quality.mkdir(parents=True)
    (quality / "qc.json").write_text('{"n_voxels": 100}')


def _write_samples(folder, rng, weight, true_pictures):
    """Two samples of the first five rows, the second of them chosen; one of the others."""
    noise = rng.integers(0, 256, true_pictures.shape)
    shown = ((weight * true_pictures + noise) / (weight + 1)).astype(np.uint8)
    row_ids, samples = [f"r{i:02d}" for i in range(N)], []
    for number, row in enumerate(row_ids):
        several = number < 5
        samples += [(row, 0, not several, np.zeros_like(shown[0]))] if several else []
        samples += [(row, int(several), True, shown[number])]
    table = pd.DataFrame([s[:3] for s in samples], columns=["row_id", "sample", "chosen"])
    write_table(folder / "samples.tsv", table.assign(evidence=0.5))
    np.save(folder / "pictures.npy", np.stack([s[3] for s in samples]))


def write_table(path, table):
    table.to_csv(path, sep="\t", index=False)


@pytest.fixture
def evaluated(tmp_path, artifact):
    """``evaluated(config, signal=…)``: write a study and evaluate it from nothing."""
    counter = iter(range(99))

    def make(config=None, **study):
        root = tmp_path / f"study{next(counter)}"
        write_study(root, **study)
        upstream = {n: artifact(root / n) for n in ("index", "embed", "split")}
        for name in ("preprocess", "predict", "reconstruct"):
            if (root / name).exists():
                upstream[name] = {s: artifact(root / name / s) for s in SUBJECTS}
        config = CONFIG | {"root": str(root / "bids")} | (config or {})
        return run_stage(evaluate, config, upstream, Store(root / "store"))

    return make


def table_of(found, name="metrics.tsv"):
    return read_table(found.path(name))


def pick(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_every_score_of_every_condition_is_there_and_whole(evaluated):
    found = evaluated()
    table = table_of(found)
    assert list(table.columns) == (
        "subject condition kind metric space set_size value lo hi n chance p p_max ceiling better "
        "summary q".split()
    )
    expected = {
        "median_rank",
        "two_way_embedding",
        "two_way_embedding_compat",
        "two_way_colour",
        "two_way_pixels",
        "pixcorr",
    }
    expected |= {"ssim", "attribute_mean", "attribute_colour"}
    expected |= {f"{d}_top{k}" for d in ("brain_to_image", "image_to_brain") for k in (1, 5)}
    assert set(table["metric"]) == expected
    n_scores = len(pick(table, subject="sub-01", condition="model"))
    assert len(table) == (len(SUBJECTS) + 1) * len(KINDS) * n_scores == 3 * 5 * 17
    numbers = table[["value", "lo", "hi", "n", "chance", "p", "ceiling"]]
    assert np.isfinite(numbers.to_numpy(float)).all()
    assert ((table["lo"] <= table["value"] + 1e-12) & (table["value"] <= table["hi"] + 1e-12)).all()
    assert set(table["n"]) == {N}
    assert {(m, s) for m, s in zip(table["metric"], table["set_size"], strict=True) if s == s} == {
        *(
            (f"{d}_top{k}", size)
            for d in ("brain_to_image", "image_to_brain")
            for k in (1, 5)
            for size in (N, 10)
        ),
        ("median_rank", N),
    }


def test_what_was_planted_is_found_in_every_subject(evaluated):
    found = evaluated(signal=2.0)
    compared = table_of(found, "comparisons.tsv")
    assert set(compared["b"]) == {"shuffled", "prior_only", "ridge"}
    for metric in (
        "brain_to_image_top1",
        "two_way_embedding",
        "pixcorr",
        "ssim",
        "attribute_colour",
    ):
        for control in ("shuffled", "prior_only"):
            rows = pick(compared, metric=metric, b=control)
            assert set(rows["subject"]) == {*SUBJECTS, "all"}
            assert (rows["lo"] > 0).all() and (rows["p"] < 0.05).all(), (metric, control)
    table = pick(table_of(found), condition="model", metric="pixcorr")
    assert (table["p"] == 1 / 200).all() and (table["value"] < table["ceiling"]).all()


def test_chance_is_right(evaluated):
    table = table_of(evaluated(signal=0.0))
    assert set(pick(table, metric="brain_to_image_top5", set_size=10)["chance"]) == {0.5}
    assert set(pick(table, metric="image_to_brain_top1", set_size=N)["chance"]) == {1 / N}
    assert set(pick(table, metric="median_rank")["chance"]) == {(N - 1) / 2}
    assert set(table[table["metric"].str.startswith("two_way")]["chance"]) == {0.5}
    collapsed = table[(table["condition"] == "prior_only") & (table["space"] == "embedding")]
    np.testing.assert_allclose(collapsed["value"], collapsed["chance"], atol=1e-12)
    model = pick(table, condition="model", subject="all")
    outside = (model["chance"] < model["lo"]) | (model["hi"] < model["chance"])
    assert outside.sum() <= 3, model[outside]


def test_true_features_reach_the_top_and_rows_follow_their_stimuli(evaluated):
    table = pick(table_of(evaluated()), condition="true_features")
    assert (table["ceiling"] == table["value"]).all()
    for metric in ("brain_to_image_top1", "image_to_brain_top1", "two_way_embedding"):
        np.testing.assert_allclose(pick(table, metric=metric)["value"], 1)
    assert (pick(table, metric="pixcorr")["value"] > 0.99).all()


def test_trial_scores_average_to_the_metrics(evaluated):
    found = evaluated()
    trials = table_of(found, "per_trial.parquet")
    assert list(trials.columns) == "subject row_id stimulus_id condition metric value".split()
    means = trials.groupby(["subject", "condition", "metric"])["value"].mean()
    table = table_of(found)
    table = table[(table["subject"] != "all") & (table["set_size"].fillna(N) == N)]
    for line in pick(table, better="higher").itertuples():
        assert means[line.subject, line.condition, line.metric] == pytest.approx(line.value)


def test_figures_are_the_tables_and_the_same_bytes_again(evaluated):
    one, two = evaluated(), evaluated()
    assert one.path("figures.json").read_bytes() == two.path("figures.json").read_bytes()
    figures = json.loads(one.path("figures.json").read_text())
    assert [m["value"] for m in figures["metrics"]] == pytest.approx(
        table_of(one)["value"].tolist()
    )
    assert len(figures["comparisons"]) == len(table_of(one, "comparisons.tsv"))
    assert figures["split"] == "abc" and figures["responses"]["sub-01"] == {"n_voxels": 100}


def test_the_reader_is_judged_on_the_true_pictures(evaluated):
    reader = json.loads(evaluated().path("reader.json").read_text())
    assert reader["colour"]["accuracy"] == 1 and reader["colour"]["n"] == N
    assert 1 / 3 <= reader["colour"]["majority"] < 1


def test_every_option_changes_some_output(evaluated):
    before = evaluated()
    changes = [
        {"seed": 1},
        {"n_bootstrap": 150},
        {"n_permutations": 99},
        {"interval": "bca"},
        {"level": 0.8},
        {"against": ["ridge"]},
        {"margin": 0.1},
        {"reader": None},
        {"encoder": None},
        {"metrics": {"pixcorr": METRICS["pixcorr"]}},
    ]
    for change in changes:
        after = evaluated(change)
        same = after.path("figures.json").read_bytes() == before.path("figures.json").read_bytes()
        assert not same, change


def test_a_decoder_of_one_attribute_is_the_reference(evaluated):
    figures = json.loads(evaluated().path("figures.json").read_text())
    oracle = {(s["metric"], s["set_size"]): s["value"] for s in figures["oracle"]["sub-01"]}
    assert 0.5 < oracle["two_way_embedding", None] < 1
    assert oracle["brain_to_image_top1", N] < 0.2, "it cannot tell pictures of one colour apart"


class Asleep:
    """A metric whose weights are not there."""

    space, needs = "picture", "pictures"

    def available(self) -> str:
        """Say why not."""
        return "weights missing: sleep.pth"


class Watcher:
    """Looks at pictures itself, and counts how often."""

    space, needs, looks = "picture", "pictures", []

    def prepare(self, pictures: np.ndarray) -> np.ndarray:
        """Mean brightness."""
        self.looks.append(len(pictures))
        return pictures.mean(axis=(1, 2, 3))

    def __call__(self, truth: np.ndarray, predicted: np.ndarray) -> list:
        """Negative distance in brightness."""
        return [Score("brightness", -np.abs(truth[:, None] - predicted[None]))]


def test_what_cannot_be_computed_is_named_with_its_reason(evaluated):
    own = {"sleep": {"_target_": f"{__name__}.Asleep"}, "pixcorr": METRICS["pixcorr"]}
    found = evaluated({"metrics": own})
    missing = table_of(found, "not_computed.tsv")
    assert missing.to_dict("records") == [
        {"metric": "Asleep", "reason": "weights missing: sleep.pth"}
    ]
    assert set(table_of(found)["metric"]) == {"pixcorr"}


def test_a_metric_may_look_at_pictures_itself_once_for_each_set(evaluated):
    Watcher.looks.clear()
    found = evaluated({"metrics": {"watch": {"_target_": f"{__name__}.Watcher"}}})
    # of the model the first samples are looked at besides, where there are several
    assert len(Watcher.looks) == len(SUBJECTS) * (1 + len(KINDS) + 1)
    ceiling = pick(table_of(found), condition="true_features", metric="brightness")
    assert (ceiling["p"] < 0.05).all()


def test_without_pictures_the_embedding_is_scored_alone(evaluated):
    table = table_of(evaluated(pictures=False))
    assert set(table["space"]) == {"embedding"}


def test_single_trials_share_their_stimulus(tmp_path, artifact, store):
    root = tmp_path / "s"
    write_study(root, pictures=False)
    for subject in SUBJECTS:  # every stimulus twice, as rows of its own
        rows = read_table(root / "predict" / subject / "rows.tsv")
        twice = pd.concat([rows, rows.assign(row_id=rows["row_id"] + "b")])
        write_table(root / "predict" / subject / "rows.tsv", twice)
        for name in KINDS:
            path = root / "predict" / subject / name / "pooled.npy"
            np.save(path, np.tile(np.load(path), (2, 1)))
    upstream = {n: artifact(root / n) for n in ("index", "embed", "split")}
    for name in ("preprocess", "predict"):
        upstream[name] = {s: artifact(root / name / s) for s in SUBJECTS}
    table = table_of(run_stage(evaluate, CONFIG, upstream, store))
    assert set(table["n"]) == {N}
    assert not table["metric"].str.startswith("image_to_brain").any()
    assert set(pick(table, metric="brain_to_image_top1", set_size=N)["chance"]) == {1 / N}


def test_where_the_pictures_lie_changes_no_score(tmp_path, artifact):
    write_study(tmp_path)
    (tmp_path / "bids/dataset_description.json").write_text("{}")
    upstream = {n: artifact(tmp_path / n) for n in ("index", "embed", "split")}
    for name in ("preprocess", "predict", "reconstruct"):
        upstream[name] = {s: artifact(tmp_path / name / s) for s in SUBJECTS}
    recorded = CONFIG | {"root": str(tmp_path / "bids")}
    before = run_stage(evaluate, recorded, upstream, Store(tmp_path / "a"))
    (tmp_path / "made").mkdir()
    (tmp_path / "bids").rename(tmp_path / "made" / "bids")
    with pytest.raises(FileNotFoundError):
        run_stage(evaluate, recorded, upstream, Store(tmp_path / "b"))
    upstream["simulate"] = artifact(tmp_path / "made")
    after = run_stage(evaluate, CONFIG, upstream, Store(tmp_path / "c"))
    assert after.path("figures.json").read_bytes() == before.path("figures.json").read_bytes()


def test_a_stimulus_that_is_not_tested_is_refused(tmp_path, artifact, store):
    write_study(tmp_path / "s", pictures=False)
    table = read_table(tmp_path / "s/split/split.tsv")
    table.loc[table["stimulus_id"] == "pic-03", "split"] = "train"
    write_table(tmp_path / "s/split/split.tsv", table)
    upstream = {n: artifact(tmp_path / "s" / n) for n in ("index", "embed", "split")}
    for name in ("preprocess", "predict"):
        upstream[name] = {s: artifact(tmp_path / "s" / name / s) for s in SUBJECTS}
    with pytest.raises(ValueError, match="pic-03.*only test stimuli are scored"):
        run_stage(evaluate, CONFIG, upstream, store)


def test_a_row_needs_one_chosen_sample():
    samples = pd.DataFrame({"row_id": ["a", "a", "b"], "chosen": [False, True, True]})
    assert chosen_samples(samples, ["b", "a"]).tolist() == [2, 1]
    with pytest.raises(ValueError, match="row a has 0 chosen"):
        chosen_samples(samples.assign(chosen=[False, False, True]), ["a", "b"])


def test_what_is_not_computed_is_named_with_its_reason(evaluated, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    networks = {"_target_": "neurodecode.metrics.perceptual.NetworkMetric", "network": "alexnet"}
    published = {"_target_": "neurodecode.metrics.published.PublishedRetrieval"}
    pixels = {"_target_": "neurodecode.metrics.published.PublishedSSIM", "n_partners": 2}
    metrics = {"alexnet": networks, "retrieval": published, "ssim_425": pixels}
    found = evaluated({"metrics": metrics, "n_bootstrap": 9, "n_permutations": 9})
    reasons = table_of(found, "not_computed.tsv").set_index("metric")["reason"]
    names = "alexnet2_two_way, alexnet2_two_way_compat, alexnet5_two_way, alexnet5_two_way_compat"
    assert reasons[names].startswith("weights missing: no alexnet-owt-7be5be79.pth")
    names = "brain_to_image_top1_compat, image_to_brain_top1_compat"
    assert reasons[names].endswith("draws 300 test pictures, this study has 30")
    assert len(reasons) == 2
    table = table_of(found)
    assert set(table["metric"]) == {"ssim_425"}
    ceiling = pick(table, condition="true_features", subject="all")
    assert ceiling["value"].item() > 0.99, "each row was held against its own truth"
