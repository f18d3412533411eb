"""The section on the low-level picture: every variant shown and scored, in words that are true."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.store import Artifact, describe
from neurodecode.report.ablation import LABELS, said_of, score_rows, verdict
from tests.report.conftest import draw
from tests.report.study import fabricate

VARIANTS = ("semantic_only", "structure_only", "merged", "low_level_only")
LOSSES = {"semantic_only": 0.3, "structure_only": 0.0, "merged": -0.004, "low_level_only": 0.2}


def line(subject, variant, metric, loss=None, better="higher"):
    value = {"subject": subject, "variant": variant, "metric": metric, "space": "picture"}
    value |= {"value": 0.8 - (loss or 0), "lo": 0.7, "hi": 0.9, "n": 24, "chance": 0.1}
    known = loss is not None
    value |= {"better": better, "difference": loss, "p": 0.01 if known else None}
    near = 0.001 if loss else 0.05
    ends = (loss - near, loss + near) if known else (None, None)
    return value | {"difference_lo": ends[0], "difference_hi": ends[1]}


def scores():
    rows = []
    for subject in ("sub-01", "sub-02", "all"):
        for metric in ("pixcorr", "ssim", "ssim_compat"):
            rows.append(line(subject, "full", metric))
            rows += [line(subject, name, metric, LOSSES[name]) for name in VARIANTS]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    """The folder of the report of a study with variants."""
    artifacts, records = fabricate(tmp_path_factory.mktemp("ablated"))
    again = lambda made: Artifact(made.folder, made.manifest | {"files": describe(made.folder)})
    for subject, made in artifacts["reconstruct"].items():
        table = pd.read_csv(made.folder / "model/samples.tsv", sep="\t")
        picked = np.flatnonzero(table["chosen"])
        pictures = np.load(made.folder / "model/pictures.npy")[picked]
        for number, name in enumerate(VARIANTS):
            (made.folder / name).mkdir()
            kept = table.iloc[picked][["row_id", "sample", "chosen"]]
            kept.to_csv(made.folder / name / "samples.tsv", sep="\t", index=False)
            np.save(made.folder / name / "pictures.npy", np.roll(pictures, number, axis=3))
        about = [{"name": n, "of": "model", "about": f"About {n}."} for n in VARIANTS]
        (made.folder / "variants.json").write_text(json.dumps(about))
        artifacts["reconstruct"][subject] = again(made)
    evaluated = artifacts["evaluate"]
    scores().to_csv(evaluated.folder / "ablations.tsv", sep="\t", index=False)
    artifacts["evaluate"] = again(evaluated)
    return draw(tmp_path_factory.mktemp("ablated_report") / "out", artifacts, records)


@pytest.fixture(scope="module")
def section(ablated):
    html = (ablated / "report.html").read_text()
    return re.search(r'<section[^>]*id="low-level".*?</section>', html, re.S).group()


@pytest.mark.parametrize(
    ("difference", "ends", "better", "said", "side"),
    [
        (0.3, (0.2, 0.4), "higher", "worse by .30 [.20, .40]", "b"),
        (-0.3, (-0.4, -0.2), "higher", "better by .30 [.20, .40]", "a"),
        (0.3, (0.2, 0.4), "lower", "better by .30 [.20, .40]", "a"),
        (-0.004, (-0.006, -0.002), "higher", "better by .004 [.002, .006]", "a"),
        (0.1, (-0.1, 0.3), "higher", "no difference shown", ""),
        (0.0, (0.0, 0.0), "higher", "no difference shown", ""),
        (float("nan"), (0, 0), "higher", "", ""),
    ],
)
def test_a_difference_is_said_from_the_variants_side(difference, ends, better, said, side):
    row = SimpleNamespace(difference=difference, better=better)
    row.difference_lo, row.difference_hi = ends
    assert verdict(row) == (said, side)


def test_a_sentence_counts_what_each_variant_loses():
    assert said_of(scores(), "all") == [
        "Semantic only: worse on 3 of 3 scores.",
        "Structure only: no difference shown on 3 of 3 scores.",
        "Merged: better on 3 of 3 scores.",
        "Low-level only: worse on 3 of 3 scores.",
    ]


def test_the_table_has_a_column_for_every_variant_and_the_full_picture_first():
    made = score_rows(scores(), "sub-01")
    assert made["heads"] == [LABELS[name] for name in ("full", *VARIANTS)]
    cells = made["groups"][0]["rows"][0]["cells"]
    assert [cell["value"] for cell in cells] == [".80", ".50", ".80", ".80", ".60"]
    assert cells[0]["said"] == "" and cells[1]["said"].startswith("worse by .30")


def test_the_section_shows_every_variant_for_the_rows_of_the_gallery(section):
    for name in VARIANTS:
        assert f"About {name}." in section
    strips = re.findall(r'<table class="gallery">.*?</table>', section, re.S)
    assert len(strips) == 2
    for strip in strips:
        rows = re.findall(r'<tr class="(\w+)"><th scope="row">(.*?)</th>', strip)
        assert rows == [
            ("original", "original"),
            *[("variant", LABELS[name]) for name in VARIANTS],
            ("model", "full picture"),
        ]
        assert strip.count("<img") == 6 * (len(VARIANTS) + 2)
    assert "ablations.csv" in section


def test_the_published_forms_stay_in_the_file(section, ablated):
    assert "as published" not in section
    assert len(pd.read_csv(ablated / "tables/ablations.csv")) == len(scores())


def test_no_variant_stands_in_the_headline_or_the_score_card(ablated):
    card = (ablated / "score_card.json").read_text()
    assert not any(name in card for name in VARIANTS)


def test_a_study_without_variants_has_no_such_section(report):
    assert 'id="low-level"' not in (report / "report.html").read_text()
