"""`neurodecode plan`: from numbers and from a finished run, to a table and one sentence."""

import re

import numpy as np
import pandas as pd
import pytest

from neurodecode import cli
from neurodecode.core.sealed import write_json, write_sealed
from neurodecode.core.store import MANIFEST, describe
from neurodecode.core.views import Folder
from neurodecode.rigour.planning import People, Ranked, plan
from neurodecode.stages.plan import KEYS, make_plan

SUBJECTS = ("sub-01", "sub-02", "sub-03")
N = 80


def lines_of(text):
    """The numbers of the table: pictures, repeats, subjects, score, half width, power."""
    rows = [re.findall(r"[\d.]+", line) for line in text.splitlines() if "±" in line]
    return [list(map(float, row)) for row in rows if len(row) == 6]


@pytest.fixture
def run(tmp_path):
    """A finished run of three subjects, who find .4, .5 and .6 of 80 pictures."""
    rng, folder = np.random.default_rng(0), tmp_path / "run"
    made, trials = {}, []
    for subject, share in zip(SUBJECTS, (0.4, 0.5, 0.6), strict=True):
        out = Folder(tmp_path / "predict" / subject, None)
        names = [f"pic-{i:03d}" for i in range(N)]
        out.save_table("rows.tsv", pd.DataFrame({"row_id": names, "n_repeats": 2}))
        about = {"subject": subject, "row_id": names, "stimulus_id": names, "condition": "model"}
        hits = (rng.permutation(N) < share * N).astype(float)
        trials.append(pd.DataFrame(about | {"metric": "brain_to_image_top1", "value": hits}))
        trials.append(pd.DataFrame(about | {"metric": "cosine", "value": rng.normal(0.2, 1, N)}))
        made["predict", subject] = tmp_path / "predict" / subject
    out = Folder(tmp_path / "evaluate", None)
    out.save_table("per_trial.parquet", pd.concat(trials, ignore_index=True))
    scores = {"brain_to_image_top1": (80, 1 / 80), "cosine": (np.nan, 0.0)}
    lines = [
        {"subject": "all", "condition": "model", "metric": m, "set_size": size, "chance": chance}
        for m, (size, chance) in scores.items()
    ]
    out.save_table("metrics.tsv", pd.DataFrame(lines))
    quality = {subject: {"repeat_correlation": 0.1} for subject in SUBJECTS}
    out.save_json("figures.json", {"responses": quality})
    made["evaluate", None] = tmp_path / "evaluate"
    for place in made.values():
        write_sealed(place / MANIFEST, {"config": {}, "files": describe(place)})
    done = [{"stage": s, "each": e, "folder": str(place)} for (s, e), place in made.items()]
    folder.mkdir()
    write_json(folder / "run.json", {"status": "done", "done": done, "waiting": []})
    return folder


def test_numbers_alone_make_a_plan():
    (line,) = lines_of(make_plan(score=0.3, chance=0.01, stimuli=200, subjects=8))
    known = plan(Ranked(0.3, 1, 100), People(), 200, 1, 8)
    assert line == pytest.approx([round(v, 3) for k, v in known.items() if k != "chance"], abs=5e-3)


def test_a_goal_is_answered_by_one_sentence():
    text = make_plan(score=0.3, candidates=20, subjects=[2, 8], within=0.05, power=0.9)
    two, eight = lines_of(text)[:2]
    assert two[0] > eight[0] and max(two[4], eight[4]) <= 0.05
    assert text.splitlines()[-1].startswith("The least recording for an interval within ± 0.05 and")
    few = make_plan(
        score=0.3, candidates=20, subjects=3, subject_sd=0.2, population="both", within=0.02
    )
    assert "more pictures do not help" in few and "more subjects, or repeats" in few


def test_a_run_is_the_pilot(run):
    text = make_plan(run, stimuli=80, subjects=3, repeats=[2, 4])
    assert "brain_to_image_top1 of 80: 0.5 (chance 0.0125)" in text
    assert "of 2 repeats, single trials repeat with r = 0.1" in text
    same, more = lines_of(text)
    assert same[:4] == [80, 2, 3, 0.5] and more[3] > 0.6
    assert same[4] == pytest.approx(1.96 * np.sqrt(0.25 / (3 * 80)), rel=0.25)
    between = lines_of(make_plan(run, stimuli=8000, subjects=3, population="subjects"))
    assert [one[4] for one in between if one[1] == 2] == [
        pytest.approx(4.3 * 0.1 / 3**0.5, rel=0.3)
    ]


def test_any_metric_of_a_run_can_be_planned(run):
    (line,) = lines_of(make_plan(run, metric="cosine", stimuli=100, subjects=1))
    assert line[4] == pytest.approx(1.96 / 10, rel=0.15)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["scor=.3"], "scor: there is no such key; plan knows score"),
        (["subjects=8"], "say what score you hope for"),
        (["score=.3"], "candidates=100"),
        (["score=.3", "chance=.01", "subjects=x"], "expected a whole number, got 'x'"),
        (["score=.3", "chance=.01", "stimuli=0"], "expected 1 or more"),
        (["score=.3", "chance=.01", "within=2"], "more than 0 and less than 1"),
        (["score=.005", "chance=.01"], "above chance (0.01)"),
        (["score=.3", "metric=pixcorr"], "say its chance and sd too"),
        (["score=.3", "chance=.01", "population=all"], "one of stimuli, subjects, both"),
        (["nowhere"], "there is no folder nowhere"),
        (["one", "two"], "plan goes by one run"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(words, says, capsys):
    assert cli.main(["plan", *words]) == 2
    assert says in capsys.readouterr().err.splitlines()[0]


def test_a_metric_that_the_run_has_not_is_named(run, capsys):
    assert cli.main(["plan", str(run), "metric=median_rank"]) == 2
    assert "plan a mean" in capsys.readouterr().err
    assert cli.main(["plan", str(run), "metric=ssim"]) == 2
    assert "its metrics are brain_to_image_top1, cosine" in capsys.readouterr().err


def test_the_command_prints_the_plan_and_the_help_names_every_key(run, capsys):
    assert cli.main(["plan", str(run), "within=.05"]) == 0
    assert "The least recording" in capsys.readouterr().out
    assert all(key in cli.PLAN for key in KEYS)
