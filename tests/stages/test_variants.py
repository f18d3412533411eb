"""Variants of the model's pictures: the same answers and noise without one part, and no truth."""

import json

import numpy as np
import pytest

from neurodecode.core.runner import run_stage
from neurodecode.core.seeds import child_seed
from neurodecode.core.views import read_table
from neurodecode.diffusion.merging import Pixelwise, enlarged, grey_levels
from neurodecode.stages import reconstruct
from tests.data.small_study import write_tsv

ROWS, SAMPLES, PX = ["r0", "r1", "r2", "r3"], [3, 1, 2, 1], 8
PAIRS = [(row, k) for row, n in zip(ROWS, SAMPLES, strict=True) for k in range(n)]
ALL = ["semantic_only", "structure_only", "merged", "low_level_only"]


class Painter:
    """Red is the first number of the tokens, green the start's brightness, blue the seed's."""

    token_shape, picture_px, reads = (None, 2), PX, ("tokens",)

    def generate(self, tokens, seeds, start=None, strength=1.0, batch=1):
        """One flat colour per row."""
        green = np.zeros(len(tokens)) if start is None else 200 * start.mean(axis=(1, 2, 3))
        colour = np.stack([tokens[:, 0, 0], green, [s % 251 for s in seeds]], axis=1)
        flat = np.broadcast_to(colour[:, None, None], (len(tokens), PX, PX, 3))
        return flat.astype(np.uint8)


class Eye:
    """Embeds a picture as its mean colour."""

    def pictures(self, pictures: np.ndarray) -> tuple:
        """Unit rows, and no tokens."""
        mean = pictures.mean(axis=(1, 2)) + 1e-9
        return mean / np.linalg.norm(mean, axis=1, keepdims=True), None


CONFIG = {
    "generator": {"_target_": f"{__name__}.Painter"},
    "target": {"_target_": f"{__name__}.Eye"},
    "seed": 5,
}


@pytest.fixture
def predicted(tmp_path, artifact):
    """``predicted(without=…)``: predict's artifact of one subject, but for some files."""

    def make(without=(), truth=0.0):
        folder, rng = tmp_path / "predict", np.random.default_rng(0)
        for name, n_samples in (("model", SAMPLES), ("prior_only", [1] * 4)):
            own = [(row, k) for row, n in zip(ROWS, n_samples, strict=True) for k in range(n)]
            tokens = rng.uniform(10, 200, (len(own), 3, 2)).astype(np.float32)
            pooled = rng.uniform(0, 1, (4, 3))
            parts = {
                "tokens": tokens,
                "pooled": pooled / np.linalg.norm(pooled, axis=1)[:, None],
                "blurry": rng.uniform(0, 1, (4, 4, 4, 3)).astype(np.float32),
            }
            (folder / name).mkdir(parents=True, exist_ok=True)
            for part, array in parts.items():
                if f"{name}/{part}" not in without:
                    np.save(folder / name / f"{part}.npy", array)
            columns = {"row_id": [r for r, _ in own], "sample": [k for _, k in own]}
            write_tsv(folder / name / "samples.tsv", columns)
        (folder / "true_features").mkdir(exist_ok=True)
        np.save(folder / "true_features/blurry.npy", np.full((4, 4, 4, 3), truth, np.float32))
        names = ["model", "prior_only", "true_features"]
        (folder / "conditions.json").write_text(json.dumps([{"name": n} for n in names]))
        return artifact(folder)

    return make


@pytest.fixture
def made(store, predicted):
    """``made(config, without=…)``: the artifact of sub-01."""

    def make(without=(), truth=0.0, **config):
        upstream = {"predict": {"sub-01": predicted(without, truth)}}
        return run_stage(reconstruct.run, CONFIG | config, upstream, store, each="sub-01")

    return make


def pictures(found, name):
    return np.load(found.path(f"{name}/pictures.npy"))


def named(found):
    return [v["name"] for v in json.loads(found.path("variants.json").read_text())]


def test_each_variant_lacks_one_part_and_keeps_all_else_of_the_chosen_sample(made, predicted):
    found = made()
    assert named(found) == ALL
    table = read_table(found.path("model/samples.tsv"))
    lines = np.flatnonzero(table["chosen"])
    full = pictures(found, "model")[lines]
    blurry = np.load(predicted().path("model/blurry.npy"))
    red, green, blue = np.moveaxis(full[:, 0, 0], 1, 0)
    assert blue.tolist() == [child_seed(5, "picture", *PAIRS[i]) % 251 for i in lines]
    no_start = pictures(found, "semantic_only")[:, 0, 0]
    assert no_start.tolist() == np.stack([red, 0 * green, blue], axis=1).tolist()
    no_brain = np.load(predicted().path("prior_only/tokens.npy"))[:, 0, 0].astype(np.uint8)
    no_content = pictures(found, "structure_only")[:, 0, 0]
    assert no_content.tolist() == np.stack([no_brain, green, blue], axis=1).tolist()
    assert np.array_equal(
        pictures(found, "low_level_only"), grey_levels(enlarged(blurry, (PX, PX)))
    )
    assert np.array_equal(pictures(found, "merged"), Pixelwise(0.25)(full, blurry))


def test_a_variants_rows_are_those_of_the_chosen_samples(made):
    found = made()
    table = read_table(found.path("model/samples.tsv"))
    expected = table[table["chosen"]][["row_id", "sample", "chosen"]].reset_index(drop=True)
    for name in ALL:
        assert read_table(found.path(f"{name}/samples.tsv")).equals(expected)


def test_the_merge_is_a_choice(made):
    node = {"_target_": "neurodecode.diffusion.merging.Pixelwise", "low_level": 1.0}
    found = made(merge=node)
    assert np.array_equal(pictures(found, "merged"), pictures(found, "low_level_only"))


def test_only_the_variants_asked_for_are_painted(made):
    found = made(variants=["merged"])
    assert named(found) == ["merged"]
    assert not any(name.startswith("semantic_only") for name in found.files)
    assert named(made(variants=[])) == []
    with pytest.raises(ValueError, match="variants names blue: there are semantic_only"):
        made(variants=["blue"])


def test_what_cannot_be_told_from_the_full_picture_is_left_out_or_refused_by_name(made):
    assert named(made(strength=1.0)) == ["merged", "low_level_only"]
    assert named(made(start_from=["ridge"])) == ["merged", "low_level_only"]
    with pytest.raises(ValueError, match="names structure_only: the full picture does not begin"):
        made(strength=1.0, variants=["structure_only"])


@pytest.mark.parametrize(
    ("without", "left"),
    [
        ("model/blurry", []),
        ("prior_only/tokens", ["semantic_only", "merged", "low_level_only"]),
    ],
)
def test_a_variant_is_left_out_where_what_it_needs_is_not_decoded(made, without, left):
    start = [] if without == "model/blurry" else ["model"]
    assert named(made(without=[without], start_from=start)) == left


def test_nothing_of_a_variant_depends_on_the_truth(made, store):
    one, other = made(truth=0.0), made(truth=1.0)
    assert one.folder != other.folder
    for name in ALL:
        assert np.array_equal(pictures(one, name), pictures(other, name))


def test_after_a_kill_within_a_variant_no_finished_batch_is_painted_again(made, monkeypatch):
    plain, sizes = Painter.generate, []

    def dies(self, tokens, seeds, **more):
        sizes.append(None if len(sizes) == 7 else len(tokens))
        if sizes[-1] is None:
            raise KeyboardInterrupt
        return plain(self, tokens, seeds, **more)

    monkeypatch.setattr(Painter, "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        made(batch=2)
    found = made(batch=2)
    # model 2 2 2 1, prior_only 2 2, semantic_only 2 (killed) 2, structure_only 2 2
    assert sizes == [2, 2, 2, 1, 2, 2, 2, None, 2, 2, 2]
    monkeypatch.setattr(Painter, "generate", plain)
    whole = made(batch=2, conditions=["prior_only"])  # by another key
    for name in ALL:
        assert np.array_equal(pictures(found, name), pictures(whole, name))
