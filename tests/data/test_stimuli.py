import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode.data.recipe import Recipe
from neurodecode.data.stimuli import known_stimuli, load_pictures, name_stimuli, stimulus_table
from tests.data.small_study import PICTURES, write_study, write_tsv

TABLE = "stimuli/stimuli.tsv"


@pytest.fixture
def study(tmp_path):
    write_study(tmp_path, subjects=("sub-01",), n_runs=1)
    return tmp_path


def described(study, recipe, shown):
    shown, known = pd.Series(shown), known_stimuli(recipe, study)
    trials = pd.DataFrame({"stimulus_id": name_stimuli(shown, known, recipe, "events.tsv")})
    return stimulus_table(trials, shown, known, recipe, study, lambda path: f"sha of {path.name}")


def test_only_what_was_shown_is_described_once_each(study):
    stimuli = described(study, Recipe(), ["p03.png", "p01.png", "p03.png"])
    assert stimuli["stimulus_id"].tolist() == ["p01", "p03"]
    assert stimuli["path"].tolist() == ["stimuli/p01.png", "stimuli/p03.png"]
    assert stimuli["sha256"].tolist() == ["sha of p01.png", "sha of p03.png"]
    assert stimuli["partition"].tolist() == ["test", "train"] and "shape" in stimuli


def test_a_picture_may_be_named_by_its_id(study):
    assert described(study, Recipe(), ["p03"])["path"].tolist() == ["stimuli/p03.png"]


def test_without_a_table_a_picture_is_known_by_its_file(study):
    stimuli = described(study, Recipe(stimulus_table=""), ["p03.png", "p01.png"])
    assert stimuli["stimulus_id"].tolist() == ["p01", "p03"]
    assert stimuli["caption"].tolist() == ["", ""]


def test_a_category_is_its_own_stimulus_and_caption(study):
    stimuli = described(study, Recipe(label_column="trial_type"), ["face", "cat", "face"])
    assert stimuli["stimulus_id"].tolist() == stimuli["caption"].tolist() == ["cat", "face"]
    assert (stimuli["path"] == "").all()


def test_an_unknown_picture_is_named(study):
    with pytest.raises(ValueError, match="'p99.png'.*unknown to stimuli/stimuli.tsv"):
        described(study, Recipe(), ["p99.png"])
    with pytest.raises(FileNotFoundError, match="fetch their pictures apart"):
        described(study, Recipe(stimulus_table=""), ["p99.png"])


def test_a_faulty_table_is_refused(study):
    with pytest.raises(FileNotFoundError, match="recipe.stimulus_table"):
        known_stimuli(Recipe(stimulus_table="stimuli/other.tsv"), study)
    write_tsv(study / TABLE, {"stim_file": ["a.png", "b.png"], "stimulus_id": ["x", "x"]})
    with pytest.raises(ValueError, match="'x' twice"):
        known_stimuli(Recipe(), study)
    write_tsv(study / TABLE, {"stim_file": ["a.png"], "partition": ["validation"]})
    with pytest.raises(ValueError, match="train, test or empty"):
        known_stimuli(Recipe(), study)
    write_tsv(study / TABLE, {"file": ["a.png"]})
    with pytest.raises(ValueError, match="no column 'stim_file'"):
        known_stimuli(Recipe(), study)


def test_pictures_are_loaded_as_they_were_saved(study):
    pictures = load_pictures(study, [f"stimuli/{p}" for p in PICTURES[:3]])
    assert pictures.shape == (3, 8, 8, 3) and pictures.dtype == np.uint8
    assert (pictures[1] == np.asarray(Image.open(study / "stimuli" / PICTURES[1]))).all()


def test_grey_transparent_and_larger_pictures_come_to_one_size(study):
    Image.new("L", (20, 10), 90).save(study / "grey.png")
    Image.new("RGBA", (16, 16), (10, 20, 30, 255)).save(study / "alpha.png")
    with pytest.raises(ValueError, match="2 sizes"):
        load_pictures(study, ["grey.png", "alpha.png"])
    grey, alpha = load_pictures(study, ["grey.png", "alpha.png"], size=(8, 8))
    assert (grey == 90).all() and (alpha == [10, 20, 30]).all()


def test_a_picture_that_cannot_be_read_is_named(study):
    whole = (study / "stimuli/p00.png").read_bytes()
    (study / "cut.png").write_bytes(whole[: len(whole) // 2])
    (study / "text.png").write_text("not a picture")
    for name in ("cut.png", "text.png"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            load_pictures(study, [name])


def test_a_stim_file_may_be_counted_from_the_top_of_the_data_set(study):
    stimuli = described(study, Recipe(stimulus_table=""), ["stimuli/p03.png"])
    assert stimuli["path"].tolist() == ["stimuli/p03.png"]
