"""A run among its permutations: p-values, and what may not be compared."""

import pandas as pd
import pytest

from neurodecode import cli
from neurodecode.core.errors import UserError
from neurodecode.stages.permutations import permutation_report
from tests.data.made_runs import make_run


def made(tmp_path, name, draw, **more):
    folder = tmp_path / name
    train = {"permutation": draw, "batch": more.pop("batch", 8)}
    return make_run(folder, store=tmp_path / f"store_{name}", train=train, **more)


def test_p_is_the_place_of_the_run_among_its_permutations(tmp_path):
    runs = [made(tmp_path, "real", None, model=0.5)]
    runs += [made(tmp_path, f"p{k}", k, model=0.02 + 0.001 * k) for k in range(19)]
    table, place = permutation_report(runs)
    model = table[(table["condition"] == "model") & (table["subject"] == "all")].iloc[0]
    assert model["p"] == pytest.approx(1 / 20) and model["n_permutations"] == 19
    assert model["null_mean"] == pytest.approx(0.02 + 0.009)
    assert place == runs[0] / "permutations.tsv" and place.is_file()
    assert set(table["condition"]) == {"model", "ridge"}  # controls have no labels to lose


def test_the_command_prints_the_models_scores(tmp_path, capsys):
    runs = [made(tmp_path, "real", None), *(made(tmp_path, f"p{k}", k, model=0.02) for k in (1, 2))]
    out = ["--out", str(tmp_path / "out")]
    assert cli.main(["report", "--permutations", *map(str, runs), *out]) == 0
    told = capsys.readouterr().out
    assert "brain_to_image_top1 of 50: 0.500, permuted 0.020 (SD 0.000, 2 runs), p = 0.333" in told
    assert (tmp_path / "out" / "permutations.tsv").is_file()


def test_scores_without_a_set_of_candidates_are_judged_too(tmp_path):
    runs = [made(tmp_path, "real", None), made(tmp_path, "p1", 1, model=0.02)]
    for run in runs:
        path = run / "metrics.tsv"
        table = pd.read_csv(path, sep="\t")
        other = table.assign(metric="two_way", set_size=float("nan"))
        pd.concat([table, other]).to_csv(path, sep="\t", index=False, na_rep="n/a")
    table, _ = permutation_report(runs)
    assert table.groupby("metric").size().to_dict() == {"brain_to_image_top1": 6, "two_way": 6}
    assert table.loc[table["metric"] == "two_way", "set_size"].isna().all()


def test_runs_that_differ_by_more_are_refused(tmp_path):
    real, drawn = made(tmp_path, "real", None), made(tmp_path, "p1", 1, batch=16)
    with pytest.raises(UserError, match=r"in train.batch \(8 and 16\)"):
        permutation_report([real, drawn])
    other = made(tmp_path, "p2", 2, split="t" * 64)
    with pytest.raises(UserError, match="in the test set"):
        permutation_report([real, other])


def test_one_run_and_its_permutations_are_needed(tmp_path):
    real, again = made(tmp_path, "real", None), made(tmp_path, "again", None, seed=1)
    for runs in ([real], [real, again]):
        with pytest.raises(UserError, match="expected one finished run and others"):
            permutation_report(runs)
