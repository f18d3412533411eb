"""A finished study, fabricated: every artifact that the report may draw, with made-up numbers."""

import json

import numpy as np
import pandas as pd

from neurodecode.core.store import Artifact, describe
from neurodecode.core.views import Folder

CONDITIONS = [
    {
        "name": "model",
        "kind": "model",
        "brain": True,
        "about": "The decoder on measured responses.",
    },
    {"name": "ridge", "kind": "baseline", "brain": True, "about": "Linear ridge regression."},
    {"name": "shuffled", "kind": "control", "brain": True, "about": "Responses to other pictures."},
    {"name": "prior_only", "kind": "control", "brain": False, "about": "No brain at all."},
    {"name": "true_features", "kind": "ceiling", "brain": False, "about": "The true embedding."},
]
SKILL = {"model": 0.8, "ridge": 0.74, "shuffled": 0.0, "prior_only": 0.0, "true_features": 1.0}
ATTRIBUTES = ("shape", "colour", "material", "size", "x", "y", "background", "light")
METRICS = [  # metric, space, set size, chance, best
    ("brain_to_image_top1", "embedding", 100, 0.01, 0.8),
    ("brain_to_image_top1", "embedding", 10, 0.1, 0.95),
    ("image_to_brain_top1", "embedding", 100, 0.01, 0.78),
    ("median_rank", "embedding", 100, 49.5, 1.0),
    ("two_way_embedding", "embedding", None, 0.5, 0.98),
    ("pixcorr", "picture", None, 0.02, 0.55),
    ("ssim", "picture", None, 0.31, 0.62),
    ("two_way_block2", "picture", None, 0.5, 0.93),
    ("attribute_mean", "picture", None, 0.29, 0.75),
    *[(f"attribute_{name}", "picture", None, 0.3, 0.8) for name in ATTRIBUTES],
]
COMPAT = [("two_way_embedding_compat", "embedding", None, 0.5, 0.97)]
MORE_CONDITIONS = [  # what an audited study has besides: controls by kind, a reference
    ("shuffled_within", "control", True, "Responses to others of its category.", 0.3),
    ("mean_brain", "control", True, "The mean training response.", 0.0),
    ("matched_noise", "control", True, "Noise of the responses' mean and covariance.", 0.0),
    ("nuisance_only", "control", False, "Ridge from motion and trial order.", 0.03),
    ("category_oracle", "reference", False, "The mean embedding of the true category.", 0.4),
]
WITHOUT_PICTURES = ("nuisance_only", "category_oracle")
SKILL |= {name: skill for name, *_, skill in MORE_CONDITIONS}
COMPARED = ("brain_to_image_top1", "median_rank", "attribute_mean", "pixcorr")


class Maker:
    """Writes artifacts below a folder as the stages would."""

    def __init__(self, root, seed=0, audited=False):
        self.root, self.rng = root, np.random.default_rng(seed)
        self.artifacts, self.records, self.conditions = {}, {}, list(CONDITIONS)
        if audited:
            keys = ("name", "kind", "brain", "about")
            more = [dict(zip(keys, c[:4], strict=True)) for c in MORE_CONDITIONS]
            self.conditions[4:4] = more

    def row_ids(self, subject, stimuli):
        return [f"{subject}_{s}" for s in stimuli]

    def folder(self, stage, each=None):
        path = self.root / stage / (each or "whole")
        path.mkdir(parents=True)
        return Folder(path, lambda: None), path

    def done(self, stage, path, config, each=None, opened=False):
        manifest = {
            "stage": stage,
            "each": each,
            "key": (stage + str(each)).encode().hex().ljust(64, "0")[:64],
            "config": config,
            "inputs": {},
            "hardware": {"device": "cpu", "threads": 2},
            "code": {},
            "commit": "0123456789ab",
            "versions": {"python": "3.11.2", "neurodecode": "0.1.0", "numpy": "2.4.6"},
            "files": describe(path),
        }
        artifact = Artifact(path, manifest)
        if each is None:
            self.artifacts[stage] = artifact
        else:
            self.artifacts.setdefault(stage, {})[each] = artifact
        openings = [{"stage": stage, "subject": each}] if opened else []
        record = {"seconds": 12.5, "peak_mib": 900, "host": "box", "test_openings": openings}
        self.records[stage, each] = record


def fabricate(
    root, n_subjects=2, n_test=24, n_gallery=6, n_samples=4, audited=False, pictures=None
):
    """Write a study; return ``artifacts, records`` as a View takes them.

    `audited` adds the artifacts of the stage audit, all controls, and a leak that was allowed;
    `pictures` (n_test, h, w, 3) stand in for rendered scenes.
    """
    from neurodecode.world.scenes import captions, render, sample_scenes

    make = Maker(root, audited=audited)
    subjects = [f"sub-{i + 1:02d}" for i in range(n_subjects)]
    scenes = sample_scenes(n_test, make.rng)
    pictures = render(scenes) if pictures is None else pictures
    stimuli = pd.DataFrame({"stimulus_id": [f"scene{i:04d}" for i in range(n_test)]})
    stimuli["path"] = [f"stimuli/{s}.png" for s in stimuli["stimulus_id"]]
    stimuli["caption"] = captions(scenes)
    stimuli["shape"] = [("ring", "star", "disc")[i % 3] for i in range(n_test)]
    _simulate(make, stimuli, pictures)
    _index(make, stimuli, subjects)
    _embed(make, stimuli)
    _split(make, audited)
    for i, subject in enumerate(subjects):
        _preprocess(make, subject, (8 + i, 9, 5))
    _align(make, subjects)
    _train(make, subjects)
    for subject in subjects:
        _predict(make, subject, stimuli, pictures, n_samples, n_gallery)
        _reconstruct(make, subject, stimuli, pictures, n_samples, n_gallery)
    _evaluate(make, subjects, n_test, audited)
    if audited:
        fabricate_audit(make, subjects, stimuli)
    return make.artifacts, make.records


def _simulate(make, stimuli, pictures):
    from PIL import Image

    out, path = make.folder("simulate")
    for name, picture in zip(stimuli["path"], pictures, strict=True):
        Image.fromarray(picture).save(out.path(f"bids/{name}"))
    make.done("simulate", path, {"study": {"n_subjects": 2, "snr": 0.4}, "seed": 0})


def _index(make, stimuli, subjects):
    out, path = make.folder("index")
    out.save_table("stimuli.tsv", stimuli)
    out.save_json("subjects.json", subjects)
    trials = pd.concat([stimuli[["stimulus_id"]].assign(subject=s) for s in subjects])
    trials["trial_id"] = [f"t{i}" for i in range(len(trials))]
    out.save_table("trials.tsv", trials)
    make.done("index", path, {"recipe": {"name": "world", "facts": ""}})


def _embed(make, stimuli):
    out, path = make.folder("embed")
    ids = [*stimuli["stimulus_id"], *(f"train{i:04d}" for i in range(60))]
    pooled = make.rng.normal(size=(len(ids), 32)).astype(np.float32)
    out.save_table("stimuli.tsv", pd.DataFrame({"stimulus_id": ids}))
    out.save_array("pooled.npy", pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    target = {"_target_": "neurodecode.contrastive.targets.OpenClipTarget", "model": "/nets/clip"}
    make.done("embed", path, {"target": target})


def _split(make, leaky=False):
    out, path = make.folder("split")
    rule = {"_target_": "neurodecode.rigour.splits.StimulusSplit", "val_fraction": 0.1}
    counts = {
        "sub-01": {
            "train": {"trials": 1200, "stimuli": 1100},
            "test": {"trials": 300, "stimuli": 100},
        }
    }
    shared = {"stimuli": 0, "runs": 0}
    out.save_json(
        "split.json", {"hash": "a1b2c3d4" * 8, "rule": rule, "counts": counts, "shared": shared}
    )
    pair = ["scene0001", "scene0099"]
    finding = {"kind": "near-duplicates", "n": 1, "sides": ["train", "test"], "examples": [pair]}
    finding["words"] = "1 test picture is a near-duplicate of a training picture"
    leaks = {"checked": {"pairs of pictures": 2400}, "findings": [finding] if leaky else []}
    leaks["allowed"] = ["near-duplicates"] if leaky else []
    out.save_json("leaks.json", leaks)
    make.done("split", path, {"rule": rule, "seed": 0})


def _preprocess(make, subject, shape):
    import nibabel

    out, path = make.folder("preprocess", subject)
    mask = np.zeros(shape, np.uint8)
    mask[1:-1, 1:-1, 1:-1] = 1
    nibabel.save(
        nibabel.Nifti1Image(mask, np.diag([3.0, 3.0, 3.0, 1.0])), out.path("space/mask.nii.gz")
    )
    out.save_array("responses.npy", np.zeros((4, int(mask.sum())), np.float32))
    quality = {
        "n_channels": int(mask.sum()),
        "n_trials": 1500,
        "repeat_correlation": 0.21,
        "tsnr": 61.0,
    }
    out.save_json("qc.json", quality)
    make.done("preprocess", path, {"hrf": "glover", "high_pass_hz": 0.01}, subject)


def _align(make, subjects):
    out, path = make.folder("align")
    channels = {}
    for subject in subjects:
        n = json.loads((make.root / "preprocess" / subject / "qc.json").read_text())["n_channels"]
        channels[subject] = np.arange(0, n, 2)
        channels[f"{subject}/reliability"] = make.rng.normal(0.2, 0.1, n).astype(np.float32)
    out.save_tensors("channels.safetensors", channels)
    out.save_tensors("scaling.safetensors", {f"{s}/mean": np.zeros(1) for s in subjects})
    state = {
        f"{s}/{k}": v
        for s in subjects[1:]
        for k, v in _turned(make, len(channels[s]), len(channels[subjects[0]])).items()
    }
    out.save_tensors("maps.safetensors", state)
    aligner = {"_target_": "neurodecode.align.procrustes.Procrustes"}
    scaling = {"_target_": "neurodecode.signal.scaling.Standard"}
    nodes = {"scaling": scaling, "aligner": aligner, "reference": subjects[0], "read": None}
    out.save_json("aligner.json", nodes)
    rows = [
        {
            "subject": s,
            "aligner": "Procrustes",
            "score": 0.31,
            "identity": 0.02,
            "gain": 0.29,
            "n": 120,
            "on": "val",
        }
        for s in subjects
    ]
    out.save_table("alignment.tsv", pd.DataFrame(rows))
    make.done(
        "align",
        path,
        {"aligner": {"_target_": "neurodecode.align.procrustes.Procrustes"}, "seed": 0},
    )


def _turned(make, n, n_reference):
    from neurodecode.align.procrustes import Procrustes

    return Procrustes().fit(make.rng.normal(size=(50, n)), make.rng.normal(size=(50, n_reference)))


def _train(make, subjects):
    out, path = make.folder("train")
    rows = []
    for phase, n, start in (("decoder", 30, 4.8), ("prior", 20, 0.9)):
        for split, gap in (("train", 0.0), ("val", 0.15)):
            for epoch in range(1, n + 1):
                value = start * (np.exp(-epoch / 8) * (1 - gap) + gap) + make.rng.normal(0, 0.01)
                rows.append(
                    {
                        "phase": phase,
                        "epoch": epoch,
                        "step": 20 * epoch,
                        "split": split,
                        "name": "total",
                        "value": value,
                    }
                )
    out.save_table("history.tsv", pd.DataFrame(rows))
    out.save_json("config.json", {})
    width = len(np.load(make.root / "preprocess" / subjects[0] / "responses.npy")[0][::2])
    ridge = {f"{s}/weights": make.rng.normal(size=(width, 5)).astype(np.float32) for s in subjects}
    out.save_tensors("ridge.safetensors", ridge)
    make.done("train", path, {"plan": {"n_epochs": 30}, "seed": 0})


def _predict(make, subject, stimuli, pictures, n_samples, n_gallery):
    out, path = make.folder("predict", subject)
    ids = stimuli["stimulus_id"]
    rows = pd.DataFrame({"row_id": make.row_ids(subject, ids), "stimulus_id": ids, "n_repeats": 3})
    out.save_table("rows.tsv", rows)
    out.save_json("conditions.json", make.conditions)
    n, edge = len(pictures), pictures.shape[1] // 16
    small = pictures.reshape(n, 16, edge, 16, edge, 3).mean(axis=(2, 4)) / 255
    pooled = np.load(make.root / "embed" / "whole" / "pooled.npy")[: len(pictures)]
    out.save_array("model/pooled.npy", pooled + make.rng.normal(0, 0.3, pooled.shape))
    for condition in make.conditions:
        out.save_array(f"{condition['name']}/blurry.npy", small.astype(np.float32))
    make.done("predict", path, {"average_repeats": True, "seed": 0}, subject, opened=True)


def _reconstruct(make, subject, stimuli, pictures, n_samples, n_gallery):
    out, path = make.folder("reconstruct", subject)
    n = len(pictures)
    drawn = [c["name"] for c in make.conditions if c["name"] not in WITHOUT_PICTURES]
    for condition, skill in ((name, SKILL[name]) for name in drawn):
        many = condition == "model"
        order = [
            i
            for i in range(n)
            for _ in range(n_samples if many and i % (n // n_gallery) == 0 else 1)
        ]
        right = make.rng.random(len(order)) < skill
        shown = np.where(right, order, make.rng.integers(0, n, len(order)))
        noise = make.rng.normal(0, 12, (len(order), 1, 1, 3))
        out.save_array(
            f"{condition}/pictures.npy", np.clip(pictures[shown] + noise, 0, 255).astype(np.uint8)
        )
        samples = pd.DataFrame(
            {"row_id": make.row_ids(subject, stimuli["stimulus_id"].iloc[order])}
        )
        samples["sample"] = samples.groupby("row_id").cumcount()
        samples["chosen"] = (
            samples["sample"] == samples.groupby("row_id")["sample"].transform("max") // 2
        )
        samples["evidence"] = make.rng.random(len(samples))
        out.save_table(f"{condition}/samples.tsv", samples)
    policy = "highest cosine of the re-embedded picture with the brain-predicted embedding"
    out.save_json("selection.json", {"policy": policy, "uses_truth": False})
    make.done("reconstruct", path, {"n_samples": n_samples, "seed": 0}, subject)


def _evaluate(make, subjects, n_test, audited=False):
    out, path = make.folder("evaluate")
    rows = [
        _score(make, subject, condition, *metric, n_test)
        for subject in [*subjects, "all"]
        for condition in make.conditions
        for metric in METRICS + (COMPAT if audited else [])
        if not (condition["name"] == "true_features" and metric[1] == "embedding")
        if not (condition["name"] in WITHOUT_PICTURES and metric[1] == "picture")
    ]
    metrics = pd.DataFrame(rows).astype({"set_size": "Int64"})
    if audited:
        judged = metrics["kind"].isin(["model", "baseline"])
        metrics["p_max"] = (metrics["p"] * 4).where(judged)
        metrics["q"] = (metrics["p"] * 1.5).where(judged)
        missing = [
            ("alexnet2_two_way, alexnet2_two_way_compat, alexnet5_two_way", "weights missing"),
            ("clip_two_way", "weights missing: name metric.clip.path"),
            ("meteor", "WordNet missing (LookupError: no wordnet on disk): get it"),
        ]
        out.save_table("not_computed.tsv", pd.DataFrame(missing, columns=["metric", "reason"]))
    out.save_table("metrics.tsv", metrics)
    out.save_table("comparisons.tsv", pd.DataFrame(_comparisons(subjects, n_test)))
    trials = [
        {
            "subject": s,
            "row_id": f"{s}_scene{i:04d}",
            "stimulus_id": f"scene{i:04d}",
            "condition": "model",
            "metric": m,
            "value": v,
        }
        for m in ("pixcorr", "attribute_mean")
        for s in subjects
        for i, v in enumerate(make.rng.random(n_test))
    ]
    out.save_table("per_trial.parquet", pd.DataFrame(trials))
    out.save_json(
        "reader.json", {a: {"accuracy": 0.98, "majority": 0.3, "n": n_test} for a in ATTRIBUTES}
    )
    make.done("evaluate", path, {"n_bootstrap": 1000, "seed": 0}, opened=True)


def _score(make, subject, condition, metric, space, size, chance, best, n):
    skill = SKILL.get(condition["name"], 0.5)
    value = chance + skill * (best - chance) + make.rng.normal(0, 0.01)
    p = 0.0005 if skill else 0.4
    return {
        "subject": subject,
        "condition": condition["name"],
        "kind": condition["kind"],
        "metric": metric,
        "space": space,
        "set_size": size,
        "value": value,
        "lo": value - 0.05,
        "hi": value + 0.05,
        "n": n,
        "chance": chance,
        "p": p,
        "ceiling": np.nan,
        "better": "lower" if metric.endswith("rank") else "higher",
    }


def _comparisons(subjects, n):
    rows = []
    for subject in [*subjects, "all"]:
        for metric in COMPARED:
            for b, difference in (("shuffled", 0.55), ("prior_only", 0.52), ("ridge", 0.02)):
                sign = -3 if b == "ridge" and metric == "pixcorr" else 1
                sign = -50 if metric == "median_rank" else sign
                middle = sign * difference
                rows.append(
                    {
                        "subject": subject,
                        "metric": metric,
                        "a": "model",
                        "b": b,
                        "difference": middle,
                        "lo": middle - 0.03,
                        "hi": middle + 0.03,
                        "n": n,
                        "p": 0.0005 if abs(middle) > 0.03 else 0.2,
                    }
                )
    return rows


def fabricate_audit(make, subjects, stimuli, level="within-category"):
    """Write the artifact of the stage audit, for the test rows of every subject."""
    out, path = make.folder("audit")
    out.save_json("verdict.json", _verdict(subjects, len(stimuli), level))
    ids, names = list(stimuli["stimulus_id"]), [*subjects, "all"]
    row_ids = {s: make.row_ids(s, ids) for s in subjects}
    out.save_table("attributable.tsv", _attributable(make, names, len(ids)))
    n_dims = (0, 1, 2, 4, 8, 16, 32, 64, np.inf)  # the last: the whole brain, not a number
    curves = [
        (s, decoder, m, d if np.isfinite(d) else np.nan, v, v - 0.04, v + 0.04, len(ids), chance)
        for s in names
        for decoder, best in (("model", 0.95), ("ridge", 0.93))
        for m, chance in (("correlation", 0.0), ("two_way", 0.5), ("top1", 1 / len(ids)))
        for d in n_dims
        for v in [chance + (best - chance) * min(1, np.log2(d + 1) / np.log2(13))]
    ]
    columns = "subject decoder metric n_dims value lo hi n chance".split()
    out.save_table("bottleneck.tsv", pd.DataFrame(curves, columns=columns))
    knee = {"knee": 12.1, "lo": 9.4, "hi": 15.2, "full": 0.95, "metric": "correlation"}
    knees = {d: knee for d in ("model", "ridge")}
    out.save_json("bottleneck.json", {s: knees for s in names})
    recovered = [(s, c, axis, 0.04, r, 0.31, r > 0.31)
                 for s in subjects for c in ("model", "ridge") for axis in range(1, 26)
                 for r in [0.8 * (axis <= (18 if c == "model" else 12))]]  # fmt: skip
    columns = "subject condition axis share correlation threshold recovered".split()
    out.save_table("recovery.tsv", pd.DataFrame(recovered, columns=columns))
    ranks = [(s, c, 1100, 512, 60.2, 21.5, 0.31, 0.02, c == "ridge")
             for s in subjects for c in ("model", "ridge")]  # fmt: skip
    columns = "subject condition n_train dim rank_truth rank_predicted out_of_span_truth"
    columns = [*columns.split(), "out_of_span_predicted", "collapsed"]
    out.save_table("collapse.tsv", pd.DataFrame(ranks, columns=columns))
    kinds = [("all", "response", 1), ("all", "response", 3), ("early", "response", 3),
             ("high", "response", 3), ("model", "decoding", 1), ("model", "decoding", 3),
             ("model", "noise-free", np.inf)]  # fmt: skip
    ceilings = [(s, *about, "ratio of sums", 0.42, 0.36, 0.49, len(ids))
                for s in subjects for about in kinds]  # fmt: skip
    columns = "subject roi kind n_repeats estimator value lo hi n".split()
    out.save_table("ceilings.tsv", pd.DataFrame(ceilings, columns=columns))
    sets = [(s, q, 100, len(ids), len(ids), q + 0.01, q - 0.03, q + 0.05, 1 / (1.02 - q))
            for s in names for q in (0.5, 0.8, 0.9, 0.95)]  # fmt: skip
    columns = "subject level n_cal n n_candidates coverage lo hi mean_size".split()
    out.save_table("conformal.tsv", pd.DataFrame(sets, columns=columns))
    rows = pd.concat(_audited_rows(make, s, row_ids[s], stimuli) for s in subjects)
    out.save_table("rows.parquet", rows)
    make.done("audit", path, {"alpha": 0.05, "level": 0.9, "seed": 0}, opened=True)


def _verdict(subjects, n, level):
    tests = [
        {"name": "above chance", "value": 0.98, "lo": 0.95, "hi": 1.0, "p": 0.0005},
        {"name": "beyond low-level features", "value": 0.71, "lo": 0.64, "hi": 0.78, "p": 0.0005},
        {"name": "within category", "value": 0.83, "lo": 0.77, "hi": 0.9, "p": 0.0005},
    ]
    tests = [t | {"n": n, "chance": 0.5} for t in tests]
    reasons = ["It tells pictures of one category apart: .83 [.77, .90], chance .50, p < .001."]
    one = {"level": level, "reasons": reasons, "tests": tests}
    lower = one | {"level": "category", "reasons": ["No picture of a category is told apart."]}
    levels = {s: one if i == 0 else lower for i, s in enumerate(subjects)}
    return {"category": "shape", "subjects": levels | {"all": one}}


def _attributable(make, names, n):
    rows = [
        (s, m, space, size, v, v - 0.05, v + 0.05, n, 0.8, 0.1, 1.0)
        for s in names
        for m, space, size, v in (
            ("two_way_embedding", "embedding", None, 0.81),
            ("pixcorr", "picture", None, 0.78),
            ("ssim", "picture", None, np.nan),
        )
    ]
    columns = "subject metric space set_size value lo hi n model prior_only ceiling".split()
    return pd.DataFrame(rows, columns=columns).astype({"set_size": "Int64"})


def _audited_rows(make, subject, row_ids, stimuli):
    n = len(row_ids)
    size = make.rng.integers(1, 9, n)
    rows = pd.DataFrame({"row_id": row_ids, "stimulus_id": list(stimuli["stimulus_id"])})
    rows.insert(0, "subject", subject)
    rows["category"] = list(stimuli["shape"])
    rows["rank"], rows["n_candidates"] = make.rng.integers(0, 9, n), n
    rows["set_size"], rows["in_set"] = size, rows["rank"] < size
    rows["p_prior"] = make.rng.random(n)
    return rows.assign(abstain=rows["p_prior"] > 0.8)


def fabricate_surface(root):
    """Write a study of one subject whose channels are vertices of fsaverage5, in two regions."""
    from nilearn.datasets import load_fsaverage

    make = Maker(root)
    stimuli = pd.DataFrame({"stimulus_id": [f"scene{i:04d}" for i in range(24)]})
    _index(make, stimuli.assign(path="", caption=""), ["sub-01"])
    _split(make)
    parts = load_fsaverage("fsaverage5")["inflated"].parts
    front_mm = np.concatenate([parts[name].coordinates[:, 1] for name in ("left", "right")])
    n = len(front_mm)
    behind = front_mm < np.quantile(front_mm, 0.4)
    out, path = make.folder("preprocess", "sub-01")
    out.save_json("space/surface.json", {"space": "fsaverage5"})
    where = pd.DataFrame({"hemisphere": np.repeat(["L", "R"], n // 2)})
    out.save_table("space/vertices.tsv", where.assign(vertex=[*range(n // 2)] * 2))
    rois = pd.DataFrame({"channel": range(n), "roi": np.where(behind, "behind", "front")})
    out.save_table("space/rois.tsv", rois)
    out.save_json("qc.json", {"n_channels": n, "channels": "vertices", "n_trials": 1500})
    make.done("preprocess", path, {"hrf": "glover"}, "sub-01")
    out, path = make.folder("align")
    reliability = np.exp(-(((front_mm + 100) / 60) ** 2)).astype(np.float32)
    used = np.flatnonzero(behind)
    channels = {"sub-01": used, "sub-01/reliability": reliability}
    out.save_tensors("channels.safetensors", channels)
    for name in ("maps", "scaling"):
        out.save_tensors(f"{name}.safetensors", {})
    out.save_json("aligner.json", IDENTITY)
    make.done("align", path, {"aligner": IDENTITY["aligner"], "seed": 0})
    out, path = make.folder("train")
    weights = reliability[used, None] * np.ones((1, 4), np.float32)
    out.save_tensors("ridge.safetensors", {"sub-01/weights": weights})
    make.done("train", path, {"seed": 0})
    _evaluate(make, ["sub-01"], 24)
    return make.artifacts, make.records


TIMES_S = np.round(np.arange(-0.2, 0.6, 0.02), 3)


def fabricate_epochs(root, n_subjects=2, peaks_s=(0.16, 0.2), found=True):
    """Write a study of EEG: sensors instead of a mask, responses with times, a time course."""
    make = Maker(root)
    subjects = [f"sub-{i + 1:02d}" for i in range(n_subjects)]
    stimuli = pd.DataFrame({"stimulus_id": [f"scene{i:04d}" for i in range(24)]})
    _index(make, stimuli.assign(path="", caption=""), subjects)
    _split(make)
    sensors = _sensors()
    channels, ridge = {}, {}
    for subject in subjects:
        out, path = make.folder("preprocess", subject)
        out.save_table("space/sensors.tsv", sensors)
        out.save_array("space/times_s.npy", TIMES_S)
        out.save_json("qc.json", {"n_channels": len(sensors), "n_trials": 1500})
        make.done("preprocess", path, {"high_pass_hz": 0.1}, subject)
        behind = np.exp(-((sensors["y_mm"].fillna(0) + 80) ** 2) / 3000).to_numpy()
        channels[subject] = np.arange(0, len(sensors), 2)
        channels[f"{subject}/reliability"] = (0.2 * behind).astype(np.float32)
        n_rows = len(channels[subject]) * len(TIMES_S)
        ridge[f"{subject}/weights"] = make.rng.normal(size=(n_rows, 5)).astype(np.float32)
    out, path = make.folder("align")
    out.save_tensors("channels.safetensors", channels)
    for name in ("maps", "scaling"):
        out.save_tensors(f"{name}.safetensors", {})
    out.save_json("aligner.json", IDENTITY)
    make.done("align", path, {"aligner": IDENTITY["aligner"], "seed": 0})
    out, path = make.folder("train")
    out.save_tensors("ridge.safetensors", ridge)
    make.done("train", path, {"seed": 0})
    _evaluate(make, subjects, 24)
    _timecourse(make, subjects, peaks_s, found, channels)
    return make.artifacts, make.records


IDENTITY = {
    "read": None,
    "aligner": {"_target_": "neurodecode.align.identity.Identity"},
    "scaling": {"_target_": "neurodecode.signal.scaling.Standard"},
    "reference": "sub-01",
}


CAP = """Fp1 Fpz Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8
POz O1 Oz O2""".split()


def _sensors():
    """Thirty electrodes; one of them without a position."""
    import mne

    montage = mne.channels.make_standard_montage("colin27_1020")
    places = 1000 * np.array([montage.get_positions()["ch_pos"][n] for n in CAP])
    places[7] = np.nan
    table = pd.DataFrame(places, columns=["x_mm", "y_mm", "z_mm"])
    return table.assign(name=CAP, type="eeg", unit="uV")


def _timecourse(make, subjects, peaks_s, found, channels):
    out, path = make.folder("timecourse")
    peaks = dict(zip([*subjects, "all"], [*peaks_s, np.mean(peaks_s)], strict=True))
    course = {s: found * 0.4 * np.exp(-(((TIMES_S - p) / 0.07) ** 2)) for s, p in peaks.items()}
    curve, told, clusters = [], {}, []
    for subject, peak_s in peaks.items():
        for name, gain in (("ridge", 1.0), ("shuffled", 0.0)):
            value = 0.5 + gain * course[subject] + make.rng.normal(0, 0.012, len(TIMES_S))
            lines = {"time_s": TIMES_S, "value": value, "lo": value - 0.05, "hi": value + 0.05}
            curve.append(pd.DataFrame(lines).assign(subject=subject, condition=name))
        told[subject] = dict.fromkeys(PEAK) | {
            "before_onset": {"value": 0.503, "lo": 0.48, "hi": 0.521},
            "n_before_onset": 8,
        }
        clusters.append((subject, "stimuli", 24, -0.06, -0.04, 3.1, 0.41))
        if found:
            values = (peak_s, peak_s - 0.012, peak_s + 0.014, 0.9, peak_s - 0.1, peak_s + 0.12)
            told[subject] |= dict(zip(PEAK, values, strict=True))
            clusters.append((subject, "stimuli", 24, peak_s - 0.1, peak_s + 0.12, 61.4, 0.001))
        square = 0.5 + found * 0.4 * np.outer(course[subject], course[subject]) / 0.16
        out.save_array(f"{subject}/generalisation.npy", square[::2, ::2])
        if subject != "all":
            pattern = np.outer(course[subject], channels[f"{subject}/reliability"])
            out.save_array(f"{subject}/pattern.npy", pattern.astype(np.float32))
    out.save_array("times_s.npy", TIMES_S)
    out.save_array("generalisation_times_s.npy", TIMES_S[::2])
    out.save_table("curve.tsv", pd.concat(curve).assign(chance=0.5, n=24))
    names = ["subject", "over", "n", "start_s", "end_s", "mass", "p"]
    out.save_table("clusters.tsv", pd.DataFrame(clusters, columns=names))
    how = {"window_s": 0.05, "step_s": 0.02, "level": 0.95, "chance": 0.5, "significant_p": 0.05}
    out.save_json("timecourse.json", how | {"subjects": told})
    make.done("timecourse", path, {"window_s": 0.05, "seed": 0}, opened=True)


PEAK = ("peak_s", "peak_lo_s", "peak_hi_s", "peak_value", "onset_s", "offset_s")
CLASSES = ("bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe")
CATEGORY_CONDITIONS = [
    {"name": "model", "kind": "model", "brain": True, "about": "Text ridge."},
    {"name": "lda", "kind": "baseline", "brain": True, "about": "Shrinkage LDA."},
    {"name": "random_vectors", "kind": "control", "brain": True, "about": "Random targets."},
    {"name": "nuisance", "kind": "control", "brain": False, "about": "Head motion."},
]


def fabricate_categories(root, n_runs=6):
    """Write a study of categories without a picture per trial: one subject, scored by run."""
    make = Maker(root)
    stimuli = pd.DataFrame({"stimulus_id": CLASSES, "path": "", "caption": CLASSES})
    _index(make, stimuli, ["sub-01"])
    _split(make)
    _preprocess(make, "sub-01", (12, 9, 3))
    _crossvalidate(make, n_runs)
    return make.artifacts, make.records


def _crossvalidate(make, n_runs):
    out, path = make.folder("crossvalidate")
    n = n_runs * len(CLASSES)
    out.save_json("conditions.json", CATEGORY_CONDITIONS)
    out.save_table("classes.tsv", pd.DataFrame({"stimulus_id": CLASSES}))
    skills = {"model": 0.75, "lda": 0.73, "random_vectors": 0.6, "nuisance": 0.02}
    rows = [
        _score(make, subject, c, metric, "embedding", size, chance, best, n)
        | {"value": chance + skills[c["name"]] * (best - chance), "better": better}
        for subject in ("sub-01", "all")
        for c in CATEGORY_CONDITIONS
        for metric, size, chance, best, better in (
            ("accuracy", 8, 0.125, 1.0, "higher"),
            ("rank", 8, 3.5, 0.0, "lower"),
            ("zero_shot", 2, 0.5, 0.9, "higher"),
        )
    ]
    frame = pd.DataFrame(rows)
    frame[["lo", "hi"]] = frame[["value"]].to_numpy() + [[-0.05, 0.05]]
    out.save_table("metrics.tsv", frame)
    compared = [
        {
            "subject": s,
            "metric": "accuracy",
            "a": "model",
            "b": b,
            "difference": d,
            "n": n,
            "p": 0.2,
        }
        | {"lo": d - 0.06, "hi": d + 0.06}
        for s in ("sub-01", "all")
        for b, d in (("lda", 0.02), ("random_vectors", 0.13), ("nuisance", 0.6))
    ]
    out.save_table("comparisons.tsv", pd.DataFrame(compared))
    truth = list(CLASSES) * n_runs
    rankings = [_ranking(make, name) for name in truth]
    folds = pd.DataFrame({"subject": "sub-01", "true": truth, "ranking": map(",".join, rankings)})
    folds["row_id"] = [f"block{i}" for i in range(n)]
    folds["fold"] = np.repeat([f"run-{i + 1:02d}" for i in range(n_runs)], len(CLASSES))
    out.save_table("folds.tsv", folds)
    counts = np.zeros((len(CLASSES), len(CLASSES)), int)
    for name, ranking in zip(truth, rankings, strict=True):
        counts[CLASSES.index(name), CLASSES.index(ranking[0])] += 1
    out.save_array("confusion.npy", counts)
    make.done("crossvalidate", path, {"n_permutations": 100, "seed": 0}, opened=True)


def _ranking(make, name):
    others = [c for c in make.rng.permutation(CLASSES) if c != name]
    place = 0 if make.rng.random() < 0.75 else 1
    return [*others[:place], name, *others[place:]]
