"""What each part of the model's pictures adds: variants without it, scored and compared in pairs.

Only scores of pictures are taken; what a variant keeps of the decoded embedding was scored once.
Test stimuli are resampled as for all other scores. No variant is a claim: they stand in a table of
their own, and correct no p-value of the model's.
"""

from neurodecode.rigour.judge import judge
from neurodecode.rigour.results import (
    comparison_lines,
    differences,
    metric_lines,
    pool_subjects,
)

FULL = "full"  # the model's own pictures, in the table
KIND = "ablation"
COLUMNS = "subject variant metric space value lo hi n chance better".split()
COLUMNS += "difference difference_lo difference_hi p".split()


def judge_variants(inputs, subject, row_ids, eyes, score, panel):
    """Score what reconstruct painted of a subject beside the full pictures.

    Parameters
    ----------
    inputs : View
    subject : str
    row_ids : list of str
        Test rows, in the order of predict.
    eyes : dict
        What looks at pictures: ``{need: function of pictures}``.
    score : callable (material) -> {key: Score}
    panel : Panel

    Returns
    -------
    verdicts : dict
        ``{(subject, variant): {key: Verdict}}``; empty where there are no variants.
    """
    has = inputs.has("reconstruct") and "variants.json" in inputs.files("reconstruct", subject)
    verdicts = {}
    for variant in inputs.json("reconstruct", "variants.json", subject) if has else ():
        name = variant["name"]
        table = inputs.table("reconstruct", f"{name}/samples.tsv", subject)
        place = dict(zip(table["row_id"], table.index, strict=True))
        lines = [place[row] for row in row_ids]
        pictures = inputs.array("reconstruct", f"{name}/pictures.npy", subject)[lines]
        material = {"pictures": pictures} | {need: eye(pictures) for need, eye in eyes.items()}
        found = score(material)
        verdicts[subject, name] = {key: judge(one, panel) for key, one in found.items()}
    return verdicts


def ablation_lines(verdicts, variants, panels, n_units, whole, how):
    """Say of every variant and score: value, interval, chance, and what the full picture gains.

    Parameters
    ----------
    verdicts, variants : dict
        ``{(subject, condition): {key: Verdict}}`` of the conditions, and of the variants.
    panels : dict of str to Panel
    n_units : int
    whole : dict
        Key -> whether the score is of the whole set of candidates.
    how : dict
        interval, level and seed of `metric_lines`.

    Returns
    -------
    lines : list of dict
        `COLUMNS`; ``difference`` is full minus variant, None in the lines of the full picture.
    """
    if not variants:
        return []
    names = list(dict.fromkeys(name for _, name in variants))
    shown = {key for scores in variants.values() for key in scores if whole.get(key)}
    full = {(s, FULL): own for (s, condition), own in verdicts.items() if condition == "model"}
    both = {whose: _only(shown, scores) for whose, scores in (full | variants).items()}
    kinds = dict.fromkeys([FULL, *names], KIND)
    scored = metric_lines(pool_subjects(both, n_units), kinds, **how)
    judged = differences(both, [(FULL, name) for name in names], panels, n_units)
    compared = {
        (line["subject"], line["b"], line["space"], line["metric"]): line
        for line in comparison_lines(judged, **how)
    }
    return [_line(line, compared) for line in scored]


def _only(keys, scores):
    return {key: score for key, score in scores.items() if key in keys}


def _line(scored, compared):
    key = tuple(scored[name] for name in ("subject", "condition", "space", "metric"))
    other = compared.get(key, {})
    added = {"variant": scored["condition"], "p": other.get("p")}
    added |= {"difference": other.get("difference")}
    added |= {f"difference_{end}": other.get(end) for end in ("lo", "hi")}
    return {name: (scored | added)[name] for name in COLUMNS}
