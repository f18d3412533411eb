"""Rules that look at what was shown: clusters, what is out of distribution, what is matched."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist, pdist

from neurodecode.rigour.splits import (
    ClusterSplit,
    MatchedSplit,
    OutOfDistributionSplit,
    StimulusSplit,
    diagnostics,
)
from neurodecode.rigour.splits.distance import (
    kernel_width,
    mmd,
    mmd_of_a_random_draw,
    stimulus_labels,
)

DIM = 16


def study(seed=0, n=300, n_clusters=15, spread=3.0, per_run=10):
    """Trials, stimuli with their cluster in the column `kind`, and embeddings in clusters."""
    rng = np.random.default_rng(seed)
    cluster = rng.permutation(np.arange(n) % n_clusters)
    centres = spread * rng.normal(size=(n_clusters, DIM))
    embeddings = (centres[cluster] + rng.normal(size=(n, DIM))).astype(np.float32)
    ids = [f"pic-{i:03d}" for i in range(n)]
    kind = [f"kind-{c}" for c in cluster]
    stimuli = pd.DataFrame({"stimulus_id": ids, "partition": "", "kind": kind})
    runs = [f"run-{i // per_run}" for i in range(n)]
    trials = pd.DataFrame({"subject": "sub-01", "session": "", "run": runs, "stimulus_id": ids})
    return trials, stimuli, embeddings


def split(rule, shown, seed=0):
    trials, stimuli, embeddings = shown
    extra = (embeddings,) if rule.reads == "embeddings" else ()
    return rule(trials, stimuli, np.random.default_rng(seed), *extra)


def distances(shown, labels):
    trials, stimuli, embeddings = shown
    return diagnostics(embeddings, stimulus_labels(trials, stimuli, labels))


def random_split(shown, seed=0):
    trials, stimuli, _ = shown
    rule = StimulusSplit(ties=("stimulus_id",), frozen=False)
    return rule(trials, stimuli, np.random.default_rng(seed))


def test_mmd_is_what_its_formula_says():
    a, b = np.random.default_rng(0).normal(size=(2, 40, 5)) + [[[0]], [[0.7]]]
    width = np.median(pdist(np.concatenate([a, b])))
    k = lambda x, y: np.exp(-cdist(x, y, "sqeuclidean") / (2 * width**2)).mean()
    assert kernel_width(np.concatenate([a, b])) == pytest.approx(width)
    expected = np.sqrt(k(a, a) + k(b, b) - 2 * k(a, b))
    assert mmd(a, b, width) == pytest.approx(expected, rel=1e-4)
    assert mmd(a, a, width) == pytest.approx(0, abs=1e-3)


def test_the_mmd_of_random_draws_is_foretold():
    _, _, embeddings = study(n=120)
    width, rng = kernel_width(embeddings), np.random.default_rng(0)
    squares = []
    for _ in range(300):
        order = rng.permutation(120)
        squares.append(mmd(embeddings[order[:20]], embeddings[order[20:100]], width) ** 2)
    foretold = mmd_of_a_random_draw(embeddings, 20, 80, width)
    assert np.sqrt(np.mean(squares)) == pytest.approx(foretold, rel=0.05)


@pytest.mark.parametrize("rule", [ClusterSplit(n_clusters=15), ClusterSplit(column="kind")])
def test_clusters_lie_on_one_side_and_far_from_training(rule):
    shown = study()
    trials, stimuli, _ = shown
    labels = split(rule, shown)
    kinds = trials.merge(stimuli).assign(split=labels).groupby("kind")["split"].nunique()
    assert (kinds == 1).all() and set(labels) == {"train", "val", "test"}
    about, plain = distances(shown, labels), distances(shown, random_split(shown))
    assert about["mmd"] > 2 * about["mmd_random"] and plain["mmd"] < 1.5 * plain["mmd_random"]
    assert about["nearest_test"] > 1.3 * about["nearest_train"]


def test_the_number_of_clusters_decides_which_are_held_out():
    shown = study()
    few, many = (split(ClusterSplit(n_clusters=k), shown) for k in (15, 40))
    assert (few != many).any()
    with pytest.raises(ValueError, match="largest"):
        split(ClusterSplit(n_clusters=2), shown)


def memoriser(train, test):
    """Name the training cluster whose responses are nearest, and answer its mean embedding."""
    responses, embeddings, kinds = train
    names = np.unique(kinds)
    mean = lambda x: np.stack([x[kinds == k].mean(axis=0) for k in names])
    return mean(embeddings)[cdist(test, mean(responses)).argmin(axis=1)]


def ridge(train, test):
    """Map responses to embeddings."""
    responses, embeddings, _ = train
    gram = responses.T @ responses + np.eye(responses.shape[1])
    return test @ np.linalg.solve(gram, responses.T @ embeddings)


def two_way(predicted, truth):
    """Share of test pictures told from another one; ties count half."""
    similarity = np.corrcoef(predicted, truth)[: len(predicted), len(predicted) :]
    own = np.diagonal(similarity)[:, None]
    better = (own > similarity + 1e-9) + 0.5 * (np.abs(own - similarity) <= 1e-9)
    return (better.sum() - 0.5 * len(own)) / (len(own) * (len(own) - 1))


def score(decoder, responses, shown, labels):
    _, stimuli, embeddings = shown
    train, test = labels == "train", labels == "test"
    known = responses[train], embeddings[train], stimuli["kind"].to_numpy()[train]
    return two_way(decoder(known, responses[test]), embeddings[test])


def test_who_memorises_classes_falls_to_chance_on_held_out_clusters_and_who_generalises_does_not():
    # Spurious reconstruction (Shirakawa et al.): brains that tell clusters, and brains that tell
    # pictures, each under a random split and under one of held-out clusters.
    scores = []
    for seed in range(40):
        shown, rng = study(seed), np.random.default_rng(1000 + seed)
        _, stimuli, embeddings = shown
        kind = np.unique(stimuli["kind"], return_inverse=True)[1]
        codes = rng.normal(size=(kind.max() + 1, 40))
        tells_clusters = codes[kind] + rng.normal(size=(len(kind), 40))
        map_ = rng.normal(size=(DIM, 40)) / 4
        tells_pictures = embeddings @ map_ + rng.normal(size=(len(kind), 40))
        naive, strict = random_split(shown, seed), split(ClusterSplit(column="kind"), shown, seed)
        scores.append(
            [score(memoriser, tells_clusters, shown, side) for side in (naive, strict)]
            + [score(ridge, tells_pictures, shown, side) for side in (naive, strict)]
        )
    memory_naive, memory_strict, true_naive, true_strict = np.mean(scores, axis=0)
    assert memory_naive > 0.9 and true_naive > 0.9 and true_strict > 0.85
    error = np.std([s[1] for s in scores]) / np.sqrt(len(scores))
    assert abs(memory_strict - 0.5) < 3 * error < 0.15


def test_named_kinds_are_out_of_distribution_and_nothing_else():
    shown = study()
    rule = OutOfDistributionSplit(column="kind", values=("kind-3", "kind-7"))
    labels = split(rule, shown)
    own = shown[1]["kind"].isin(["kind-3", "kind-7"]).to_numpy()
    assert ((labels == "test") == own).all()
    with pytest.raises(ValueError, match="no stimulus has kind 'ood'"):
        split(OutOfDistributionSplit(column="kind"), shown)
    with pytest.raises(ValueError, match="out-of-distribution stimuli are tied"):
        split(OutOfDistributionSplit("kind", ("kind-3",), ties=("stimulus_id", "run")), shown)


def test_without_a_column_the_farthest_are_tested():
    shown = study(n_clusters=1, n=200)
    _, _, embeddings = shown
    labels = split(OutOfDistributionSplit(), shown)
    from_centre = np.linalg.norm(embeddings - embeddings.mean(axis=0), axis=1)
    tested = np.sort(from_centre[labels == "test"])
    assert len(tested) == 20 and tested[2] > np.quantile(from_centre, 0.8)
    assert distances(shown, labels)["mmd"] > distances(shown, random_split(shown))["mmd"]


def test_a_matched_split_is_as_near_as_asked_and_parts_fewer_neighbours():
    shown = study()
    plain = distances(shown, random_split(shown))
    loose, tight = (distances(shown, split(MatchedSplit(tau=t), shown)) for t in (1.0, 0.6))
    assert loose["mmd"] <= loose["mmd_random"] and tight["mmd"] <= 0.6 * tight["mmd_random"]
    assert loose["nearest_test"] > 1.05 * plain["nearest_test"]
    assert loose["n_test"] == plain["n_test"] == 30
    with pytest.raises(ValueError, match="not to tau=0.01"):
        split(MatchedSplit(tau=0.01), shown)


def test_ties_are_kept_by_every_rule():
    shown = study(per_run=4)
    trials = shown[0]
    for rule in (MatchedSplit, OutOfDistributionSplit):
        labels = split(rule(ties=("stimulus_id", "run")), shown)
        assert (trials.assign(split=labels).groupby("run")["split"].nunique() == 1).all()
    with pytest.raises(ValueError, match="1 group"):
        split(ClusterSplit(column="kind", ties=("stimulus_id", "run")), study(per_run=60))


@pytest.mark.parametrize("rule", [ClusterSplit, MatchedSplit, OutOfDistributionSplit])
def test_shares_and_classes_are_those_asked(rule):
    shown = study(n=400, n_clusters=40)
    options = {"n_clusters": 40} if rule is ClusterSplit else {}
    few, many = (
        split(rule(test_fraction=f, val_fraction=0.0, **options), shown) for f in (0.1, 0.3)
    )
    assert 20 <= (few == "test").sum() <= 80 < (many == "test").sum()
    assert "val" not in few and "val" in split(rule(val_fraction=0.2, **options), shown)
    trials = shown[0].assign(rare=np.where(shown[0].index == 0, "once", "often"))
    with pytest.raises(ValueError, match="class 'once' of sub-01"):
        split(rule(class_column="rare", **options), (trials, *shown[1:]))


@pytest.mark.parametrize("rule", [ClusterSplit(), MatchedSplit(), OutOfDistributionSplit()])
def test_without_embeddings_a_rule_says_what_it_needs(rule):
    trials, stimuli, embeddings = study()
    with pytest.raises(ValueError, match="stage embed before split"):
        rule(trials, stimuli, np.random.default_rng(0))
    with pytest.raises(ValueError, match="same embedding"):
        alike = np.ones_like(embeddings)
        (rule if rule.reads and not isinstance(rule, ClusterSplit) else MatchedSplit())(
            trials, stimuli, np.random.default_rng(0), alike
        )


def test_a_frozen_test_set_is_honoured_only_if_asked():
    trials, stimuli, _ = study()
    stimuli = stimuli.assign(partition=np.where(stimuli.index < 5, "test", "train"))
    by = lambda frozen: StimulusSplit(ties=("stimulus_id",), frozen=frozen)(
        trials, stimuli, np.random.default_rng(0)
    )
    assert (np.flatnonzero(by(True) == "test") == range(5)).all()
    assert (by(False) == "test").sum() == 30


def test_a_column_that_is_missing_or_empty_is_refused():
    shown = study()
    with pytest.raises(ValueError, match="'colour' is not a column"):
        split(ClusterSplit(column="colour"), shown)
    stimuli = shown[1].assign(kind=lambda t: t["kind"].where(t.index > 0, ""))
    with pytest.raises(ValueError, match="1 stimuli have no kind, e.g. 'pic-000'"):
        split(ClusterSplit(column="kind"), (shown[0], stimuli, shown[2]))
