"""Galleries: the pictures people saw, and what was read from their brains."""

from dataclasses import dataclass, field

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.report.artifacts import array, conditions, table
from neurodecode.report.pictures import data_uri
from neurodecode.report.words import condition_label, number

BEST_AND_WORST = 9  # pictures by a metric: best, median and worst
COLUMNS = 10  # pictures side by side
RANKED_BY = ("attribute_mean", "pixcorr")  # what tells best from worst, if it was scored


@dataclass
class Cell:
    """One place of a gallery: one picture, several small ones, or none."""

    pictures: list[str] = field(default_factory=list)
    alt: str = ""
    note: str = ""


@dataclass
class Row:
    """One line of a gallery."""

    label: str
    kind: str
    cells: list[Cell]


@dataclass
class Block:
    """A group of columns that stand together, with what their heads say."""

    heads: list[str]
    titles: list[str]
    rows: list[Row]


class Originals:
    """The pictures of the study by stimulus id, encoded once each.

    Parameters
    ----------
    stimuli : DataFrame
        stimuli.tsv: stimulus_id, path and, if the study has them, caption.
    read : callable (path) -> ndarray or None
        Reads a picture by its path in the study.
    encode : callable (picture) -> str
    """

    def __init__(self, stimuli, read, encode=data_uri):
        self._paths = dict(zip(stimuli["stimulus_id"], stimuli["path"], strict=True))
        captions = stimuli["caption"] if "caption" in stimuli else stimuli["stimulus_id"]
        self._captions = dict(zip(stimuli["stimulus_id"], captions, strict=True))
        self._read, self._encode, self._encoded = read, encode, {}

    def caption(self, stimulus):
        """What the picture shows, in words; its id where there is no caption."""
        return self._captions.get(stimulus) or stimulus

    def uri(self, stimulus):
        """The picture as a data URI, or None if the study has none."""
        if stimulus not in self._encoded:
            path = self._paths.get(stimulus)
            picture = self._read(path) if path else None
            self._encoded[stimulus] = None if picture is None else self._encode(picture)
        return self._encoded[stimulus]


class Reconstructions:
    """What one subject's stages made of each test picture, by condition.

    Parameters
    ----------
    inputs : View
    subject : str
    hidden : bool
        Leave out the ceiling, whose pictures are made from the stimulus itself.
    encode : callable (picture) -> str
        May be set later.
    """

    def __init__(self, inputs, subject, hidden=False, encode=data_uri):
        self.rows = table(inputs, "predict", "rows.tsv", subject).set_index("row_id")
        shown = [c for c in conditions(inputs) if not (hidden and c["kind"] == "ceiling")]
        self.conditions = [c["name"] for c in shown]
        self._inputs, self._subject, self.encode = inputs, subject, encode
        self._samples = {
            c: table(inputs, "reconstruct", f"{c}/samples.tsv", subject) for c in self.conditions
        }
        self.conditions = [c for c in self.conditions if self._samples[c] is not None]
        self._pictures = {
            c: array(inputs, "reconstruct", f"{c}/pictures.npy", subject) for c in self.conditions
        }
        self._places = {
            c: self._samples[c].groupby(["row_id", self._samples[c]["chosen"].astype(bool)]).indices
            for c in self.conditions
        }

    @property
    def n_pictures(self):
        """Of the decoder, all samples counted."""
        return len(self._pictures["model"])

    @property
    def most_samples(self):
        """Of a row, by the decoder."""
        return int(self._samples["model"].groupby("row_id").size().max())

    def stimulus(self, row):
        """The stimulus that a test row shows."""
        return self.rows.loc[row, "stimulus_id"]

    def places(self, condition, row, chosen=None):
        """Where a row's samples lie: the chosen ones, the others, or (None) all in order."""
        if chosen is None:
            both = [*self.places(condition, row, True), *self.places(condition, row, False)]
            return sorted(both)
        return list(self._places[condition].get((row, chosen), []))

    def picture(self, condition, place):
        """The picture that lies there."""
        return self._pictures[condition][place]

    def chosen(self, condition, row):
        """The picture that was chosen of a condition's samples."""
        places = self.places(condition, row, True)
        return self.encode(self.picture(condition, places[0])) if places else None

    def others(self, condition, row):
        """The samples that were not chosen."""
        places = self.places(condition, row, False)
        return [self.encode(self.picture(condition, i)) for i in places]

    def low_level(self, condition, row):
        """The blurry picture that reconstruction started from, or None."""
        blurry = array(self._inputs, "predict", f"{condition}/blurry.npy", self._subject)
        return None if blurry is None else self.encode(blurry[self.rows.index.get_loc(row)])

    def drawn_rows(self, n, seed):
        """Test rows for the gallery: those that got most samples, else `n` drawn by `seed`."""
        counts = self._samples["model"].groupby("row_id", sort=False).size()
        several = counts.index[counts == counts.max()]
        if counts.max() > 1 and len(several) < len(self.rows):
            return list(several[:n])
        drawn = child_rng(seed, "gallery").permutation(len(self.rows))[:n]
        return [self.rows.index[i] for i in np.sort(drawn)]


def subject_blocks(made, originals, rows, heads=None, brief=False):
    """One subject's gallery: original, decoder, its other samples, baseline, controls, ceiling.

    Parameters
    ----------
    made : Reconstructions
    originals : Originals
    rows : list of str
        Test rows, one per column.
    heads : list of str, optional
        Column heads; numbers by default.
    brief : bool
        Leave out the other samples, the ceiling and the low-level pictures.
    """
    heads = heads or [str(i + 1) for i in range(len(rows))]
    out = []
    for start in range(0, len(rows), COLUMNS):
        part = slice(start, start + COLUMNS)
        lines = [_original_row(made, originals, rows[part])]
        for name in made.conditions:
            if brief and name == "true_features":
                continue
            lines.append(_condition_row(made, originals, name, rows[part]))
            if name == "model" and not brief:
                lines.append(_samples_row(made, rows[part]))
        if not brief:
            lines.append(_low_level_row(made, originals, rows[part]))
        titles = [originals.caption(made.stimulus(r)) for r in rows[part]]
        out.append(Block(heads[part], titles, [line for line in lines if line is not None]))
    return out


def pooled_blocks(by_subject, originals, stimuli, heads=None):
    """The same pictures read from every subject's brain: original, then one row per subject."""
    heads = heads or [str(i + 1) for i in range(len(stimuli))]
    out = []
    for start in range(0, len(stimuli), COLUMNS):
        part = slice(start, start + COLUMNS)
        lines = [Row("original", "original", [_original(originals, s) for s in stimuli[part]])]
        for subject, made in by_subject.items():
            rows = {s: r for r, s in made.rows["stimulus_id"].items()}
            cells = [_picture(made, originals, "model", rows[s]) for s in stimuli[part]]
            lines.append(Row(subject, "model", cells))
        out.append(Block(heads[part], [originals.caption(s) for s in stimuli[part]], lines))
    return out


def rank_metric(scores, wanted=""):
    """The metric of per_trial.parquet that tells best from worst.

    Raises
    ------
    ValueError
        If the wanted one is not scored per trial.
    """
    known = list(scores["metric"].unique())
    metric = wanted or next((m for m in RANKED_BY if m in known), known[0])
    if metric not in known:
        raise ValueError(f"report.rank_metric={metric} is not scored per trial, but {known}")
    return metric


def extremes(values, each=BEST_AND_WORST // 3, better="higher"):
    """Pick the best, the middle and the worst of scored items.

    Parameters
    ----------
    values : Series
        One score per item, by its id.
    each : int
        How many of each.
    better : {"higher", "lower"}

    Returns
    -------
    picked : list of (word, id, value)
        In the order best, median, worst; no item twice.
    """
    ranked = values.dropna().sort_values(ascending=better == "lower", kind="stable")
    each = min(each, len(ranked) // 3)
    middle = (len(ranked) - each) // 2
    groups = {
        "best": ranked.iloc[:each],
        "median": ranked.iloc[middle : middle + each],
        "worst": ranked.iloc[len(ranked) - each :],
    }
    return [(word, i, v) for word, group in groups.items() for i, v in group.items()]


def extreme_heads(picked):
    """Column heads of the extremes: the word and the score."""
    return [f"{word} {number(value)}" for word, _, value in picked]


def _original_row(made, originals, rows):
    cells = [_original(originals, made.stimulus(r)) for r in rows]
    return Row("original", "original", cells) if any(c.pictures for c in cells) else None


def _original(originals, stimulus):
    uri = originals.uri(stimulus)
    return Cell([uri] if uri else [], f"original: {originals.caption(stimulus)}")


def _condition_row(made, originals, name, rows):
    return Row(condition_label(name), name, [_picture(made, originals, name, r) for r in rows])


def _picture(made, originals, name, row):
    uri = made.chosen(name, row)
    what = originals.caption(made.stimulus(row))
    return Cell([uri] if uri else [], f"{condition_label(name)}, for: {what}")


def _samples_row(made, rows):
    cells = [Cell(made.others("model", r), "another sample of the decoder") for r in rows]
    return Row("its other samples", "samples", cells) if any(c.pictures for c in cells) else None


def _low_level_row(made, originals, rows):
    uris = [made.low_level("model", r) for r in rows]
    if not any(uris):
        return None
    alts = [f"low-level guess, for: {originals.caption(made.stimulus(r))}" for r in rows]
    cells = [Cell([u], alt) for u, alt in zip(uris, alts, strict=True)]
    return Row("low-level guess", "blurry", cells)
