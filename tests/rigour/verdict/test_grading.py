"""The verdict: right on simulated brains of known content, silent where it cannot know."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurodecode.rigour.verdict import LEVELS, Pictures, grade, grade_on
from neurodecode.rigour.verdict.grading import reached

PATH = Path(__file__).parents[3] / "scripts" / "bench" / "verdict_power.py"
spec = importlib.util.spec_from_file_location("verdict_power", PATH)
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

N_TRAIN, N_TEST = 400, 100
HOW = {"n_permutations": 400, "alpha": 0.005}


@pytest.fixture(scope="module")
def world():
    """One set of pictures, and what every brain makes of them at a repeat correlation of .2."""
    rng = np.random.default_rng(0)
    parts, features, truth, category = bench.pictures(N_TRAIN + N_TEST, rng)
    train, test = np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST)
    predicted = {}
    for signal, carried in bench.CARRIED.items():
        brain = bench.brain([parts[name] for name in carried], 0.2, train, test, rng)
        predicted[signal] = bench.Ridge.fit(brain[0], truth[train])(brain[1])
    return {
        "test": (truth[test], category[test], features[test]),
        "train": (truth[train], features[train], category[train]),
        "predicted": predicted,
    }


def judged(world, signal, train="categories", **how):
    known = {"categories": world["train"], "plain": world["train"][:2], "none": None}[train]
    rng = np.random.default_rng(1)
    return grade(world["predicted"][signal], *world["test"], known, rng=rng, **HOW | how)


def p_of(found):
    return {test["name"]: test["p"] for test in found.tests}


RIGHT = {
    "full": "within-category",
    "category_only": "category",
    "low_level_only": "low-level",
    "category_and_low_level": "category",
    "none": "none",
}


@pytest.mark.parametrize("train", ["categories", "plain"])
@pytest.mark.parametrize("signal", RIGHT)
def test_every_brain_gets_the_level_of_what_it_carries(world, signal, train):
    found = judged(world, signal, train)
    assert found.level == RIGHT[signal], found.reasons


def test_low_level_features_explain_what_matching_alone_would_have_called_content(world):
    p = p_of(judged(world, "low_level_only"))
    assert p["within-category, all"] < 0.005 and p["category, all"] < 0.005
    assert p["within-category"] > 0.005 and p["category"] > 0.005


def test_the_simulation_prints_every_cell_and_holds_the_verdict_to_its_figures(capsys):
    asked = ["--studies=1", "--jobs=1", f"--n-train={N_TRAIN}", f"--n-test={N_TEST}", "--seed=3"]
    failed = bench.main(asked)
    said = capsys.readouterr().out
    assert all(signal in said for signal in bench.CARRIED) and "MISSED" not in said
    assert not failed and "AUC at 0.4" in said


def test_the_simulation_fails_a_verdict_that_flatters():
    found = pd.DataFrame(
        [
            {"signal": s, "correlation": c, "level": LEVELS[-1], "within-category value": 0.6}
            for s in bench.CARRIED
            for c in bench.CORRELATIONS
        ]
    )
    lines, failures = bench.held(found)
    assert [f for f in failures if "false within-category" in f]
    assert [f for f in failures if "AUC at 0.1" in f] and [x for x in lines if "power at 0.1" in x]


def test_a_level_needs_all_tests_before_it():
    good, bad = 0.001, 0.2
    p = lambda a, b, c: {"decoded": a, "category": b, "within-category": c}
    assert reached(p(bad, good, good), 0.005, 400) == "none"
    assert reached(p(good, bad, good), 0.005, 400) == "low-level"
    assert reached(p(good, good, bad), 0.005, 400) == "category"
    assert reached(p(good, good, good), 0.005, 400) == "within-category"
    assert reached({"decoded": good}, 0.005, 400) == "low-level"


def test_few_training_pictures_show_no_more_than_the_category(world):
    few = tuple(part[:399] for part in world["train"])
    rng = np.random.default_rng(11)
    found = grade(world["predicted"]["full"], *world["test"], few, rng=rng, **HOW)
    assert found.level == "category" and p_of(found)["within-category"] <= 0.005
    assert any("399 training pictures are too few" in reason for reason in found.reasons)


def test_without_categories_nothing_above_low_level_is_claimed(world):
    truth, _, features = world["test"]
    rng = np.random.default_rng(2)
    found = grade(world["predicted"]["full"], truth, None, features, rng=rng, **HOW)
    assert found.level == "low-level" and [t["name"] for t in found.tests] == ["decoded"]
    assert "No categories" in found.reasons[-1]


def test_without_low_level_features_nothing_above_low_level_is_claimed(world):
    truth, categories, _ = world["test"]
    rng = np.random.default_rng(3)
    found = grade(world["predicted"]["full"], truth, categories, None, rng=rng, **HOW)
    assert found.level == "low-level" and "were not given" in found.reasons[-1]
    assert p_of(found)["within-category, all"] < 0.005 and "within-category" not in p_of(found)


def test_without_training_pictures_nothing_above_low_level_is_claimed(world):
    found = judged(world, "full", "none")
    assert found.level == "low-level" and "of training pictures" in found.reasons[-1]


def test_a_collapsed_decoder_scores_chance_everywhere(world):
    truth, categories, features = world["test"]
    same = np.repeat(truth[:1], len(truth), axis=0)
    found = grade(same, truth, categories, features, world["train"], rng=np.random.default_rng(4))
    assert found.level == "none"
    assert all(test["value"] == pytest.approx(0.5, abs=1e-9) for test in found.tests)


def test_turned_embeddings_and_other_units_of_features_change_nothing(world):
    truth, categories, features = world["test"]
    truth_train, features_train, categories_train = world["train"]
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(64, 64)))[0]
    units = np.linspace(0.1, 10, features.shape[1])
    moved = grade(
        3 * world["predicted"]["full"] @ turn,
        truth @ turn,
        categories,
        features * units + 5,
        (truth_train @ turn, features_train * units + 5, categories_train),
        rng=np.random.default_rng(1),
        **HOW,
    )
    for a, b in zip(judged(world, "full").tests, moved.tests, strict=True):
        assert b["value"] == pytest.approx(a["value"], abs=2e-3)  # cosines that all but tie


def test_pictures_described_once_give_the_same_verdict(world):
    rng = np.random.default_rng(1)
    pictures = Pictures.of(*world["test"], world["train"], rng=rng)
    again = grade_on(pictures, world["predicted"]["full"], rng=rng, **HOW)
    assert again == judged(world, "full")


def test_subjects_are_judged_together(world):
    weak = world["predicted"]["full"]
    rng = np.random.default_rng(6)
    noisy = np.stack([weak + 2 * weak.std() * rng.normal(size=weak.shape) for _ in range(6)])
    pictures = Pictures.of(*world["test"], world["train"], rng=rng)
    together = grade_on(pictures, noisy, rng=np.random.default_rng(7), **HOW)
    alone = [grade_on(pictures, one, rng=np.random.default_rng(7), **HOW) for one in noisy]
    for i, test in enumerate(together.tests):
        assert test["value"] == pytest.approx(np.mean([one.tests[i]["value"] for one in alone]))
    width = lambda test: test["hi"] - test["lo"]
    assert width(together.tests[-1]) < np.mean([width(one.tests[-1]) for one in alone])


def test_categories_of_one_picture_take_no_part_within(world):
    truth, categories, features = world["test"]
    alone = categories.copy()
    alone[:30] = [f"alone-{i}" for i in range(30)]
    n_shared = int(np.isin(alone, [c for c in set(alone) if (alone == c).sum() > 1]).sum())
    found = grade(
        world["predicted"]["full"], truth, alone, features, world["train"][:2],
        rng=np.random.default_rng(8), **HOW,
    )  # fmt: skip
    assert {t["name"]: t["n"] for t in found.tests}["within-category"] == n_shared


@pytest.mark.parametrize("categories", ["all alone", "all the same"])
def test_a_test_that_cannot_be_made_is_said_and_not_passed(world, categories):
    truth, _, features = world["test"]
    names = np.arange(N_TEST).astype(str) if categories == "all alone" else np.full(N_TEST, "a")
    found = grade(
        world["predicted"]["full"], truth, names, features, world["train"][:2],
        rng=np.random.default_rng(9), **HOW,
    )  # fmt: skip
    between = {t["name"]: t for t in found.tests}["category"]
    assert found.level == "low-level" and between["p"] == 1 and np.isnan(between["value"])
    assert any("nothing can be tested" in reason for reason in found.reasons)


def test_categories_that_training_never_showed_are_judged_by_the_test_pictures(world):
    truth_train, features_train, categories_train = world["train"]
    other = np.char.add("other-", categories_train)
    rng = np.random.default_rng(10)
    train = (truth_train, features_train, other)
    found = grade(world["predicted"]["category_only"], *world["test"], train, rng=rng, **HOW)
    assert found.level == "category"


def test_reasons_are_sentences_with_figures(world):
    found = judged(world, "full")
    within = {t["name"]: t for t in found.tests}["within-category"]
    sentence = next(r for r in found.reasons if r.startswith("Within category"))
    assert f"matching is {within['value']:.2f} [{within['lo']:.2f}, {within['hi']:.2f}]" in sentence
    assert "chance 0.5" in sentence and all(reason.endswith(".") for reason in found.reasons)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.ones((99, 64))}, "row by row the same pictures"),
        ({"predicted": np.full((100, 64), np.nan)}, "6400 numbers that are not finite"),
        ({"categories": ["a"] * 3}, "one for each of 100 test pictures"),
        ({"low_level": np.ones((9, 3))}, "low_level has shape"),
        ({"train": (np.ones((5, 63)), np.ones((5, 36)))}, r"expected \(n_train, 64\)"),
        ({"train": (np.ones((5, 64)), np.ones((5, 3)))}, "by the same ones"),
        ({"train": (np.ones((5, 64)), np.ones((4, 36)))}, "low-level features of train"),
        ({"train": (np.ones((5, 64)), np.ones((5, 36)), ["a"])}, "each of its 5 pictures"),
        ({"n_permutations": 100}, "draw 199 or more"),
    ],
)
def test_mistakes_are_told(world, change, message):
    names = ("truth", "categories", "low_level")
    right = dict(zip(names, world["test"], strict=True))
    right |= {"predicted": world["predicted"]["full"], "train": None}
    with pytest.raises(ValueError, match=message):
        grade(**HOW | right | change, rng=np.random.default_rng(0))


def test_too_few_pictures_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        grade(np.ones((3, 2)), np.ones((3, 2)), None, None, rng=np.random.default_rng(0))
