"""The scenes say what they show, show what they say, and no attribute hints at another."""

import hashlib
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from neurodecode.world.scenes import (
    ATTRIBUTES,
    CENTRE_PX,
    COLOURS,
    RADIUS_PX,
    caption,
    captions,
    render,
    sample_scenes,
)

PLAIN = {
    "shape": "disc",
    "colour": "red",
    "material": "matte",
    "size": "medium",
    "x": "centre",
    "y": "middle",
    "background": "tiles",
    "light": "above",
}


def scenes(**varied) -> pd.DataFrame:
    """A table of the plain scene with some attributes varied."""
    n = max((len(v) for v in varied.values() if not isinstance(v, str)), default=1)
    return pd.DataFrame({**{name: [value] * n for name, value in PLAIN.items()}, **varied})


def thing_mask(table: pd.DataFrame) -> np.ndarray:
    """Pixels that change when only the object's colour changes: (n, 64, 64) bool."""
    other = table.assign(colour=["blue" if c != "blue" else "red" for c in table["colour"]])
    return np.abs(render(table).astype(int) - render(other)).sum(axis=-1) > 60


def test_same_seed_gives_the_same_bytes_and_another_seed_other_ones():
    first = render(sample_scenes(20, np.random.default_rng(1)))
    assert np.array_equal(first, render(sample_scenes(20, np.random.default_rng(1))))
    assert not np.array_equal(first, render(sample_scenes(20, np.random.default_rng(2))))


def test_the_bytes_are_those_the_shipped_weights_were_trained_on():
    """A changed renderer makes the shipped weights wrong: retrain them, then renew this digest."""
    pictures = render(sample_scenes(256, np.random.default_rng(0)))
    assert hashlib.sha256(pictures.tobytes()).hexdigest()[:16] == "8c2244a5fc5f64ac"


def test_a_scene_looks_the_same_alone_and_among_others():
    table = sample_scenes(150, np.random.default_rng(3))
    together = render(table)
    assert np.array_equal(
        together[[0, 70, 149]], np.concatenate([render(table.iloc[[i]]) for i in (0, 70, 149)])
    )


@pytest.mark.parametrize("pair", list(itertools.combinations(ATTRIBUTES, 2)), ids="-".join)
def test_attributes_are_drawn_independently(pair):
    table = sample_scenes(4000, np.random.default_rng(4))
    counts = pd.crosstab(table[pair[0]], table[pair[1]])
    assert (
        chi2_contingency(counts).pvalue > 1e-4
    )  # 28 pairs: a false alarm in 0.3 % of seeds, this one is none


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_changes_the_picture_and_the_caption_by_itself(name):
    table = scenes(**{name: list(ATTRIBUTES[name])})
    pictures, words = render(table).astype(int), captions(table)
    assert len(set(words)) == len(ATTRIBUTES[name])
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).mean() > 0.5  # grey levels over the whole picture


@pytest.mark.parametrize("shape", ATTRIBUTES["shape"])
def test_the_object_lies_where_its_position_says(shape):
    rows = [(x, y) for x in ATTRIBUTES["x"] for y in ATTRIBUTES["y"]]
    table = scenes(shape=[shape] * 9, x=[x for x, _ in rows], y=[y for _, y in rows])
    for mask, (x, y) in zip(thing_mask(table), rows, strict=True):
        down, across = np.nonzero(mask)
        centre = (across.min() + across.max() + 1) / 2, (down.min() + down.max() + 1) / 2
        assert np.allclose(
            centre, (CENTRE_PX[x], CENTRE_PX[y]), atol=2.0
        )  # the triangle sits 1.2 px high


def test_size_orders_the_area_of_every_shape():
    for shape in ATTRIBUTES["shape"]:
        area = thing_mask(scenes(shape=[shape] * 3, size=list(ATTRIBUTES["size"]))).sum(axis=(1, 2))
        assert area[0] < area[1] < area[2]


def test_a_disc_has_the_area_of_its_radius():
    area = thing_mask(scenes(size=list(ATTRIBUTES["size"]))).sum(axis=(1, 2))
    expected = [np.pi * (0.95 * RADIUS_PX[size]) ** 2 for size in ATTRIBUTES["size"]]
    assert np.allclose(area, expected, rtol=0.12)  # partly covered edge pixels count as whole ones


def test_the_middle_of_a_matte_disc_has_its_colour():
    colours = list(ATTRIBUTES["colour"])
    middle = render(scenes(colour=colours))[:, 31:33, 31:33].mean(axis=(1, 2)) / 255
    assert np.allclose(middle, [COLOURS[c] for c in colours], atol=0.03)


def test_the_lit_side_is_brighter_and_the_shadow_falls_away_from_it():
    left, right = render(scenes(light=["left", "right"])).astype(float).mean(axis=-1)
    assert left[:, :16].mean() > left[:, -16:].mean() + 20
    assert np.allclose(left[:, ::-1].mean(), right.mean(), atol=1.0)
    beside = (slice(31, 36), slice(42, 45))  # just outside the disc, on its right
    assert left[beside].mean() < right[beside].mean() - 30


def test_edges_are_antialiased():
    row = render(scenes(light=["left"]))[0, 32, :, 0]
    assert len(np.unique(row[20:44])) > 6


def test_the_caption_reads_as_a_sentence():
    assert caption(PLAIN) == "a medium red matte disc in the middle on grey tiles, lit from above"
    assert caption({**PLAIN, "x": "left", "y": "top"}).split(" on ")[0].endswith("at the top left")


def test_captions_and_attribute_tuples_are_one_to_one():
    table = sample_scenes(3000, np.random.default_rng(5))
    tuples = set(table[list(ATTRIBUTES)].itertuples(index=False, name=None))
    assert len(set(captions(table))) == len(tuples)


def test_a_scene_without_jitter_is_painted_at_the_grid():
    table = scenes()
    still = table.assign(x_offset_px=0.0, y_offset_px=0.0, size_factor=1.0)
    assert np.array_equal(render(table), render(still))
    assert not np.array_equal(render(table), render(still.assign(x_offset_px=1.5)))


def test_no_scenes_make_no_pictures():
    assert render(sample_scenes(0, np.random.default_rng(0))).shape == (0, 64, 64, 3)


def test_an_unknown_value_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown colour.*mauve.*red"):
        render(scenes(colour=["mauve"]))
    with pytest.raises(ValueError, match="lack the attribute 'light'"):
        render(scenes().drop(columns="light"))


def test_a_wider_picture_shows_the_same_scene_in_more_detail():
    table = sample_scenes(60, np.random.default_rng(6))
    wide = render(table, 128)
    shrunk = wide.reshape(60, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    difference = np.abs(shrunk - render(table))
    assert difference.mean() < 1.0  # grey levels: only edges are finer
    assert (difference > 40).mean() < 0.001
    assert (wide[:, ::2] != wide[:, 1::2]).mean() > 0.2  # it is no enlargement


def test_edges_of_a_wide_picture_are_as_sharp_in_pixels():
    table = scenes(material=["matte"])
    blue = lambda px: render(table, px)[0, px // 2, :, 2].astype(int)  # the disc has little of it
    steepest = lambda px: np.abs(np.diff(blue(px))).max()
    assert steepest(128) > 0.7 * steepest(64)


def test_a_width_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match="width_px=100.*128"):
        render(scenes(), 100)
