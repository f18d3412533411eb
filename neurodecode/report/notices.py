"""What a reader is told before any number: leaks let pass, openings, what is left out."""

from neurodecode.report import quirks
from neurodecode.report.artifacts import ALL, document, permuted, table
from neurodecode.report.score_card import openings, provenance, selection
from neurodecode.report.words import condition_label, number

PUBLISHED = "Published protocol, not evidence: test trials were known in training."


def notices(study):
    """The banners of the page, worst first.

    Returns
    -------
    notices : list of dict
        ``kind`` (null | leak | found | share), ``title`` and ``lines``.
    """
    return [
        *_null(study.inputs),
        *oracle(study.inputs),
        *published(study.inputs),
        *quirks.notice(study.inputs),
        *_leaks(study.inputs),
        *_share(study),
    ]


def opened(inputs):
    """How often the test set was opened, as a sentence; "" where no opening is on record."""
    counts = openings(list(provenance(inputs)))
    if not counts:
        return ""
    total = sum(counts.values())
    times = "once" if total == 1 else f"{total} times"
    each = ", ".join(f"{stage} {n}" for stage, n in counts.items())
    return f"The test set was opened {times}: {each} (each subject and key counts once)."


def _null(inputs):
    if not permuted(inputs):
        return []
    title = "Labels permuted: this run is a draw of the null, no decoder."
    lines = ["Training labels were dealt at random (train.permutation); test labels are their own."]
    return [{"kind": "null", "title": title, "lines": lines}]


def oracle(inputs):
    """Samples chosen by the true picture mark the page: such pictures were not decoded."""
    found = selection(inputs) or {}
    if not found.get("uses_true_picture"):
        return []
    title = "Pictures were selected with the true picture: not a decoding result."
    lines = [f"Of several samples the one shown and scored was chosen by: {found['policy']}."]
    return [{"kind": "leak", "title": title, "lines": lines}]


def published(inputs):
    """Published protocols that leak mark the page, beside what they and the honest one reached."""
    how = document(inputs, "classify", "protocol.json") or {}
    if not how.get("compat"):
        return []
    words = "; ".join(how["compat_words"])
    lines = [
        f"Scored as published: {words}. Those figures stand in their own table, and in no other."
    ]
    found = table(inputs, "classify", "published.tsv")
    rows = found[(found["subject"] == ALL) & (found["metric"] == "accuracy")]
    for row in rows.itertuples():
        lines.append(
            f"{condition_label(row.condition)}: {number(row.value, 2)} as published, "
            f"{number(row.value_honest, 2)} with whole groups held out; chance "
            f"{number(row.chance, 2)}."
        )
    return [{"kind": "leak", "title": PUBLISHED, "lines": lines}]


def _leaks(inputs):
    """Leaks that an override let pass mark the page."""
    found = document(inputs, "split", "leaks.json") or {}
    allowed = set(found.get("allowed") or [])
    findings = found.get("findings") or []
    passed = [_line(f) for f in findings if f["kind"] in allowed]
    others = [_line(f) for f in findings if f["kind"] not in allowed]
    unfound = sorted(allowed - {f["kind"] for f in findings})
    lines = passed + [f"{kind}: allowed, none was found" for kind in unfound]
    out = []
    if lines:
        title = "Leaks between training and test were allowed in this run."
        out.append({"kind": "leak", "title": title, "lines": lines})
    if others:
        title = "The check of the split found:"
        out.append({"kind": "found", "title": title, "lines": others})
    return out


def _line(finding):
    pairs = [" and ".join(map(str, pair)) for pair in finding.get("examples", [])[:3]]
    words = finding.get("words") or f"{finding['kind']}: {finding.get('n', '?')} found"
    words = words[:1].upper() + words[1:]
    return f"{words.rstrip('.')}{': ' if pairs else ''}{'; '.join(pairs)}"


def _share(study):
    if not study.shared:
        return []
    lines = ["Subjects are numbered S1, S2 …; paths and host names are left out."]
    if study.hidden:
        what = "Stimuli, and pictures made from a stimulus's own features, are left out"
        lines.append(f"{what}: {study.hidden}.")
    return [{"kind": "share", "title": "Made to be passed on.", "lines": lines}]
