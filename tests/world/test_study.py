"""A whole study: the same bytes for the same seed, no leak, and dials that do what they say."""

import hashlib
import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from neurodecode.cli import conf_folder
from neurodecode.signal import glm, hrf, reliability
from neurodecode.world import brain, scenes, study
from neurodecode.world.study import make_stimuli, simulate_study

TINY = {"n_subjects": 1, "n_train": 24, "n_test": 4, "n_repeated_train": 6, "n_voxels": 80}


def digest(folder):
    """One digest of all names and bytes below a folder, but for what merely repeats the dials."""
    said = ("study.json", "README")
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and p.name not in said)
    parts = [f"{p.relative_to(folder)} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def betas_of(folder, subject):
    """Single-trial betas read from the files of a study, and what was shown."""
    import nibabel

    stem = f"{subject}_task-scenes"
    derived = folder / "derivatives/simulated" / subject / "func"
    mask = np.asarray(nibabel.load(derived / f"{stem}_desc-brain_mask.nii.gz").dataobj) > 0
    betas, shown = [], []
    for path in sorted((folder / subject / "func").glob("*_bold.nii.gz")):
        run = path.name.removesuffix("_bold.nii.gz")
        events = pd.read_csv(path.with_name(f"{run}_events.tsv"), sep="\t")
        motion = pd.read_csv(derived / f"{run}_desc-confounds_timeseries.tsv", sep="\t").iloc[:, :6]
        bold = glm.percent_change(nibabel.load(path).get_fdata()[mask].T)
        regressors = hrf.trial_regressors(
            events["onset"], events["duration"], 2.0 * np.arange(len(bold))
        )
        nuisance = glm.nuisance_matrix(len(bold), 2.0, confounds=motion.to_numpy())
        betas.append(glm.lsa(bold, regressors, nuisance))
        shown += events["stim_file"].str.removesuffix(".png").tolist()
    return np.concatenate(betas), np.array(shown)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small study, its folder and its summary."""
    folder = tmp_path_factory.mktemp("study")
    dials = {"n_subjects": 2, "n_train": 60, "n_test": 12, "n_repeated_train": 24, "n_voxels": 120}
    return folder, simulate_study(folder, **dials)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The folder of the smallest study the tests vary."""
    folder = tmp_path_factory.mktemp("tiny")
    simulate_study(folder, **TINY)
    return folder


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, tiny):
    for name, seed in (("again", 0), ("other", 1)):
        simulate_study(tmp_path / name, **TINY, seed=seed)
    assert digest(tmp_path / "again") == digest(tiny)
    assert digest(tmp_path / "other") != digest(tiny)


@pytest.mark.parametrize(
    "dial",
    [
        {"n_subjects": 2},
        {"n_train": 25},
        {"n_test": 5},
        {"test_repeats": 2},
        {"n_repeated_train": 7},
        {"snr": 0.5},
        {"signal": "category_only"},
        {"signal": "low_level_only"},
        {"signal": "none"},
        {"n_voxels": 90},
        {"tr_s": 1.5},
        {"trial_s": 5.0},
    ],
    ids=str,
)
def test_every_dial_changes_the_study(tmp_path, tiny, dial):
    simulate_study(tmp_path, **TINY | dial)
    assert digest(tiny) != digest(tmp_path)


def test_the_first_subject_stays_the_same_when_there_are_more(tmp_path, tiny):
    simulate_study(tmp_path, **TINY | {"n_subjects": 2})
    assert digest(tiny / "sub-01") == digest(tmp_path / "sub-01")


@pytest.mark.parametrize("seed", range(3))
def test_no_test_picture_shares_its_attributes_or_caption_with_any_other(seed):
    table = make_stimuli(1200, 100, np.random.default_rng(seed))
    test = table[table["partition"] == "test"]
    train = table[table["partition"] == "train"]
    assert (len(train), len(test)) == (1200, 100)
    for key in (["caption"], list(scenes.ATTRIBUTES)):
        assert not test.duplicated(key).any()
        assert test.merge(train, on=key).empty
    assert table["stimulus_id"].is_unique


def test_partitions_cannot_be_guessed_from_the_names_of_pictures():
    table = make_stimuli(1200, 100, np.random.default_rng(0))
    numbers = table["stimulus_id"].str.removeprefix("scene-").astype(int)
    assert numbers[table["partition"] == "test"].mean() == pytest.approx(650, abs=113)  # 3 errors


def test_subjects_have_different_numbers_of_voxels_and_see_the_same_pictures(made):
    folder, summary = made
    first, second = summary["subjects"]
    assert first["n_voxels"] != second["n_voxels"]
    assert first["n_trials"] == second["n_trials"] == 60 + 2 * 24 + 3 * 12
    events = {
        s: pd.concat(
            pd.read_csv(p, sep="\t") for p in sorted((folder / s / "func").glob("*events.tsv"))
        )["stim_file"].tolist()
        for s in ("sub-01", "sub-02")
    }
    assert sorted(events["sub-01"]) == sorted(events["sub-02"])
    assert events["sub-01"] != events["sub-02"]


def test_the_reliability_that_is_told_is_that_of_the_files(made):
    folder, summary = made
    stimuli = pd.read_csv(folder / "stimuli/stimuli.tsv", sep="\t").set_index("stimulus_id")
    for about in summary["subjects"]:
        betas, shown = betas_of(folder, about["subject"])
        train = stimuli.loc[shown, "partition"].eq("train").to_numpy()
        r = reliability.repeat_correlation(betas[train], shown[train]).mean()
        assert r == pytest.approx(about["repeat_correlation"], abs=1e-3)  # stored as integers


def test_the_summary_stands_in_the_truth_with_the_dials(made):
    folder, summary = made
    truth = json.loads((folder / "derivatives/truth/study.json").read_text())
    assert truth["subjects"] == summary["subjects"]
    assert truth["dials"]["n_train"] == 60 and truth["dials"]["seed"] == 0


def p_of_repeats(folder, n_permutations=200):
    """How often shuffled stimuli repeat as well as the true ones do, over voxels."""
    betas, shown = betas_of(folder, "sub-01")
    rng = np.random.default_rng(0)
    observed = reliability.repeat_correlation(betas, shown).mean()
    null = [
        reliability.repeat_correlation(betas, rng.permutation(shown)).mean()
        for _ in range(n_permutations)
    ]
    return (1 + sum(r >= observed for r in null)) / (1 + n_permutations)


def test_a_brain_that_carries_nothing_cannot_tell_pictures_apart(tmp_path, made):
    dials = {"n_subjects": 1, "n_train": 60, "n_test": 12, "n_repeated_train": 24, "n_voxels": 120}
    simulate_study(tmp_path, **dials, signal="none")
    assert p_of_repeats(made[0]) < 0.01
    assert 0.05 < p_of_repeats(tmp_path)
    heights = np.load(tmp_path / "derivatives/truth/sub-01_responses.npy")
    assert not np.ptp(heights, axis=0).any()
    assert heights.mean() > 0.5  # every picture still evokes something


def test_without_repeats_there_is_no_reliability_to_tell(tmp_path):
    summary = simulate_study(tmp_path, **TINY | {"n_repeated_train": 0})
    assert summary["subjects"][0]["repeat_correlation"] is None
    assert len(summary["about"]) == 1 and "not measured" in summary["about"][0]


@pytest.mark.parametrize(
    "dial, message",
    [
        ({"n_subjects": 0}, "n_subjects is 0: expected 1 to 99"),
        ({"n_train": 3}, "n_train is 3"),
        ({"n_test": 1}, "n_test is 1"),
        ({"test_repeats": 0}, "test_repeats is 0"),
        ({"n_repeated_train": -1}, "n_repeated_train is -1"),
        ({"n_repeated_train": 25}, "only 24 training pictures"),
        ({"snr": -0.1}, "snr is -0.1"),
        ({"snr": float("nan")}, "snr is nan"),
        ({"signal": "all"}, "category_only"),
        ({"n_voxels": 10}, "n_voxels is 10"),
        ({"tr_s": 0.0}, "tr_s is 0.0"),
        ({"trial_s": 1.0}, "trial_s is 1.0"),
        ({"seed": -1}, "seed is -1"),
    ],
    ids=str,
)
def test_a_dial_out_of_range_says_what_came_and_what_was_expected(tmp_path, dial, message):
    with pytest.raises(ValueError, match=message):
        simulate_study(tmp_path / "study", **TINY | dial)
    assert not (tmp_path / "study").exists()


def test_the_recipe_shows_every_dial_with_its_default():
    given = yaml.safe_load((conf_folder() / "recipe/world.yaml").read_text())["study"]
    given.pop("_target_")
    given["seed"] = 0  # ${seed}
    signature = inspect.signature(simulate_study).parameters.values()
    assert given == {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}


def test_the_forward_model_knows_no_embedder():
    for path in Path(study.__file__).parent.glob("*.py"):
        text = path.read_text()
        for word in ("torch", "open_clip", "neurodecode.contrastive", "neurodecode.diffusion"):
            assert f"import {word}" not in text and f"from {word}" not in text, path


def decoded(betas, shown, table):
    """Accuracy of each attribute: ridge from single training trials, test trials averaged."""
    from sklearn.linear_model import RidgeCV

    about = table.set_index("stimulus_id")
    train = about.loc[shown, "partition"].eq("train").to_numpy()
    betas = (betas - betas[train].mean(axis=0)) / betas[train].std(axis=0)
    test = sorted(set(shown[~train]))
    averaged = np.stack([betas[shown == s].mean(axis=0) for s in test])
    one_hot = pd.get_dummies(about[list(scenes.ATTRIBUTES)], prefix_sep=" ", dtype=float)
    ridge = RidgeCV(np.logspace(1, 5, 9)).fit(betas[train], one_hot.loc[shown[train]])
    guess = pd.DataFrame(ridge.predict(averaged), index=test, columns=one_hot.columns)
    accuracies = {}
    for attribute in scenes.ATTRIBUTES:
        best = guess.filter(regex=f"^{attribute} ").idxmax(axis=1)
        accuracies[attribute] = float((best == attribute + " " + about.loc[test, attribute]).mean())
    return accuracies


@pytest.mark.slow
def test_at_the_default_dial_trials_repeat_as_intended_and_attributes_are_decodable(tmp_path):
    summary = simulate_study(tmp_path)
    table = pd.read_csv(tmp_path / "stimuli/stimuli.tsv", sep="\t")
    for subject in summary["subjects"]:
        assert 0.15 < subject["repeat_correlation"] < 0.25
        accuracies = decoded(*betas_of(tmp_path, subject["subject"]), table)
        assert accuracies["shape"] > 0.6 and accuracies["colour"] > 0.6, accuracies
        assert accuracies["x"] > 0.7 and accuracies["y"] > 0.7, accuracies
        assert accuracies["background"] > 0.6, accuracies


@pytest.mark.slow
def test_category_only_leaves_every_other_attribute_at_chance(tmp_path):
    simulate_study(tmp_path, n_subjects=1, signal="category_only")
    table = pd.read_csv(tmp_path / "stimuli/stimuli.tsv", sep="\t")
    accuracies = decoded(*betas_of(tmp_path, "sub-01"), table)
    assert accuracies.pop("shape") > 0.5
    for attribute, accuracy in accuracies.items():
        chance = 1 / len(scenes.ATTRIBUTES[attribute])
        assert abs(accuracy - chance) < 3.5 * np.sqrt(chance * (1 - chance) / 100), attribute


def test_signals_are_those_of_the_brain():
    annotation = inspect.signature(simulate_study).parameters["signal"].annotation
    assert annotation.__args__ == brain.SIGNALS
