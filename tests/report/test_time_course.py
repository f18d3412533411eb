"""The section on time says what the tables hold; topographies stand where sensors are."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.core.store import Artifact, describe
from neurodecode.report.time_course import curve_figure, generalisation_figure, sentence
from neurodecode.report.topography import topography
from tests.report.conftest import draw
from tests.report.study import _sensors, fabricate_epochs


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricate_epochs(tmp_path_factory.mktemp("epochs"))


@pytest.fixture(scope="module")
def out(study, tmp_path_factory):
    return draw(tmp_path_factory.mktemp("report") / "out", *study)


def text_of(folder):
    return " ".join((folder / "report.html").read_text(encoding="utf-8").split())


def test_the_section_says_when_decoding_is_above_chance_and_peaks(out):
    html = text_of(out)
    assert '<section id="time-course">' in html
    assert (
        "Decoding is above chance from 60 to 280 ms (cluster p .001) and peaks at 160 ms "
        "[148, 174], where .90 of choices are right (chance .50, n = 24). Before the onset it is "
        ".50 [.48, .52] (mean of 8 windows)." in html
    )
    assert "<td>160 [148, 174]</td>" in html and "<td>200 [188, 214]</td>" in html


def test_the_pooled_curve_comes_first(out):
    html = text_of(out)
    section = html[html.index('<section id="time-course">') :]
    assert section.index("all subjects") < section.index("sub-01") < section.index("sub-02")
    assert "peaks at 180 ms" in section


def test_figures_are_saved_beside_the_page(out):
    for name in ("curve", "generalisation"):
        for subject in ("all", "sub-01", "sub-02"):
            assert (out / "figures" / f"time_{name}_{subject}.png").stat().st_size > 5000


def test_sensors_make_topographies_and_no_slices(out):
    html = text_of(out)
    assert "The head from above" in html and "Axial slices" not in html
    for word in ("repeat_correlation", "pattern_at_160_ms"):
        assert (out / "figures" / f"head_sub-01_{word}.png").is_file()
    assert not list((out / "figures").glob("brain_*"))


def test_without_a_time_course_the_weights_of_all_times_are_drawn(study, tmp_path):
    artifacts = {name: a for name, a in study[0].items() if name != "timecourse"}
    out = draw(tmp_path / "out", artifacts, study[1])
    html = text_of(out)
    assert '<section id="time-course">' not in html
    assert (out / "figures" / "head_sub-02_ridge_weight_norm.png").is_file()


def test_weights_at_all_times_are_gathered_by_channel(study):
    from neurodecode.core.views import View
    from neurodecode.stages.report import _ridge_weights, run

    view = View(run, study[0], None, study[1])
    channels, weights = _ridge_weights(view, "sub-01")
    raw = view.tensors("train", "ridge.safetensors")["sub-01/weights"]
    per_channel = len(raw) // len(channels)
    assert weights.shape == (len(channels), per_channel * raw.shape[1])
    np.testing.assert_array_equal(weights[1, : raw.shape[1]], raw[per_channel])


def test_a_study_that_found_nothing_says_so(tmp_path):
    out = draw(tmp_path / "out", *fabricate_epochs(tmp_path / "study", found=False))
    html = text_of(out)
    assert "At no time is decoding beyond chance (smallest cluster p .41)." in html
    assert (out / "figures" / "head_sub-01_ridge_weight_norm.png").is_file()


def test_people_are_spoken_of_where_they_were_tested(study, tmp_path):
    folder = study[0]["timecourse"].folder
    clusters = pd.read_csv(folder / "clusters.tsv", sep="\t")
    people = clusters[clusters["subject"] == "all"].assign(over="subjects", n=7)
    moved = shutil.copytree(folder, tmp_path / "timecourse")
    pd.concat([clusters, people]).to_csv(moved / "clusters.tsv", sep="\t", index=False)
    manifest = study[0]["timecourse"].manifest | {"files": describe(moved)}
    artifacts = study[0] | {"timecourse": Artifact(moved, manifest)}
    html = text_of(draw(tmp_path / "out", artifacts, study[1]))
    assert "Tested over the 7 subjects instead of stimuli, decoding is above chance from 80" in html


def curve(times_s):
    value = 0.5 + 0.3 * np.exp(-(((times_s - 0.15) / 0.05) ** 2))
    lines = {"time_s": times_s, "value": value, "lo": value - 0.05, "hi": value + 0.05}
    table = pd.DataFrame(lines | {"chance": 0.5})
    return pd.concat([table.assign(condition=c) for c in ("ridge", "shuffled")])


def test_the_peak_and_its_clusters_are_marked_where_they_are():
    told = {"peak_s": 0.15, "peak_lo_s": 0.14, "peak_hi_s": 0.17, "peak_value": 0.8}
    clusters = pd.DataFrame({"start_s": [0.05], "end_s": [0.25]})
    (axes,) = curve_figure(curve(np.arange(-10, 40) / 100), clusters, told).axes
    assert {t.get_text(): t.xy[0] for t in axes.texts} == {"onset": 0, "150 ms": 150}
    bars = [line.get_segments()[0] for line in axes.collections if hasattr(line, "get_segments")]
    np.testing.assert_allclose([bars[0][0][0], bars[0][1][0]], [50, 250])
    np.testing.assert_allclose([bars[1][0][0], bars[1][1][0]], [140, 170])
    low, high = axes.get_ylim()
    assert low < 0.45 and high > 0.85


def test_generalisation_is_drawn_with_training_upwards_and_chance_in_the_middle():
    square = np.full((4, 4), 0.5)
    square[3, 0] = 0.9  # trained late, tested early
    figure = generalisation_figure(square, np.array([0.0, 0.1, 0.2, 0.3]), 0.5)
    image = figure.axes[0].images[0]
    assert image.origin == "lower" and image.get_extent() == [-50, 350, -50, 350]
    assert image.norm.vmin == pytest.approx(0.1) and image.norm.vmax == pytest.approx(0.9)
    assert figure.axes[0].get_ylabel() == "trained at, ms"


def test_one_sentence_names_every_cluster():
    told = {"peak_s": 0.15, "peak_lo_s": 0.14, "peak_hi_s": 0.17, "peak_value": 0.8,
            "before_onset": None}  # fmt: skip
    clusters = pd.DataFrame(
        {"start_s": [0.05, 0.3], "end_s": [0.2, 0.4], "p": [0.001, 0.03], "strong": [True, True]}
    )
    said = sentence(told, clusters, 50, 0.5)
    assert "from 50 to 200 and from 300 to 400 ms (cluster p .030)" in said
    assert "No window lies before the onset" in said


def test_a_topography_is_largest_where_the_value_is():
    sensors = _sensors()
    values = np.zeros(len(sensors))
    values[sensors["name"].isin(["O1", "O2", "Oz"])] = 1.0
    figure = topography(sensors, values, cmap="gray")
    image = figure.axes[0].images[0]
    field = np.ma.filled(image.get_array(), 0)  # first row is the back of the head
    back, front = field[: len(field) // 4], field[-len(field) // 4 :]
    assert back.max() > 0.5 > front.max()


def test_gradiometers_at_one_place_share_it_and_types_have_maps_of_their_own():
    rng = np.random.default_rng(0)
    places = rng.standard_normal((12, 3))
    places = 100 * places / np.linalg.norm(places, axis=1, keepdims=True)
    table = pd.DataFrame(np.vstack([places, places, places]), columns=["x_mm", "y_mm", "z_mm"])
    table["type"] = ["mag"] * 12 + ["grad"] * 24
    table["name"] = [f"MEG{i}" for i in range(36)]
    figure = topography(table, rng.random(36))
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in maps] == ["magnetometers", "gradiometers"]


def test_sensors_without_positions_are_not_drawn():
    sensors = _sensors().assign(x_mm=np.nan)
    assert topography(sensors, np.ones(len(sensors))) is None
    assert topography(_sensors().assign(type="ecog"), np.ones(len(sensors))) is None


def test_other_sensors_are_refused():
    with pytest.raises(ValueError, match="the sensors.tsv that preprocess wrote"):
        topography(_sensors(), np.ones(3))


def test_a_head_map_is_no_empty_picture(out):
    pixels = np.asarray(Image.open(out / "figures" / "head_sub-01_repeat_correlation.png"))
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 100
