"""How sure and how stable: what evaluate says of samples, split halves and the choice among them.

Nothing here is a claim about a model beside others; the tables stand beside metrics.tsv.
"""

from dataclasses import replace

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.metrics.consistency import (
    likeness_scores,
    mean_pairwise,
    pixel_spread,
    two_groups,
    unit_pictures,
)
from neurodecode.rigour.certainty import certainty
from neurodecode.rigour.judge import Panel, Rows, difference, interval_of, judge, p_of
from neurodecode.rigour.results import comparison_lines, pool_subjects
from neurodecode.stages import halves

LEAST = 3  # rows; of fewer nothing is said
MOST = 1000  # rows with several samples that are compared with one another
CONSISTENCY = "subject over seen measure value lo hi n chance p".split()
SPREAD = "subject row_id stimulus_id n_samples spread disagreement".split()
CERTAINTY = "subject uncertainty metric rho lo hi n p".split()
SELECTION = "subject metric a b difference lo hi n p space better".split()
CHOICE = ("chosen", "first")


def consistency_tables(inputs, tables, rows, draws, verdicts, firsts, how):
    """Judge samples and halves of all subjects.

    Parameters
    ----------
    inputs : View
    tables : dict of str to DataFrame
        Each subject's rows.tsv.
    rows : dict of str to Rows
    draws : Draws
    verdicts : dict
        ``{(subject, condition): {key: Verdict}}``.
    firsts : dict
        ``{subject: {key: Verdict}}`` of the first sample of each row.
    how : dict
        ``interval``, ``level`` and ``seed``.

    Returns
    -------
    tables : dict of str to DataFrame
        By file name; a table without a line is left out.
    """
    alike, spreads, surer, chosen = {}, [], {}, {}
    for subject, table in tables.items():
        unit_of = dict(zip(table["stimulus_id"], rows[subject].unit, strict=True))
        alike |= _halves(inputs, subject, unit_of, draws)
        if (several := _several(inputs, subject, table)) is None:
            continue
        own = _rows_of(rows[subject].unit[several.place])
        panel = Panel.of(own, draws)
        alike |= {(subject, k): _judged(s, panel) for k, s in several.similarities().items()}
        spread = several.spread(subject, table)
        spreads.append(spread)
        scored = verdicts[subject, "model"]
        surer |= _certainty(subject, spread, scored, several.place, panel, draws)
        if firsts.get(subject):
            pair = scored, firsts[subject]
            chosen[subject, CHOICE] = _gained(*pair, several.place, panel)
    return _as_tables(alike, spreads, surer, chosen, how)


class Several:
    """The rows of a subject with several samples of the decoder.

    Parameters
    ----------
    samples : DataFrame
        Of these rows only: row_id sample.
    pictures : ndarray of uint8
    embedded : ndarray or None
        What the target sees in them.
    place : ndarray of int
        Each row's place in rows.tsv.
    """

    def __init__(self, samples, pictures, embedded, place):
        self.place, self._samples = place, samples
        self._row = samples.groupby("row_id", sort=False).ngroup().to_numpy()
        self._pictures, self._embedded = pictures, embedded

    def similarities(self):
        """Of the rows' even and odd samples, ``{(over, seen): (n_rows, n_rows)}``."""
        units = {"pixels": unit_pictures(self._pictures)}
        if self._embedded is not None:
            units["embedding"] = self._embedded
        sample = self._samples.groupby("row_id", sort=False).cumcount().to_numpy()
        groups = {seen: two_groups(u, self._row, sample) for seen, u in units.items()}
        return {("samples", seen): odd @ even.T for seen, (even, odd) in groups.items()}

    def spread(self, subject, table):
        """A line for each row, see `SPREAD`; disagreement is 1 − mean pairwise similarity."""
        embedded = self._embedded
        seen = unit_pictures(self._pictures) if embedded is None else embedded
        listed = table.iloc[self.place][["row_id", "stimulus_id"]].reset_index(drop=True)
        return listed.assign(
            subject=subject,
            n_samples=np.bincount(self._row),
            spread=pixel_spread(self._pictures, self._row),
            disagreement=1 - mean_pairwise(seen, self._row),
        )[SPREAD]


def first_samples(samples, row_ids):
    """Number, for each row, its first sample among all samples."""
    first = samples[~samples["row_id"].duplicated()]
    number = dict(zip(first["row_id"], first.index, strict=True))
    return np.array([number[row] for row in row_ids])


def has_choice(inputs, subject):
    """Whether the decoder painted several samples of some row."""
    if not inputs.has("reconstruct"):
        return False
    if "model/samples.tsv" not in inputs.files("reconstruct", subject):
        return False
    return inputs.table("reconstruct", "model/samples.tsv", subject)["row_id"].duplicated().any()


def _several(inputs, subject, table):
    """Read the rows that have several samples; None where there are too few."""
    if not has_choice(inputs, subject):
        return None
    samples = inputs.table("reconstruct", "model/samples.tsv", subject)
    counts = samples["row_id"].value_counts()
    wanted = [row for row in table["row_id"] if counts.get(row, 0) > 1][:MOST]
    if len(wanted) < LEAST:
        return None
    order = {row: k for k, row in enumerate(wanted)}
    mine = samples[samples["row_id"].isin(order)]
    mine = mine.loc[mine["row_id"].map(order).sort_values(kind="stable").index]
    read = lambda name: inputs.array("reconstruct", f"model/{name}.npy", subject)[
        mine.index.to_numpy()
    ]
    there = "model/embedded.npy" in inputs.files("reconstruct", subject)
    place = np.flatnonzero(table["row_id"].isin(order))
    return Several(mine, read("pictures"), read("embedded") if there else None, place)


def _halves(inputs, subject, unit_of, draws):
    """Judge how alike the two halves of one subject are, by what was decoded and what was seen."""
    if halves.ROWS not in inputs.files("predict", subject):
        return {}
    ids = inputs.table("predict", halves.ROWS, subject)["stimulus_id"]
    if len(ids) < LEAST:
        return {}
    panel = Panel.of(_rows_of(np.array([unit_of[i] for i in ids])), draws)
    pairs = {"decoded": _pair(inputs, "predict", "pooled", subject)}
    if inputs.has("reconstruct"):
        pairs["embedding"] = _pair(inputs, "reconstruct", "embedded", subject)
        painted = _pair(inputs, "reconstruct", "pictures", subject)
        pairs["pixels"] = painted and [unit_pictures(half) for half in painted]
    return {
        (subject, ("halves", seen)): _judged(pair[1] @ pair[0].T, panel)
        for seen, pair in pairs.items()
        if pair
    }


def _pair(inputs, stage, name, subject):
    """Both halves of an array, or None where they are not there."""
    files = [f"{half}/{name}.npy" for half in halves.HALVES]
    if not set(files) <= set(inputs.files(stage, subject)):
        return None
    return [inputs.array(stage, file, subject) for file in files]


def _rows_of(unit):
    """Rows whose truths are themselves, in their order."""
    return Rows(unit, np.arange(len(unit)))


def _judged(similarity, panel):
    scores = likeness_scores(np.asarray(similarity, float))
    return {("consistency", s.name, None): judge(s, panel) for s in scores}


def _certainty(subject, spread, scored, place, panel, draws):
    """Judge whether uncertain rows are those of low scores: by each picture score, both numbers."""
    found = {}
    for name in ("spread", "disagreement"):
        uncertainty = spread[name].to_numpy()
        found[subject, name] = {
            key: certainty(uncertainty, _error(verdict, place), panel, draws)
            for key, verdict in scored.items()
            if key[0] == "picture" and len(verdict.rows) and key[2] is None
        }
    return found


def _error(verdict, place):
    values = verdict.rows[place]
    return values if verdict.better == "lower" else -values


def _gained(chosen, firsts, place, panel):
    """What choosing among samples gains over taking the first, where there is a choice."""
    only = lambda v: replace(v, rows=v.rows[place], n=panel.rows.n_units)
    return {k: difference(only(chosen[k]), only(firsts[k]), panel) for k in firsts if k in chosen}


def _as_tables(alike, spreads, surer, chosen, how):
    import pandas as pd

    lines = {
        "consistency.tsv": (_lines(alike, ("over", "seen"), "measure", how), CONSISTENCY),
        "certainty.tsv": (_lines(surer, ("uncertainty",), "metric", how), CERTAINTY),
        "selection.tsv": (
            comparison_lines(pool_subjects(chosen, _n_units(chosen)), **how) if chosen else [],
            SELECTION,
        ),
    }
    made = {name: pd.DataFrame(rows)[columns] for name, (rows, columns) in lines.items() if rows}
    return made | ({"spread.tsv": pd.concat(spreads, ignore_index=True)} if spreads else {})


def _lines(verdicts, names, measure, how):
    """Print verdicts ``{(subject, what): {key: Verdict}}``, the pooled ones included.

    Of what not every subject has, the pooled line is of those that have it.
    """
    found = []
    for what in dict.fromkeys(what for _, what in verdicts):
        mine = {k: v for k, v in verdicts.items() if k[1] == what}
        for (subject, _), scores in pool_subjects(mine, _n_units(mine)).items():
            for key, verdict in scores.items():
                low, high = interval_of(verdict, how["interval"], how["level"])
                parts = what if isinstance(what, tuple) else (what,)
                rng = child_rng(how["seed"], "ties", subject, *parts, key[1])
                line = dict(zip(names, parts, strict=True)) | {measure: key[1], "subject": subject}
                numbers = {"lo": low, "hi": high, "n": verdict.n, "chance": verdict.chance}
                named = "rho" if measure == "metric" else "value"
                found.append(line | {named: verdict.value, "p": p_of(verdict, rng)} | numbers)
    return found


def _n_units(verdicts):
    """Stimuli that a pooled line rests on: those of the subject with most."""
    counts = [v.n for scores in verdicts.values() for v in scores.values()]
    return max(counts, default=0)
