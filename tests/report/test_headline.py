"""The verdict says what the comparisons say, also when that is bad news."""

import pandas as pd
import pytest

from neurodecode.report.headline import headline, with_wins

KINDS = {"model": "model", "ridge": "baseline", "shuffled": "control", "prior_only": "control"}


class Scores:
    """A view of a study that has comparisons only: {(subject, b): (difference, lo, hi)}."""

    def __init__(self, differences, better="higher"):
        about = {"metric": "pixcorr", "n": 50, "set_size": float("nan"), "better": better}
        rows = [
            about | {"subject": s, "a": "model", "b": b, "difference": d, "lo": lo, "hi": hi}
            for (s, b), (d, lo, hi) in differences.items()
        ]
        value = {"value": 0.4, "lo": 0.3, "hi": 0.5, "chance": 0.0, "p": 0.001}
        scores = [
            about | value | {"subject": "all", "condition": name, "kind": kind}
            for name, kind in KINDS.items()
        ]
        self.tables = {"comparisons.tsv": pd.DataFrame(rows), "metrics.tsv": pd.DataFrame(scores)}

    json = None  # it has no documents

    def has(self, stage):
        return stage == "evaluate"

    def members(self, stage):
        return []

    def table(self, stage, name, each=None):
        return self.tables[name].copy()


AHEAD, BEHIND, LEVEL = (0.3, 0.2, 0.4), (-0.3, -0.4, -0.2), (0.02, -0.01, 0.05)


def study(shuffled=AHEAD, prior_only=AHEAD, ridge=LEVEL, better="higher"):
    differences = {("all", "ridge"): ridge}
    for subject in ("sub-01", "sub-02"):
        differences |= {(subject, "shuffled"): shuffled, (subject, "ridge"): ridge}
    differences |= {("sub-01", "prior_only"): prior_only, ("sub-02", "prior_only"): AHEAD}
    return Scores(differences, better)


def test_success_is_told_with_the_ridge_difference():
    verdict = headline(study())["sentence"]
    assert verdict == (
        "In 2 of 2 subjects the decoder beats shuffled brain and prior only (no brain); "
        "against ridge no difference can be told: +.02 [−.01, .05]."
    )


def test_where_ridge_wins_the_headline_says_so():
    rivals = headline(study(ridge=BEHIND))["rivals"]
    assert rivals == ["Ridge wins against the decoder: −.30 [−.40, −.20]."]


def test_a_control_that_is_not_beaten_everywhere_is_counted_apart():
    lead = headline(study(prior_only=LEVEL))["lead"]
    assert "shuffled brain in 2 of 2 subjects" in lead
    assert "prior only (no brain) in 1 of 2 subjects" in lead


def test_a_decoder_that_reads_nothing_beats_nobody():
    lead = headline(study(shuffled=LEVEL, prior_only=LEVEL))["lead"]
    assert "shuffled brain in 0 of 2" in lead or lead.startswith("In 0 of 2")


def test_for_distances_smaller_wins():
    found = study(shuffled=BEHIND, prior_only=BEHIND, better="lower")
    winners = with_wins(found.tables["comparisons.tsv"], found.tables["metrics.tsv"])
    assert set(winners.loc[winners["b"] == "shuffled", "winner"]) == {"a"}


def test_an_unknown_headline_metric_lists_the_known_ones():
    with pytest.raises(ValueError, match="pixcorr"):
        headline(study(), "ssim")


def test_without_comparisons_the_score_stands_beside_chance():
    found = study()
    found.tables["comparisons.tsv"] = found.tables["comparisons.tsv"].iloc[:0]
    assert headline(found)["sentence"] == (
        "Pixel correlation: .40 [.30, .50], chance .00, n = 50, p .001."
    )


@pytest.mark.parametrize(
    "metrics, said",
    [
        (["attribute_shape"], "Ridge wins on the attribute shape."),
        (
            ["attribute_mean", "ssim", "attribute_shape"],
            "Ridge wins on the mean of the attributes; SSIM and the attribute shape.",
        ),
    ],
)
def test_every_other_metric_on_which_ridge_wins_is_named(metrics, said):
    found = study()
    compared, scores = found.tables["comparisons.tsv"], found.tables["metrics.tsv"]
    other = pd.concat([compared.assign(metric=name) for name in metrics])
    pooled = (other["subject"] == "all") & (other["b"] == "ridge")
    other.loc[pooled, ["difference", "lo", "hi"]] = BEHIND
    found.tables["comparisons.tsv"] = pd.concat([compared, other])
    more = [scores.assign(metric=name) for name in metrics]
    found.tables["metrics.tsv"] = pd.concat([scores, *more])
    assert headline(found)["elsewhere"] == said


def test_an_interval_that_ends_at_zero_but_for_the_last_bits_holds_it():
    ends = {("all", "ridge"): (0.06, 4e-17, 0.11), ("all", "shuffled"): (-0.06, -0.11, -4e-17)}
    view = Scores(ends)
    won = with_wins(
        view.table("evaluate", "comparisons.tsv"), view.table("evaluate", "metrics.tsv")
    )
    assert won["winner"].tolist() == ["", ""]
