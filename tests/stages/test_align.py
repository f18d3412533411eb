"""The align stage: fitted on training rows alone, scored on validation rows, applied anywhere."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from neurodecode.align.apply import Fitted, transform
from neurodecode.align.procrustes import Procrustes
from neurodecode.align.times import Reading
from neurodecode.core import lazy
from neurodecode.core.runner import run_stage
from neurodecode.core.views import read_table
from neurodecode.signal.scaling import Standard
from neurodecode.stages import align as stage
from neurodecode.stages.align import run as align

PROCRUSTES = {"_target_": "neurodecode.align.procrustes.Procrustes"}
STANDARD = {"_target_": "neurodecode.signal.scaling.Standard"}
RIDGE = {"_target_": "neurodecode.align.ridge.RidgeAligner"}
IDENTITY = {"_target_": "neurodecode.align.identity.Identity"}
N_CHANNELS = {"sub-01": 14, "sub-02": 17, "sub-03": 12}
N_SIGNAL = 10  # the channels after these carry noise
SPLIT = np.repeat(["train", "val", "test"], [120, 40, 20])  # of the stimuli; each is shown twice


def study(noise=0.5, signal=1.0, seed=0):
    """Responses of three subjects to the same stimuli: rotated views of one code, and noise."""
    rng = np.random.default_rng(seed)
    code = signal * rng.standard_normal((len(SPLIT), N_SIGNAL))
    responses = {}
    for subject, n in N_CHANNELS.items():
        turn = np.linalg.qr(rng.standard_normal((N_SIGNAL, N_SIGNAL)))[0]
        view = np.zeros((2 * len(SPLIT), n))
        view[:, :N_SIGNAL] = np.tile(code @ turn, (2, 1))
        responses[subject] = view + noise * rng.standard_normal(view.shape) + 5.0
    return responses


@pytest.fixture
def aligned(tmp_path, artifact, store):
    """``aligned(responses, **config)`` runs the stage and returns its artifact."""
    names = [f"pic-{i:03d}" for i in range(len(SPLIT))] * 2

    def run(responses, positions=True, times_s=None, **config):
        members, tables = {}, []
        for subject, betas in responses.items():
            folder = tmp_path / "preprocess" / subject
            (folder / "space").mkdir(parents=True, exist_ok=True)
            ids = [f"{subject}_{i:04d}" for i in range(len(names))]
            trials = pd.DataFrame({"trial_id": ids, "subject": subject, "stimulus_id": names})
            np.save(folder / "responses.npy", betas.astype(np.float32))
            positions_mm = np.random.default_rng(0).uniform(-50, 50, (betas.shape[1], 3))
            if times_s is not None:
                np.save(folder / "space" / "times_s.npy", np.array(times_s))
            if positions:
                np.save(folder / "space" / "positions_mm.npy", positions_mm)
            trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
            members[subject] = artifact(folder)
            tables.append(trials.assign(split=np.tile(SPLIT, 2)))
        folder = tmp_path / "split"
        folder.mkdir(exist_ok=True)
        pd.concat(tables).to_csv(folder / "split.tsv", sep="\t", index=False)
        inputs = {"preprocess": members, "split": artifact(folder)}
        return run_stage(align, {"aligner": PROCRUSTES} | config, inputs, store)

    return run


def tensors(found):
    return {n: load_file(found.path(f"{n}.safetensors")) for n in ("scaling", "channels", "maps")}


def test_a_shared_code_is_found_and_carries_over_to_validation_stimuli(aligned):
    table = read_table(aligned(study()).path("alignment.tsv"))
    assert list(table["subject"]) == ["sub-02", "sub-03"]
    assert (table["n"] == 40).all() and (table["on"] == "val").all()
    assert (table["score"] > 0.5).all() and (table["identity"].abs() < 0.3).all()
    np.testing.assert_allclose(table["gain"], table["score"] - table["identity"])


@pytest.mark.parametrize("aligner", [PROCRUSTES, RIDGE])
def test_subjects_without_signal_gain_nothing(aligned, aligner):
    scores = [
        read_table(
            aligned(study(signal=0.0, seed=seed), aligner=aligner, min_reliability=-1.0).path(
                "alignment.tsv"
            )
        )["score"].mean()
        for seed in range(12)
    ]
    assert abs(np.mean(scores)) < 3 * np.std(scores, ddof=1) / np.sqrt(len(scores))


def test_identity_keeps_every_subject_in_its_own_channels(aligned):
    found = aligned(study(), aligner=IDENTITY, min_reliability=-1.0)
    saved, table = tensors(found), read_table(found.path("alignment.tsv"))
    assert saved["maps"] == {}
    assert {s: len(saved["channels"][s]) for s in N_CHANNELS} == N_CHANNELS
    assert (table["gain"] == 0).all() and (table["score"] == table["identity"]).all()


def test_channels_are_chosen_by_their_reliability_on_training_rows(aligned):
    saved = tensors(aligned(study(), min_reliability=0.5))
    for subject in N_CHANNELS:
        np.testing.assert_array_equal(saved["channels"][subject], np.arange(N_SIGNAL))
        assert (saved["channels"][f"{subject}/reliability"][:N_SIGNAL] > 0.5).all()


def test_nothing_outside_the_training_rows_changes_what_is_fitted(aligned):
    responses = study()
    before = tensors(aligned(responses))
    outside = np.tile(SPLIT, 2) != "train"
    for betas in responses.values():
        betas[outside] = 100 * np.random.default_rng(9).standard_normal(betas[outside].shape)
    after = tensors(aligned(responses))
    for name, saved in before.items():
        assert saved.keys() == after[name].keys()
        assert all(np.array_equal(saved[k], after[name][k]) for k in saved), name


def test_what_was_saved_maps_trials_into_the_reference(aligned):
    found = aligned(study(), reference="sub-03", min_reliability=0.5)
    about, saved = json.loads(found.path("aligner.json").read_text()), tensors(found)
    assert set(about.pop("code")) == {"scaling", "aligner"}
    assert about.pop("read") is None
    assert about == {"scaling": STANDARD, "aligner": PROCRUSTES, "reference": "sub-03"}
    assert {k.split("/")[0] for k in saved["maps"]} == {"sub-01", "sub-02"}
    views = study(noise=0.0)
    fitted = Fitted(Standard(), Procrustes(), *saved.values())
    mapped = {s: transform(x, s, fitted) for s, x in views.items()}
    for subject in ("sub-01", "sub-02"):
        assert np.corrcoef(mapped[subject].ravel(), mapped["sub-03"].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("option", [{"min_reliability": 0.5}, {"reference": "sub-02"}])
def test_every_option_changes_what_is_fitted(aligned, option):
    plain, other = (tensors(aligned(study(), **config)) for config in ({}, option))
    assert {k: v.shape for k, v in plain["maps"].items()} != {
        k: v.shape for k, v in other["maps"].items()
    }


class Halved(Standard):
    """A scale of one's own: half of the standard one."""

    def transform(self, responses, state):
        """Half as large."""
        return super().transform(responses, state) / 2


def test_the_scale_is_a_choice_by_name(aligned):
    found = aligned(study(), scaling={"_target_": f"{__name__}.Halved"}, aligner=IDENTITY)
    saved = Fitted(Halved(), None, *tensors(found).values())
    plain = Fitted(Standard(), None, *tensors(aligned(study(), aligner=IDENTITY)).values())
    x = study()["sub-02"]
    np.testing.assert_allclose(transform(x, "sub-02", saved), transform(x, "sub-02", plain) / 2)


def timed(responses):
    """The same code at three times, with noise of each time's own: (n_trials, n_channels, 3)."""
    rng = np.random.default_rng(5)
    return {
        s: np.stack([x + 0.1 * rng.standard_normal(x.shape) for _ in range(3)], axis=2)
        for s, x in responses.items()
    }


def test_responses_with_times_are_mapped_as_well_and_channels_keep_their_times(aligned):
    found = aligned(timed(study()), min_reliability=0.5)
    saved, table = tensors(found), read_table(found.path("alignment.tsv"))
    for subject in N_CHANNELS:
        np.testing.assert_array_equal(saved["channels"][subject], np.arange(N_SIGNAL))
        assert saved["channels"][f"{subject}/reliability"].shape == (N_CHANNELS[subject],)
    assert saved["maps"]["sub-02/map"].shape == (N_SIGNAL, N_SIGNAL)
    assert (table["score"] > 0.5).all() and (table["n"] == 40).all()
    mapped = transform(
        timed(study(noise=0.0))["sub-02"],
        "sub-02",
        Fitted(Standard(), Procrustes(), *saved.values()),
    )
    assert mapped.shape == (2 * len(SPLIT), N_SIGNAL, 3)


@pytest.mark.parametrize("option", [{"window_s": [0.1, 0.2]}, {"step_s": 0.2}])
def test_decoders_read_the_times_that_were_asked_for(aligned, option):
    found = aligned(timed(study()), times_s=[0.0, 0.1, 0.2], min_reliability=0.5, **option)
    read = Reading(**json.loads(found.path("aligner.json").read_text())["read"])
    fitted = Fitted(Standard(), Procrustes(), *tensors(found).values(), read)
    x = timed(study(noise=0.0))["sub-02"]
    whole = transform(x, "sub-02", fitted, whole=True)
    expected = whole[..., 1:] if "window_s" in option else whole[..., :2].mean(2, keepdims=True)
    np.testing.assert_allclose(transform(x, "sub-02", fitted), expected, atol=1e-6)


def test_where_nobody_knows_the_positions_there_is_no_anatomical_baseline(aligned):
    table = read_table(aligned(study(), positions=False).path("alignment.tsv"))
    assert table["identity"].isna().all() and (table["score"] > 0.5).all()


def test_a_reference_that_is_not_there_and_a_bar_too_high_are_refused(aligned):
    with pytest.raises(ValueError, match="'sub-09', which was not preprocessed: choose one of"):
        aligned(study(), reference="sub-09")
    with pytest.raises(ValueError, match="no channel with a repeat correlation of 0.999"):
        aligned(study(), min_reliability=0.999)


ROBUST = {
    "_target_": "neurodecode.signal.whitening.NoiseWhitening",
    "robust": True,
    "whiten": False,
}


class AtOnce:
    """A scale of one's own that knows nothing of blocks."""

    def fit(self, responses, trials):
        """Nothing to fit."""
        return {}

    def transform(self, responses, state):
        """As they are."""
        return responses


@pytest.mark.parametrize(
    ("times", "config"),
    [
        (False, {}),
        (False, {"aligner": IDENTITY, "min_reliability": -1.0}),
        (True, {"aligner": RIDGE, "min_reliability": 0.5}),
        (True, {"scaling": ROBUST}),
    ],
)
def test_a_study_larger_than_memory_is_aligned_alike(aligned, monkeypatch, times, config):
    responses = timed(study()) if times else study()
    plain = aligned(responses, **config)
    held, table = tensors(plain), read_table(plain.path("alignment.tsv"))
    monkeypatch.setattr(stage, "IN_MEMORY", 0)
    monkeypatch.setattr(lazy, "BLOCK", 4 * 50 * 17)
    shutil.rmtree(plain.folder)  # it is computed again, not found
    lazily = aligned(responses, **config)
    assert tensors(lazily).keys() == held.keys()
    for name, arrays in tensors(lazily).items():
        for part, array in arrays.items():
            np.testing.assert_allclose(array, held[name][part], rtol=1e-5, atol=1e-6)
    pd.testing.assert_frame_equal(read_table(lazily.path("alignment.tsv")), table, rtol=1e-5)


def test_a_scaler_that_reads_everything_at_once_is_refused_for_more_than_memory(
    aligned, monkeypatch
):
    monkeypatch.setattr(stage, "IN_MEMORY", 0)
    with pytest.raises(ValueError, match="AtOnce fits its scale to all training rows at once.*GiB"):
        aligned(study(), scaling={"_target_": f"{__name__}.AtOnce"})
