"""Train and predict on a tiny fabricated study: contracts, planted truth, seals and resuming."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from neurodecode.cli import conf_folder
from neurodecode.core import fingerprint
from neurodecode.core.checks import dataclass_from
from neurodecode.core.errors import ConfigError, SealedError
from neurodecode.core.views import Folder, View
from neurodecode.models.answers import network_answers, ridge_answers
from neurodecode.stages import align, baselines, controls, predict, reading, train

SUBJECTS = {"sub-01": 30, "sub-02": 24}  # channels
N_TRAIN, N_VAL, N_TEST = 48, 12, 10
MODEL = {
    "_target_": "neurodecode.models.residual_mlp.ResidualMLP",
    "hidden": 32,
    "n_blocks": 1,
    "projector_hidden": 16,
    "input_dropout": 0.1,
    "dropout": 0.1,
}
LOSS = {"_target_": "neurodecode.contrastive.losses.InfoNCELoss", "temperature": 0.1}
PRIOR = {
    "_target_": "neurodecode.diffusion.prior.DiffusionPrior",
    "depth": 1,
    "heads": 2,
    "dim_head": 4,
    "linear_components": 6,
}
PLAN = {"_target_": "neurodecode.contrastive.loop.Plan", "n_epochs": 6, "learning_rate": 0.003}


def config(**changes):
    settings = {
        "model": MODEL,
        "loss": LOSS,
        "prior": PRIOR,
        "decoder_training": PLAN,
        "prior_training": PLAN,
        "batch": 8,
        "prior_batch": 16,
        "prior_batches": 3,
        "simulator_components": 6,
        "ridge_components": 8,
        "checkpoint_every": 1,
    }
    return train.TrainConfig(**settings | changes)


@pytest.fixture
def study(tmp_path, artifact):
    """Pictures of 5 latent numbers; brains that are noisy linear views of them."""
    rng = np.random.default_rng(0)
    n = N_TRAIN + N_VAL + N_TEST
    latent = rng.standard_normal((n, 5))
    names = [f"picture_{i:03d}" for i in range(n)]
    side = ["train"] * N_TRAIN + ["val"] * N_VAL + ["test"] * N_TEST

    folder = Folder(tmp_path / "embed", None)
    folder.save_table("stimuli.tsv", pd.DataFrame({"stimulus_id": names}))
    pooled = latent @ rng.standard_normal((5, 6))
    folder.save_array("pooled.npy", np.float32(pooled / np.linalg.norm(pooled, axis=1)[:, None]))
    kinds = np.where(latent[:, 0] > 0, "high", "low")
    folder.save_table("categories.tsv", pd.DataFrame({"stimulus_id": names, "category": kinds}))
    tokens = latent @ rng.standard_normal((5, 4 * 8)) + 3.0
    folder.save_array("tokens.npy", tokens.reshape(n, 4, 8).astype(np.float16))
    blurry = 1 / (1 + np.exp(-latent @ rng.standard_normal((5, 2 * 2 * 3))))
    folder.save_array("blurry.npy", blurry.reshape(n, 2, 2, 3).astype(np.float32))
    made = {"embed": artifact(tmp_path / "embed"), "preprocess": {}}

    trials = []
    align = {"scaling": {}, "channels": {}, "maps": {}}
    for subject, n_channels in SUBJECTS.items():
        shown = [i for i in range(n) for _ in range(2 if side[i] == "test" else 1)]
        table = pd.DataFrame(
            {
                "trial_id": [f"{subject}_{k:03d}" for k in range(len(shown))],
                "subject": subject,
                "session": "",
                "run": [f"{k % 4:02d}" for k in range(len(shown))],
                "stimulus_id": [names[i] for i in shown],
            }
        )
        trials.append(table.assign(split=[side[i] for i in shown]))
        signal = latent[shown] @ rng.standard_normal((5, n_channels))
        responses = signal + 0.5 * rng.standard_normal(signal.shape)
        folder = Folder(tmp_path / subject, None)
        folder.save_array("responses.npy", responses.astype(np.float32))
        folder.save_table("trials.tsv", table)
        nuisance = pd.DataFrame({"trial_id": table["trial_id"], "run": table["run"]})
        nuisance["order"] = np.arange(len(table)) / len(table)
        nuisance["moved"] = np.random.default_rng(1).standard_normal(len(table))
        folder.save_table("nuisance.tsv", nuisance.assign(unknown=np.nan))
        made["preprocess"][subject] = artifact(tmp_path / subject)
        align["scaling"] |= {f"{subject}/mean": np.zeros(n_channels)}
        align["scaling"] |= {f"{subject}/std": np.ones(n_channels)}
        align["channels"] |= {f"{subject}/shape": np.array([n_channels])}
        align["channels"] |= {subject: np.arange(n_channels)}
    Folder(tmp_path / "split", None).save_table("split.tsv", pd.concat(trials))
    folder = Folder(tmp_path / "align", None)
    for name, tensors in align.items():
        folder.save_tensors(f"{name}.safetensors", tensors)
    aligner = {"_target_": "neurodecode.align.identity.Identity"}
    scaling = {"_target_": "neurodecode.signal.scaling.Standard"}
    made_of = {"scaling": scaling, "aligner": aligner, "reference": None, "read": None}
    folder.save_json("aligner.json", made_of)
    return made | {"split": artifact(tmp_path / "split"), "align": artifact(tmp_path / "align")}


def run_train(study, tmp_path, artifact, settings, name="train"):
    work = tmp_path / f"{name}.work"
    work.mkdir(exist_ok=True)
    out = Folder(tmp_path / name, lambda: work)
    train.run(settings, View(train.run, study), out)
    return artifact(tmp_path / name)


def run_predict(study, trained, tmp_path, artifact, subject="sub-01", name="predict", **settings):
    view = View(predict.run, study | {"train": trained}, subject)
    predict.run(predict.PredictConfig(**settings), view, Folder(tmp_path / name, None))
    return tmp_path / name, view


@pytest.fixture
def with_code(study, tmp_path, artifact):
    """Settings with a prior that comes trained: right for Gaussian codes without any descent."""
    import torch

    from neurodecode.diffusion.latent_prior import LatentPrior, save
    from neurodecode.diffusion.token_code import fit_code

    tokens = np.load(study["embed"].folder / "tokens.npy").astype(np.float32)
    prior = LatentPrior(4, 8, 5, {"width": 8, "hidden": 8}, {"width": 8, "hidden": 8})
    prior.mean = torch.from_numpy(tokens.mean(axis=0))
    prior.std = torch.from_numpy(tokens.std(axis=0))
    flat = ((tokens - tokens.mean(axis=0)) / tokens.std(axis=0)).reshape(len(tokens), -1)
    prior.readout = torch.from_numpy(fit_code(flat, np.zeros((len(flat), 1)), 5))
    with torch.no_grad():
        back = np.linalg.lstsq(flat @ prior.readout.numpy(), flat, rcond=None)[0]
        prior.decoder.linear.weight.copy_(torch.from_numpy(back.T))
        prior.decoder.linear.bias.zero_()
    save(prior, tmp_path / "latent")
    node = {"_target_": "neurodecode.diffusion.latent_prior.pretrained"}
    return {"prior": node | {"path": str(tmp_path / "latent")}, "prior_training": None}


@pytest.fixture
def trained(study, tmp_path, artifact):
    return run_train(study, tmp_path, artifact, config())


def top1(folder, condition, study):
    """How often a row's embedding is nearest to its own picture's among the test pictures."""
    embed = study["embed"].folder
    names = pd.read_csv(embed / "stimuli.tsv", sep="\t")["stimulus_id"].tolist()
    rows = pd.read_csv(folder / "rows.tsv", sep="\t")["stimulus_id"]
    truth = np.load(embed / "pooled.npy")[[names.index(s) for s in rows]]
    said = np.load(folder / condition / "pooled.npy")
    return float(((said @ truth.T).argmax(axis=1) == np.arange(len(rows))).mean())


def test_train_writes_weights_ridge_config_and_history(trained):
    assert set(trained.files) >= {"weights.safetensors", "ridge.safetensors", "config.json"}
    history = pd.read_csv(trained.folder / "history.tsv", sep="\t")
    assert set(history["phase"]) == {"decoder", "prior"}
    assert set(history["split"]) == {"train", "val"}
    top1 = history[(history["name"] == "top1")].sort_values("epoch")["value"].to_numpy()
    assert top1[-1] > 1 / N_VAL


def test_model_and_ridge_find_pictures_and_controls_do_not(study, trained, tmp_path, artifact):
    folder, _ = run_predict(study, trained, tmp_path, artifact)
    scores = {c: top1(folder, c, study) for c, *_ in predict.CONDITIONS}
    assert scores["model"] >= 0.6 and scores["ridge"] >= 0.6 and scores["true_features"] == 1
    assert scores["shuffled"] <= 0.2 and scores["prior_only"] == 1 / N_TEST


def test_predict_keeps_its_contract(study, trained, tmp_path, artifact):
    folder, view = run_predict(study, trained, tmp_path, artifact, n_gallery=3, n_samples=4)
    rows = pd.read_csv(folder / "rows.tsv", sep="\t")
    assert list(rows.columns) == ["row_id", "stimulus_id", "n_repeats", "trial_ids"]
    assert rows["n_repeats"].tolist() == [2] * N_TEST
    for name, _, _, about in predict.CONDITIONS:
        samples = pd.read_csv(folder / name / "samples.tsv", sep="\t")
        expected = 3 * 4 + (N_TEST - 3) if name == "model" else N_TEST
        assert len(samples) == expected and about.endswith(".")
        assert np.load(folder / name / "tokens.npy").shape == (expected, 4, 8)
        pooled = np.load(folder / name / "pooled.npy")
        np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, rtol=1e-5)
        blurry = np.load(folder / name / "blurry.npy")
        assert blurry.shape == (N_TEST, 2, 2, 3) and 0 <= blurry.min() <= blurry.max() <= 1
    assert view.openings == [{"stage": "predict", "subject": "sub-01"}]


FLOW = {
    "_target_": "neurodecode.diffusion.flow_prior.FlowPrior",
    "width": 16,
    "depth": 1,
    "heads": 2,
    "linear_components": 6,
}
MEAN = {"_target_": "neurodecode.diffusion.mean_prior.MeanPrior", "linear_components": 6}
KINDS = {"dalle2": {}, "flow": {"prior": FLOW}, "mean": {"prior": MEAN, "prior_training": None}}


@pytest.mark.parametrize("prior", [*KINDS, "comes trained"])
def test_tokens_of_the_model_are_closer_to_the_truth_than_without_a_brain(
    study, with_code, tmp_path, artifact, prior
):
    trained = run_train(study, tmp_path, artifact, config(**KINDS.get(prior, with_code)))
    steps = {"eta": 0.0, "sampling_steps": None} if prior in ("flow", "mean") else {}
    how = {"n_samples": 1, "guidance": 1.0} | steps
    folder, _ = run_predict(study, trained, tmp_path, artifact, **how)
    truth = np.load(folder / "true_features" / "tokens.npy")
    error = {
        c: np.square(np.load(folder / c / "tokens.npy") - truth).mean()
        for c in ("model", "ridge", "shuffled", "prior_only")
    }
    assert max(error["model"], error["ridge"]) < 0.8 * min(error["shuffled"], error["prior_only"])
    assert abs(np.load(folder / "prior_only" / "tokens.npy").mean() - truth.mean()) < 1.0


def test_the_gallery_is_the_same_for_every_subject(study, trained, tmp_path, artifact):
    several = []
    for subject in SUBJECTS:
        folder, _ = run_predict(study, trained, tmp_path, artifact, subject, subject, n_gallery=3)
        samples = pd.read_csv(folder / "model" / "samples.tsv", sep="\t")
        several.append(set(samples.loc[samples["sample"] > 0, "row_id"]))
    assert several[0] == several[1] and len(several[0]) == 3


def test_every_option_of_predict_changes_what_it_says(study, trained, tmp_path, artifact):
    plain, _ = run_predict(study, trained, tmp_path, artifact, name="plain")
    options = {
        "averaging": "none",
        "n_gallery": 4,
        "n_samples": 2,
        "sampling_steps": None,
        "eta": 0.0,
        "guidance": 4.0,
        "seed": 1,
    }
    for option, value in options.items():
        other, _ = run_predict(study, trained, tmp_path, artifact, name=option, **{option: value})
        a, b = (np.load(f / "model" / "tokens.npy") for f in (plain, other))
        assert a.shape != b.shape or not np.array_equal(a, b), option


def test_single_trials_are_kept_apart_and_shuffled_across_stimuli(
    study, trained, tmp_path, artifact
):
    folder, _ = run_predict(study, trained, tmp_path, artifact, averaging="none")
    rows = pd.read_csv(folder / "rows.tsv", sep="\t")
    assert len(rows) == 2 * N_TEST and rows["row_id"].equals(rows["trial_ids"])
    other = controls.other_stimulus(rows["stimulus_id"], np.random.default_rng(0))
    assert sorted(other) == list(range(2 * N_TEST))
    assert (rows["stimulus_id"].to_numpy()[other] != rows["stimulus_id"].to_numpy()).all()


def test_shuffling_needs_enough_other_stimuli():
    with pytest.raises(ValueError, match="test more stimuli"):
        controls.other_stimulus(pd.Series(["a", "a", "b"]), np.random.default_rng(0))


def test_a_killed_training_continues_to_the_same_bytes(
    study, trained, tmp_path, artifact, monkeypatch
):
    from neurodecode.contrastive import loop

    whole, steps = loop.Run._descend, []

    def dies(self, total):
        steps.append(1)
        if len(steps) == 25:  # in the middle of an epoch of the decoder
            raise KeyboardInterrupt
        whole(self, total)

    monkeypatch.setattr(loop.Run, "_descend", dies)
    with pytest.raises(KeyboardInterrupt):
        run_train(study, tmp_path, artifact, config(), "again")
    monkeypatch.setattr(loop.Run, "_descend", whole)
    again = run_train(study, tmp_path, artifact, config(), "again")
    assert again.files == trained.files  # sha256 of every file


def test_a_prior_that_comes_trained_is_told_how_far_to_believe_each_decoder(
    study, with_code, tmp_path, artifact
):
    trained = run_train(study, tmp_path, artifact, config(**with_code))
    weights = load_file(trained.folder / "weights.safetensors")
    slopes = {k: a for k, a in weights.items() if k.endswith("/slope")}
    decoders = ("model", "ridge", "category_oracle", "nuisance_only")
    assert slopes.keys() == {f"calibration/{d}/{s}/slope" for d in decoders for s in SUBJECTS}
    knows = [a for k, a in slopes.items() if "nuisance_only" not in k]
    assert all((a > 0).any() for a in knows)
    ridge = load_file(trained.folder / "ridge.safetensors")
    assert "sub-01/code/mean" in ridge and "sub-01/tokens/mean" not in ridge
    history = pd.read_csv(trained.folder / "history.tsv", sep="\t")
    assert set(history["phase"]) == {"decoder"} and "code" in set(history["name"])


def test_a_prior_for_other_tokens_is_refused_before_anything_is_trained(
    study, with_code, tmp_path, artifact, monkeypatch
):
    monkeypatch.setattr(train, "baselines", lambda *a: pytest.fail("ridge was fitted"))
    settings = config(prior=with_code["prior"] | {"path": "shipped:prior"}, prior_training=None)
    with pytest.raises(ValueError, match="prior=dalle2"):
        run_train(study, tmp_path, artifact, settings)


def test_bytes_of_a_prior_that_comes_trained_count_in_the_key(with_code):
    folder = Path(with_code["prior"]["path"])
    assert train.run.external(config(**with_code)) == [folder]


def test_the_code_of_the_networks_counts_for_whoever_runs_them(trained, monkeypatch):
    made = json.loads((trained.folder / "config.json").read_text())
    assert set(made["code"]) == {"model", "prior"}
    monkeypatch.setattr(fingerprint, "fingerprint", lambda module: {module: "edited"})
    assert fingerprint.code_digest(made["model"]) != made["code"]["model"]


@pytest.mark.parametrize(
    "prior, training", [("dalle2", None), ("shipped", PLAN), ("flow", None), ("mean", PLAN)]
)
def test_a_prior_is_trained_exactly_once(
    study, with_code, tmp_path, artifact, monkeypatch, prior, training
):
    monkeypatch.setattr(train, "baselines", lambda *a: pytest.fail("ridge was fitted"))
    nodes = {"dalle2": PRIOR, "shipped": with_code["prior"], "flow": FLOW, "mean": MEAN}
    node = nodes[prior]
    with pytest.raises(ValueError, match="prior_training"):
        run_train(study, tmp_path, artifact, config(prior=node, prior_training=training))


def test_a_killed_training_of_a_flow_continues_to_the_same_bytes(
    study, tmp_path, artifact, monkeypatch
):
    from neurodecode.diffusion.flow_prior import FlowPrior

    settings = config(prior=FLOW)
    whole, loss, steps = run_train(study, tmp_path, artifact, settings), FlowPrior.loss, []

    def dies(self, *inputs):
        steps.append(1)
        if len(steps) == 8:  # in the middle of an epoch of the prior
            raise KeyboardInterrupt
        return loss(self, *inputs)

    monkeypatch.setattr(FlowPrior, "loss", dies)
    with pytest.raises(KeyboardInterrupt):
        run_train(study, tmp_path, artifact, settings, "again")
    monkeypatch.setattr(FlowPrior, "loss", loss)
    assert run_train(study, tmp_path, artifact, settings, "again").files == whole.files


def test_a_flow_is_told_how_far_to_believe_each_decoder(study, tmp_path, artifact):
    trained = run_train(study, tmp_path, artifact, config(prior=FLOW))
    weights = load_file(trained.folder / "weights.safetensors")
    slopes = {k for k in weights if k.endswith("/slope") and k.startswith("calibration/")}
    decoders = ("model", "ridge", "category_oracle", "nuisance_only")
    assert slopes == {f"calibration/{d}/{s}/slope" for d in decoders for s in SUBJECTS}


def test_a_study_without_validation_rows_is_refused(study, tmp_path, artifact):
    table = pd.read_csv(study["split"].path("split.tsv"), sep="\t", keep_default_na=False)
    table["split"] = table["split"].replace("val", "train")
    Folder(tmp_path / "no val", None).save_table("split.tsv", table)
    study = study | {"split": artifact(tmp_path / "no val")}
    with pytest.raises(ValueError, match="sub-01, sub-02: no validation rows.*val_fraction"):
        run_train(study, tmp_path, artifact, config())


@pytest.mark.parametrize(
    "changes", [{"batch": 0}, {"linear_start": 0.0}, {"linear_start": -1.0}, {"prior_batches": 0}]
)
def test_numbers_that_train_nothing_are_refused(changes):
    node = dataclasses.asdict(config()) | changes
    with pytest.raises(ValueError, match=f"train.{list(changes)[0]}: expected"):
        dataclass_from(node, train.TrainConfig, "train")


def test_a_seed_within_a_plan_is_refused_at_once():
    for name in ("decoder_training", "prior_training"):
        with pytest.raises(ValueError, match=f"{name}.seed"):
            config(**{name: PLAN | {"seed": 3}})


def test_how_often_states_are_saved_changes_no_byte(study, trained, tmp_path, artifact):
    rarely = run_train(study, tmp_path, artifact, config(checkpoint_every=100), "rarely")
    assert rarely.files == trained.files


def test_the_device_asked_for_is_the_one_used(study, trained, tmp_path, artifact):
    with pytest.raises(RuntimeError, match="toaster"):
        run_train(study, tmp_path, artifact, config(device="toaster"), "elsewhere")
    with pytest.raises(RuntimeError, match="toaster"):
        run_predict(study, trained, tmp_path, artifact, name="elsewhere too", device="toaster")


@pytest.mark.slow
def test_training_on_two_devices_is_that_on_one_up_to_rounding(study, tmp_path, artifact):
    """Two processes on the CPU, 60 trials in batches of 7 of each subject, mixed at first."""
    model = MODEL | {"input_dropout": 0.0, "dropout": 0.0}
    loss = {"_target_": "neurodecode.contrastive.losses.MindEyeLoss", "tau": 0.1}
    changes = {"model": model, "loss": loss | {"soft_start": 0.1, "soft_end": 0.2}, "batch": 7}
    made = [
        run_train(study, tmp_path, artifact, config(**changes, devices=n), f"on {n}")
        for n in (1, 2)
    ]
    one, two = (load_file(a.folder / "weights.safetensors") for a in made)
    assert one.keys() == two.keys()
    for name in (n for n in one if n.startswith("decoder/")):
        np.testing.assert_allclose(two[name], one[name], atol=2e-3 * np.abs(one[name]).max())
    told = [pd.read_csv(a.folder / "history.tsv", sep="\t") for a in made]
    first = [h[(h["phase"] == "decoder") & (h["split"] == "train")] for h in told]
    np.testing.assert_allclose(first[1]["value"], first[0]["value"], rtol=1e-4)
    assert made[0].files["ridge.safetensors"] == made[1].files["ridge.safetensors"]


def test_more_gpus_than_there_are_are_refused_before_anything_is_trained(
    study, tmp_path, artifact, monkeypatch
):
    monkeypatch.setattr(train, "baselines", lambda *a: pytest.fail("ridge was fitted"))
    with pytest.raises(ConfigError, match="train.devices: 99 GPUs asked for, . can be seen"):
        run_train(study, tmp_path, artifact, config(device="cuda", devices=99))


def test_rows_sampled_one_by_one_are_the_same(study, trained, tmp_path, artifact):
    made = [
        run_predict(study, trained, tmp_path, artifact, name=f"{n}", batch=n)[0] for n in (64, 1)
    ]
    tokens = [np.load(folder / "model" / "tokens.npy") for folder in made]
    np.testing.assert_allclose(*tokens, rtol=1e-3, atol=1e-3)


OPTIONS = {
    "model": MODEL | {"hidden": 16},
    "loss": LOSS | {"temperature": 0.5},
    "decoder_training": PLAN | {"learning_rate": 0.001},
    "batch": 4,
    "tokens_weight": 0.1,
    "blurry_weight": 0.1,
    "seed": 1,
    "prior_training": PLAN | {"n_epochs": 2},
    "prior": PRIOR | {"depth": 2},
    "prior_batch": 8,
    "prior_batches": 2,
    "simulator_components": 2,
    "least_noise": 0.1,
    "ridge_components": 2,
}


def test_the_weight_of_the_code_changes_what_is_trained(study, with_code, tmp_path, artifact):
    made = [
        run_train(study, tmp_path, artifact, config(**with_code, code_weight=w), f"{w}")
        for w in (3.0, 0.1)
    ]
    name = "weights.safetensors"
    assert made[0].files[name]["sha256"] != made[1].files[name]["sha256"]


def test_a_network_may_start_as_ridge(study, with_code, tmp_path, artifact):
    still = PLAN | {"n_epochs": 1, "learning_rate": 0.0}
    said = {}
    for start in (5.0, None):
        settings = config(**with_code, linear_start=start, decoder_training=still)
        trained = run_train(study, tmp_path, artifact, settings, f"{start}")
        weights = load_file(trained.folder / "weights.safetensors")
        made = json.loads((trained.folder / "config.json").read_text())
        decoder, prior = predict.networks(made, weights, "cpu")
        responses = study["preprocess"]["sub-01"].path("responses.npy")
        trial = np.load(responses)[:3]
        ridge = ridge_answers(load_file(trained.folder / "ridge.safetensors"))
        network = network_answers(decoder, prior.read)
        said[start] = [f(trial, "sub-01")["code"] for f in (ridge, network)]
    # its blocks are random and small at first: about ridge, not exactly
    alike = lambda pair: np.corrcoef(np.ravel(pair[0]), np.ravel(pair[1]))[0, 1]
    assert alike(said[5.0]) > 0.7 and alike(said[5.0]) > alike(said[None]) + 0.3


def test_network_and_ridge_say_the_code_together(study, with_code, tmp_path, artifact):
    weights = {}
    for together in (True, False):
        settings = config(**with_code, stacking=together)
        trained = run_train(study, tmp_path, artifact, settings, f"{together}")
        weights[together] = load_file(trained.folder / "weights.safetensors")
    assert "stacking/weights" not in weights[False]
    n_code = len(weights[False]["calibration/model/sub-01/slope"])
    assert weights[True]["stacking/weights"].shape == (2, n_code)
    of = lambda w, decoder: w[f"calibration/{decoder}/sub-01/slope"]
    assert not np.array_equal(of(weights[True], "model"), of(weights[False], "model"))
    assert np.array_equal(of(weights[True], "ridge"), of(weights[False], "ridge"))
    same = [k for k in weights[False] if k.startswith("decoder/")]
    assert all(np.array_equal(weights[True][k], weights[False][k]) for k in same)


def test_a_network_that_cannot_start_as_ridge_says_so():
    with pytest.raises(ValueError, match="linear_start=null"):
        train.start_at_ridge(object(), {}, [], None, 5.0)


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_train_changes_what_is_trained(study, trained, tmp_path, artifact, option):
    other = run_train(study, tmp_path, artifact, config(**{option: OPTIONS[option]}), option)
    names = ("weights.safetensors", "ridge.safetensors")
    assert any(other.files[n]["sha256"] != trained.files[n]["sha256"] for n in names)


def test_the_network_may_learn_from_the_mean_of_a_pictures_trials():
    responses = np.arange(12, dtype=np.float32).reshape(4, 3)
    trials = pd.DataFrame({"trial_id": list("wxyz"), "stimulus_id": ["b", "a", "b", "b"]})
    side = {"sub-01": (responses, trials)}
    of = lambda **options: train.repeats_averaged(side, config(**options).averaging)["sub-01"]
    means, rows = of(averaging="repeats")
    assert rows["stimulus_id"].tolist() == ["a", "b"]
    np.testing.assert_allclose(means, [responses[1], responses[[0, 2, 3]].mean(axis=0)])
    assert of()[0] is responses


def test_without_a_prior_the_decoders_own_tokens_are_handed_on(study, tmp_path, artifact):
    trained = run_train(study, tmp_path, artifact, config(prior=None))
    folder, _ = run_predict(study, trained, tmp_path, artifact, n_samples=2, n_gallery=1)
    tokens = np.load(folder / "prior_only" / "tokens.npy")
    np.testing.assert_array_equal(tokens, np.repeat(tokens[:1], N_TEST, axis=0))


def test_train_cannot_read_test_rows(study):
    with pytest.raises(SealedError):
        View(train.run, study).responses("sub-01", rows="test")


@pytest.mark.parametrize(
    "changes", [{"averaging": "mean"}, {"n_samples": 0}, {"batch": 0}, {"sampling_steps": 0}]
)
def test_predict_refuses_what_it_cannot_do(changes):
    with pytest.raises(ValueError, match=list(changes)[0]):
        dataclass_from(changes, predict.PredictConfig, "predict")


def test_yaml_lists_every_field():
    for name, made in (("train", train.TrainConfig), ("predict", predict.PredictConfig)):
        given = yaml.safe_load((conf_folder() / "stage" / f"{name}.yaml").read_text())
        assert list(given) == [f.name for f in dataclasses.fields(made)]


def test_under_permuted_labels_nothing_is_learnt_of_the_pictures(study, tmp_path, artifact):
    found = {}
    for draw in (None, *range(4)):
        trained = run_train(
            study, tmp_path, artifact, config(prior=None, permutation=draw), f"{draw}"
        )
        said, _ = run_predict(study, trained, tmp_path, artifact, name=f"said-{draw}")
        found[draw] = [top1(said, condition, study) for condition in ("model", "ridge")]
    real = found.pop(None)
    assert min(real) >= 0.6  # of ten pictures
    assert np.max(list(found.values())) < min(real)
    assert abs(np.mean(list(found.values())) - 0.1) < 0.15


def test_repeats_and_subjects_are_permuted_together():
    trials = lambda ids: (np.zeros((len(ids), 2)), pd.DataFrame({"stimulus_id": ids}))
    side = {"sub-01": trials(list("abcab")), "sub-02": trials(list("bcd"))}
    found = {s: t["stimulus_id"].tolist() for s, (_, t) in train.permuted(side, 3).items()}
    a, b, c, *again = found["sub-01"]
    assert again == [a, b] and found["sub-02"][:2] == [b, c]
    assert sorted({a, b, c, found["sub-02"][2]}) == list("abcd")
    assert found != {s: t["stimulus_id"].tolist() for s, (_, t) in train.permuted(side, 4).items()}


def test_embeddings_are_put_into_the_words_of_training_captions(study, tmp_path, artifact):
    folder = study["embed"].folder
    names = pd.read_csv(folder / "stimuli.tsv", sep="\t")["stimulus_id"]
    Folder(folder, None).save_array("text.npy", np.load(folder / "pooled.npy"))
    made = study | {"embed": artifact(folder)}
    trained = run_train(made, tmp_path, artifact, config())
    index = Folder(tmp_path / "index", None)
    captions = pd.DataFrame({"stimulus_id": names, "caption": [f"a {n}" for n in names]})
    index.save_table("stimuli.tsv", captions)
    made["index"] = artifact(tmp_path / "index")
    out, _ = run_predict(made, trained, tmp_path, artifact)
    said = pd.read_csv(out / "captions.tsv", sep="\t")
    assert set(said["condition"]) == {c for c, *_ in predict.CONDITIONS}
    assert (said.groupby("condition").size() == N_TEST).all()
    nearest = pd.read_csv(out / "nearest_captions.tsv", sep="\t")
    assert (nearest.groupby(["condition", "row_id"]).size() == 5).all()
    bank = {f"a {n}" for n in names[:N_TRAIN]}
    assert set(said["caption"]) <= bank, "a test picture's own caption is not in the bank"
    pooled = np.load(folder / "pooled.npy")
    best = (pooled[N_TRAIN + N_VAL :] @ pooled[:N_TRAIN].T).argmax(axis=1)
    true = said["caption"][said["condition"] == "true_features"].tolist()
    assert true == [f"a {names[k]}" for k in best]


def test_noise_has_the_mean_and_covariance_of_what_it_replaces():
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 5)) + 2
    drawn = np.concatenate([controls.matched_noise(responses, rng) for _ in range(20)])
    np.testing.assert_allclose(drawn.mean(axis=0), responses.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(responses.T), rtol=0.1, atol=0.1)


def test_within_a_category_nobody_keeps_its_own_and_those_alone_are_counted():
    rng = np.random.default_rng(0)
    stimuli = np.array(list("abcdefgh"))
    kinds = np.array(list("xxxyyyyz"))
    for _ in range(50):
        other, alone = controls.other_of_category(stimuli, kinds, rng)
        assert (other != np.arange(8)).all() and alone == 1
        assert (kinds[other[:7]] == kinds[:7]).all()


def test_nuisance_is_of_training_rows_and_what_is_missing_counts_as_the_mean(study, trained):
    told = json.loads((trained.folder / "controls.json").read_text())
    assert told["categories"] == ["high", "low"]
    assert told["nuisance"]["sub-01"]["columns"] == ["order", "moved"], "unknown has no values"
    again = controls.Told.again(View(predict.run, study | {"train": trained}, "sub-01"))
    trials = read_trials(study, "sub-01").head(4)
    features = again.read("nuisance_only", "sub-01", trials)
    assert features.shape == (4, 4) and np.isfinite(features).all()
    told = again.read("category_oracle", "sub-01", trials)
    assert (told.sum(axis=1) == 1).all()


def read_trials(study, subject):
    return pd.read_csv(study["preprocess"][subject].folder / "trials.tsv", sep="\t", dtype=str)


@pytest.fixture
def larger_than_memory(monkeypatch):
    """From the call on, every study is."""

    def now():
        for module in (align, reading):
            monkeypatch.setattr(module, "IN_MEMORY", 0)
        monkeypatch.setattr("neurodecode.contrastive.rows.IN_MEMORY", 0)
        monkeypatch.setattr("neurodecode.core.lazy.BLOCK", 4 * 30 * 7)

    return now


@pytest.mark.parametrize("kind", ["trained prior", "prior that comes trained", "no prior"])
def test_a_study_larger_than_memory_is_decoded_alike(
    study, tmp_path, artifact, larger_than_memory, request, kind
):
    if kind == "prior that comes trained":
        settings = config(**request.getfixturevalue("with_code"))
    else:
        settings = config() if kind == "trained prior" else config(prior=None, prior_training=None)
    plain = run_train(study, tmp_path, artifact, settings, "at_once")
    asked, _ = run_predict(study, plain, tmp_path, artifact, name="asked")
    larger_than_memory()
    lazily = run_train(study, tmp_path, artifact, settings, "in_blocks")
    for name in ("ridge", "controls", "weights"):
        held, found = (load_file(made.path(f"{name}.safetensors")) for made in (plain, lazily))
        assert held.keys() == found.keys()
        for part, array in held.items():
            tolerance = 1e-2 * max(np.abs(array).max(), 1e-3)
            np.testing.assert_allclose(found[part], array, atol=tolerance, err_msg=part)
        assert any((found[part] != array).any() for part, array in held.items())
    assert not list((tmp_path / "in_blocks.work").glob("ridge_*"))
    again, _ = run_predict(study, plain, tmp_path, artifact, name="again")
    for file in sorted(asked.rglob("pooled.npy")):
        there = np.load(again / file.relative_to(asked))
        np.testing.assert_allclose(there, np.load(file), atol=1e-5, err_msg=file)


def test_ridge_of_very_many_trials_is_fitted_from_sums(study, tmp_path, artifact, monkeypatch):
    settings = config(prior=None, prior_training=None)
    plain = run_train(study, tmp_path, artifact, settings, "at_once")
    monkeypatch.setattr(baselines, "MANY_TRIALS", N_TRAIN - 1)
    monkeypatch.delattr(baselines, "fit_at_once")
    found = load_file(
        run_train(study, tmp_path, artifact, settings, "sums").path("ridge.safetensors")
    )
    for part, array in load_file(plain.path("ridge.safetensors")).items():
        tolerance = 1e-3 * max(np.abs(array).max(), 1e-3)
        np.testing.assert_allclose(found[part], array, atol=tolerance)
