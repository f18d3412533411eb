"""Apply: what was never told comes out as in the pipeline, whole or not at all."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurodecode import cli
from neurodecode.api.apply import agreement, apply, derivatives_like
from neurodecode.api.model import with_own
from neurodecode.core.errors import UserError
from neurodecode.core.views import read_table
from tests.api import small_run
from tests.api.small_run import PICTURES, TEST_RUN


def decoded(folder):
    """The table of an applied model, and its embeddings."""
    return read_table(folder / "decoded.tsv"), np.load(folder / "embeddings.npy")


@pytest.fixture
def new(small, tmp_path):
    """A copy of the new recordings, to be spoilt."""
    return shutil.copytree(small.new, tmp_path / "new")


def test_trials_without_their_pictures_are_decoded_as_by_predict(small, tmp_path):
    made = small_run.run_study(
        small.folder, predict={"averaging": "none", "n_gallery": 12, "n_samples": 2}
    )
    small_run.run_study(small.folder)  # the folder stays that of the first configuration
    table, pooled = decoded(apply(small.run, tmp_path / "out", data=str(small.new)))
    for subject in small_run.SUBJECTS:
        predict = made["predict"][subject]
        rows = small_run.table_of(predict, "rows.tsv")
        mine = table["subject"] == subject
        assert table.loc[mine, "row_id"].tolist() == rows["row_id"].tolist()
        expected = np.load(predict.path("model/pooled.npy"))
        np.testing.assert_allclose(pooled[mine], expected, atol=1e-6)


def test_averages_by_a_column_and_their_pictures_are_those_of_the_pipeline(
    small, expected, tmp_path
):
    out = apply(small.run, tmp_path / "out", data=str(small.new), average="item", samples=2)
    table, pooled = decoded(out)
    mine = table["subject"] == "sub-01"
    rows = expected("predict", "rows.tsv")
    assert table.loc[mine, "row_id"].tolist() == rows["row_id"].tolist()
    assert table.loc[mine, "trial_ids"].tolist() == rows["trial_ids"].tolist()
    np.testing.assert_allclose(pooled[mine], expected("predict", "model/pooled.npy"), atol=1e-6)
    samples = expected("reconstruct", "model/samples.tsv")
    assert samples.groupby("row_id").size().eq(2).all()
    chosen = expected("reconstruct", "model/pictures.npy")[samples["chosen"]]
    for name, picture in zip(table.loc[mine, "picture"], chosen, strict=True):
        assert np.array_equal(np.asarray(Image.open(out / name)), picture)
    assert table["agreement"].between(-1, 1).all()


def test_the_planted_pictures_are_found_with_high_confidence(small, tmp_path):
    table, _ = decoded(apply(small.run, tmp_path / "out", data=str(small.new), average="item"))
    assert (table["top_1"] == table["row_id"]).mean() > 0.8
    assert table["confidence"].between(1 / 12, 1).all()
    similarities = table[[f"similarity_{k}" for k in range(1, 6)]].to_numpy()
    assert (np.diff(similarities, axis=1) <= 0).all()
    judged = json.loads((tmp_path / "out" / "calibration.json").read_text())["sub-01"]
    assert judged["n"] == 12 and 0 < judged["temperature"] < 1 and judged["brier"] < 0.25


def test_every_option_changes_what_is_written(small, tmp_path):
    go = lambda name, **said: decoded(
        apply(small.run, tmp_path / name, data=str(small.new), **said)
    )
    plain = go("plain", samples=1)[0]
    assert len(plain) == 24 and plain["agreement"].isna().all()
    assert set(go("one", samples=1, subjects=["sub-02"])[0]["subject"]) == {"sub-02"}
    assert go("run", samples=1, runs=[TEST_RUN])[0].equals(plain)
    assert "top_3" not in go("two", samples=1, top=2)[0]
    many = go("many", samples=3)[0]
    assert many["agreement"].notna().all()
    assert go("jobs", samples=3, n_jobs=2, device="cpu")[0].equals(many)
    found = go("folder", samples=1, candidates=str(small.new / "stimuli"))[0]
    assert found["top_1"].equals(plain["top_1"])
    html = (tmp_path / "plain" / "decoded.html").read_text()
    shutil.rmtree(tmp_path / "plain")
    go("plain", samples=1, study=str(tmp_path / "elsewhere"))
    assert len((tmp_path / "plain" / "decoded.html").read_text()) < len(html)  # no pictures there


def test_candidates_may_be_the_training_or_the_test_stimuli(small, tmp_path):
    for wanted in ("train", "test"):
        table, _ = decoded(
            apply(small.run, tmp_path / wanted, data=str(small.new), candidates=wanted, samples=1)
        )
        assert set(table["top_1"]) <= {name[:3] for name in PICTURES}


def test_events_that_name_pictures_can_be_averaged_by_them(small, tmp_path):
    told = small_run.write_study(tmp_path / "told", runs=2, column="stim_file")
    table, _ = decoded(
        apply(small.run, tmp_path / "out", data=str(told), average="stimulus_id", samples=1)
    )
    assert table["n_trials"].eq(2).all() and set(table["row_id"]) == set(PICTURES)
    assert table["run"].eq("run-6,run-7").all()


def test_the_page_is_one_file_that_shows_every_row(small, tmp_path):
    out = apply(small.run, tmp_path / "out", data=str(small.new), average="item")
    html = (out / "decoded.html").read_text()
    assert html.count('class="chosen"') == 24 and html.count("data:image/png") == 24 * (2 + 5)
    assert "http" not in html and "cross-fitting" in html


def test_folders_are_numbered_where_none_is_named(small):
    folders = [apply(small.run, data=str(small.new), samples=1) for _ in range(2)]
    assert [f.name for f in folders] == ["applied-1", "applied-2"]
    assert all(f.parent == small.run for f in folders)
    for folder in folders:
        shutil.rmtree(folder)


def test_without_validation_rows_nothing_is_called_calibrated(small, tmp_path, monkeypatch):
    from neurodecode.core.views import View

    real = View.responses

    def none(self, subject, rows="train"):
        responses, trials = real(self, subject, rows)
        return responses[:0], trials.iloc[:0]

    monkeypatch.setattr(View, "responses", none)
    out = apply(small.run, tmp_path / "out", data=str(small.new), samples=1)
    assert decoded(out)[0]["confidence"].isna().all()
    assert "not calibrated" in (out / "decoded.html").read_text()


def spoil_subject(new):
    (new / "sub-01").rename(new / "sub-09")


def spoil_channels(new):
    for path in new.glob("sub-01/*.npy"):
        np.save(path, np.load(path)[:, :-1])


def spoil_names(new):
    (new / "sub-01" / "names.txt").write_text(" ".join(f"E{i}" for i in (0, 1, 2, 9, 4, 5, 6, 7)))


def spoil_unit(new):
    for path in new.glob("sub-01/*.npy"):
        np.save(path, np.load(path) * 1e6)


def spoil_item(new):
    path = new / "sub-01" / f"{TEST_RUN}.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[3, "item"] = ""
    table.to_csv(path, sep="\t", index=False)


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (spoil_subject, [], "sub-09 is unknown to the model, which was trained on sub-01, sub-02"),
        (spoil_subject, [], "name those to decode, subjects=[…]"),
        (spoil_channels, [], "have 7 × 5 sensors, the model reads 8 × 5: use the same mask"),
        (spoil_names, [], "1 sensors are others (E9 for E3) than in the run"),
        (spoil_unit, [], "where both should be around 1: give them in the run's unit"),
        (spoil_item, ["average=item"], "1 of 12 trials have no value in that column"),
        (None, ["average=picture"], "no such column; choose one of"),
        (None, ["runs=[run-1]"], "run-1 not recorded; there are run-7"),
        (None, ["runs=run-1"], "runs: expected a list such as [run-1]"),
        (None, ["candidates=/nowhere"], "there is no folder /nowhere of pictures"),
        (None, ["data=/nowhere"], "data=/nowhere is not a folder"),
        (None, ["top=0"], "top is 0"),
        (None, ["device=tpu"], "device is 'tpu'"),
        (None, ["averge=item"], "did you mean average"),
        (None, ["average"], "expected key=value"),
        (None, ["runs=[a"], "cannot be read as YAML"),
    ],
)
def test_a_mistake_gives_one_message_and_leaves_nothing(
    small, new, tmp_path, capsys, spoil, options, message
):
    if spoil:
        spoil(new)
    out = tmp_path / "out"
    given = ["apply", str(small.run), f"data={new}", f"out={out}", "threads=1", *options]
    assert cli.main(given) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new"]


def test_a_folder_with_something_in_it_is_not_written_to(small, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="is there already and not empty"):
        apply(small.run, tmp_path / "out", data=str(small.new))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_the_command_tells_where_the_page_lies(small, tmp_path, capsys):
    given = [str(small.run), f"data={small.new}", f"out={tmp_path / 'out'}", "samples=1"]
    assert cli.main(["apply", *given, "subjects=[sub-01]", "threads=1"]) == 0
    assert f"decoded: {tmp_path / 'out' / 'decoded.html'}" in capsys.readouterr().out


def test_derivatives_of_the_old_recordings_are_never_taken_for_the_new_ones():
    like = lambda **recipe: derivatives_like({"root": "/data/old", **recipe})
    assert like() == like(derivatives="") == ""
    assert like(derivatives="derivatives/fmriprep") == "derivatives/fmriprep"
    assert like(derivatives="/data/old/derivatives/fmriprep") == "derivatives/fmriprep"
    with pytest.raises(UserError, match="read its derivatives from /prep: say where"):
        like(derivatives="/prep")


def test_recordings_must_be_named(small):
    with pytest.raises(UserError, match="data=FOLDER"):
        apply(small.run)


def test_agreement_is_the_mean_cosine_of_pairs():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
    unit = small_run.Eye().pictures(pictures)[0].astype(float)
    samples = pd.DataFrame({"row_id": ["a", "a", "a", "b", "c"]})
    found = agreement(small_run.Eye(), pictures, samples)
    pairs = [unit[i] @ unit[j] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found[0] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert np.isnan(found[1:]).all()


def test_a_rows_own_picture_takes_part_whether_it_is_a_candidate_or_not():
    candidates = np.eye(4)[:3]
    own = np.eye(4)[[1, 3]]
    similarity, column = with_own(own, candidates, own)
    assert column.tolist() == [1, 3]
    assert similarity.tolist() == [[0, 1, 0, -np.inf], [0, 0, 0, 1]]
