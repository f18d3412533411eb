"""The retrieval gallery: every test trial with its rank, to be sorted and filtered in the page.

Each picture is in the page once, in one list that trials point into; the page's script draws the
cards that are looked at.
"""

import base64
import json
from hashlib import sha256

from neurodecode.report import gallery
from neurodecode.report.artifacts import scored, subjects, table
from neurodecode.report.consistency import uncertainty
from neurodecode.report.page import render
from neurodecode.report.pictures import as_uint8, fitting, reduced, webp
from neurodecode.report.words import condition_label, metric_label, metric_words, number

DETAILED = 100  # test rows a subject of which all samples and all controls are shown
BUDGET = 9_000_000  # bytes of the page that its pictures may take
CARD = (128, 82)  # a card shows pictures no larger: pixels, WebP quality
CATEGORIES = range(2, 41)  # a column with so many values names categories


def trials(study):
    """All test trials of all subjects; None where nothing was predicted row by row."""
    if not study.inputs.has("predict"):
        return None
    found = _Trials(study)
    if not found.rows:
        return None
    data = {
        "pictures": found.pictures.encoded(),
        "subjects": found.subjects,
        "categories": found.categories,
        "trials": found.rows,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return render(
        "trials.html.j2",
        data=text.replace("<", "\\u003c"),  # no text of the study may end the script
        n=len(found.rows),
        subjects=found.subjects,
        categories=found.categories,
        category=found.category,
        score=found.score,
        has={key: any(key in row for row in found.rows) for key in ("r", "k", "a", "v", "d")},
        hidden=study.hidden,
        detailed=min(DETAILED, max(map(len, found.by_subject.values()))),
    )


class Pictures:
    """Pictures of the page, each once: `add` gives the place of one in the list."""

    def __init__(self):
        self._places, self._seen, self._made = {}, {}, []

    def add(self, key, make):
        """Place of the picture `key`, which `make` returns when it is new; -1 for None."""
        if key not in self._places:
            picture = make()
            self._places[key] = -1 if picture is None else self._place(as_uint8(picture))
        return self._places[key]

    def _place(self, picture):
        picture = reduced(picture, CARD[0])  # thousands of them are held at once
        digest = sha256(picture.tobytes()).digest()
        if digest not in self._seen:
            self._seen[digest] = len(self._made)
            self._made.append(picture)
        return self._seen[digest]

    def encoded(self, budget=BUDGET):
        """Encode all as WebP, as large as the budget allows.

        Returns
        -------
        encoded : list of str
            Base64, in the order of their places.
        """
        size = min(CARD, fitting(self._made, len(self._made), budget))
        return [base64.b64encode(webp(p, *size)).decode() for p in self._made]


class _Trials:
    """Gathers the cards: short keys, because they are written a thousand times."""

    def __init__(self, study):
        self._study, self.pictures = study, Pictures()
        stimuli = table(study.inputs, "index", "stimuli.tsv")
        self._stimuli = stimuli.set_index("stimulus_id")
        self.subjects = subjects(study.inputs)
        self._audited = _by_row(table(study.inputs, "audit", "rows.parquet"))
        self.category, self._category = self._categories()
        self.categories = sorted(set(self._category.values()))
        self.score, self._scores = self._per_trial()
        made = study.inputs.has("reconstruct")
        self.by_subject = {}
        for place, subject in enumerate(self.subjects):
            read = (
                gallery.Reconstructions(study.inputs, subject, bool(study.hidden)) if made else None
            )
            self.by_subject[subject] = self._rows_of(place, subject, read)
        self.rows = [row for rows in self.by_subject.values() for row in rows]

    def _rows_of(self, place, subject, made):
        listed = table(self._study.inputs, "predict", "rows.tsv", subject)
        if listed is None:
            return []
        retrieved = self._study.retrieved(subject) or {}
        detailed = set(made.drawn_rows(DETAILED, self._study.seed)) if made else set()
        spare = [r for r in listed["row_id"] if r not in detailed]
        detailed |= set(spare[: DETAILED - len(detailed)])
        rows = []
        for row_id, stimulus in zip(listed["row_id"], listed["stimulus_id"], strict=True):
            row = {"s": place, "t": self._title(stimulus), "o": self._original(stimulus)}
            if stimulus in self._category:
                row["c"] = self.categories.index(self._category[stimulus])
            row |= self._retrieval(retrieved.get(row_id)) | self._audit(subject, row_id)
            if (subject, row_id) in self._scores:
                row["v"] = round(float(self._scores[subject, row_id]), 4)
            if made:
                row["m"] = self._chosen(made, subject, "model", row_id)
            if made and row_id in detailed:
                row["d"] = self._detail(made, subject, row_id)
            rows.append(row)
        return rows

    def _retrieval(self, found):
        if not found:
            return {}
        near = [[self._original(s), self._title(s)] for s in found["nearest"]]
        return {"r": found["rank"], "n": found["of"], "near": near}

    def _audit(self, subject, row_id):
        import pandas as pd

        found = self._audited.get((subject, row_id))
        if found is None:
            return {}
        row = {"a": int(bool(found.abstain))}
        if not pd.isna(found.set_size):  # a stimulus shown less often than validation has none
            row |= {"k": int(found.set_size), "i": int(bool(found.in_set))}
        return row | ({} if pd.isna(found.p_prior) else {"p": round(float(found.p_prior), 4)})

    def _detail(self, made, subject, row_id):
        """All samples of the decoder, then what each other condition shows for the row."""
        lines = []
        samples = [self._sample(made, subject, "model", row_id, i)
                   for i in made.places("model", row_id)]  # fmt: skip
        if len(samples) > 1:
            lines.append(["all samples", samples])
            lines += self._uncertainty(made, subject, row_id)
        others = [c for c in made.conditions if c != "model"]
        for name in others:
            picture = self._chosen(made, subject, name, row_id)
            if picture >= 0:
                lines.append([condition_label(name), [picture]])
        return lines

    def _uncertainty(self, made, subject, row_id):
        """The mean of the samples, and how far they are apart."""
        found = uncertainty(made, row_id, self._study.spread)
        return [
            [word, [self.pictures.add((subject, word, row_id), lambda p=p: p)]]
            for word, p in found.items()
        ]

    def _chosen(self, made, subject, name, row_id):
        places = made.places(name, row_id, chosen=True)
        return self._sample(made, subject, name, row_id, places[0]) if len(places) else -1

    def _sample(self, made, subject, name, row_id, place):
        return self.pictures.add((subject, name, int(place)), lambda: made.picture(name, place))

    def _original(self, stimulus):
        path = self._stimuli["path"].get(stimulus) if "path" in self._stimuli else None
        read = self._study.read_picture
        return self.pictures.add(("original", stimulus), lambda: read(path) if path else None)

    def _title(self, stimulus):
        words = self._stimuli["caption"].get(stimulus) if "caption" in self._stimuli else ""
        return words or stimulus

    def _categories(self):
        """The name of what counts as category, and each stimulus's one."""
        found = {a.stimulus_id: str(a.category) for a in self._audited.values()
                 if getattr(a, "category", "") not in ("", None)}  # fmt: skip
        if found:
            told = self._study.inputs.json("audit", "verdict.json").get("category")
            return told or "category", found
        skipped = {"path", "sha256", "caption", "partition"}
        for column in self._stimuli.columns:
            values = self._stimuli[column].astype(str)
            if column not in skipped and values.nunique() in CATEGORIES:
                return column.replace("_", " "), values.to_dict()
        return "", {}

    def _per_trial(self):
        """The score that tells good from bad, and each row's."""
        found = table(self._study.inputs, "evaluate", "per_trial.parquet")
        if found is None or not len(found):
            return None, {}
        found = found[found["condition"] == "model"]
        metric = gallery.rank_metric(found, self._study.rank_metric)
        mine = found[found["metric"] == metric].groupby(["subject", "row_id"])["value"].mean()
        metrics = scored(self._study.inputs, "metrics.tsv").set_index("metric")
        lower = metrics["better"].loc[[metric]].iloc[0] == "lower"
        label = metric_label(metric)
        about = {"label": label, "lower": lower, "meaning": metric_words(metric)[2]}
        return about | {"mean": number(mine.mean())}, mine.to_dict()


def _by_row(rows):
    if rows is None:
        return {}
    return {(r.subject, r.row_id): r for r in rows.itertuples(index=False)}
