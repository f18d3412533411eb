"""`neurodecode rate`: a page for people out of a finished run, and what their answers say.

The key stays with the researcher: the page has opaque numbers of trials and a shuffled list of
pictures, and nothing that tells which is which.
"""

import json
from pathlib import Path

import numpy as np

from neurodecode.core.documents import read_json, read_text_table
from neurodecode.core.errors import UserError
from neurodecode.core.finished import open_run, whole_or_absent
from neurodecode.core.seeds import child_rng
from neurodecode.rigour.certainty import spearman
from neurodecode.rigour.ratings import (
    holm,
    krippendorff,
    pairwise_agreement,
    share_interval,
    sign_flip_p,
)
from neurodecode.stages.rating import KEY, RULE, make_trials, study_id
from neurodecode.stages.rating_answers import (
    answer_files,
    judged_answers,
    raters_table,
    read_answers,
)

OTHER = "other/"  # before a condition's name: that of the run other=…
MAIN = ("identification", "preference")
LINES = (
    "kind condition other value lo hi n_answers n_raters n_stimuli chance p p_holm alpha agreement"
)
LINES = LINES.split()
N_DRAWS, LEAST_RATED = 1000, 8


def make_page(
    run, out=None, conditions=None, pairs=None, n_trials=100, seed=0, other=None, store=None
):
    """Write the page, its key and what it asks; see docs/rating.md.

    Parameters
    ----------
    run : path
        Folder of a run that painted pictures.
    out : path, optional
        New folder; by default ``rating`` in the run's.
    conditions : str or list of str, optional
        Of identification trials; by default model and ridge, as far as they were painted.
    pairs : str or list of str, optional
        Of preference trials, ``model:ridge``; conditions of another run begin with ``other/``.
    n_trials, seed : int
    other : path, optional
        The other run.
    store : path, optional

    Returns
    -------
    folder : Path
        With ``rating.html``, ``key.tsv`` and ``study.json``.

    Raises
    ------
    UserError
        For a condition that was not painted, and numbers that cannot be.
    """
    from neurodecode.report.rating import rating_page

    for name, value, least in (("n_trials", n_trials, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{name} is {value!r}: expected a whole number from {least} on")
    shown = _Shown(run, other, store)
    conditions = shown.defaults() if conditions is None else _listed(conditions)
    if pairs is None:
        pairs = [":".join(conditions[:2])] if len(conditions) > 1 else []
    pairs = [_pair(pair) for pair in _listed(pairs)]
    named = [*conditions, *(c for pair in pairs for c in pair)]
    rows = shown.rows(dict.fromkeys(named))
    key = make_trials(rows, conditions, pairs, n_trials, seed)
    study = {
        "study": study_id(key),
        "run": str(run),
        "other": other and str(other),
        "conditions": conditions,
        "pairs": [list(pair) for pair in pairs],
        "n_trials": n_trials,
        "seed": seed,
        "rule": RULE,
        "selection": shown.selection(),
    }
    html = rating_page(study["study"], key, shown.picture, child_rng(seed, "rating", "pictures"))
    folder = Path(out) if out else Path(run).expanduser() / "rating"
    with whole_or_absent(folder) as made:
        made.path("rating.html").write_text(html, encoding="utf-8")
        key.to_csv(made.path("key.tsv"), sep="\t", index=False, lineterminator="\n")
        made.save_json("study.json", study)
    return folder


def analyse(run, answers, out=None, seed=0, store=None):
    """Judge what people answered, and write it beside the key: tables, ratings.json, ratings.html.

    Parameters
    ----------
    run : path
    answers : path or list of path
        CSV files that raters downloaded, or folders of them.
    out : path, optional
        Folder of the page and its key; by default ``rating`` in the run's.
    seed : int
        Of resamples and ties.
    store : path, optional

    Returns
    -------
    found : dict
        As ratings.json.
    """
    from neurodecode.report.rating import ratings_page

    folder = Path(out) if out else Path(run).expanduser() / "rating"
    study, key = _study(folder)
    joined = judged_answers(read_answers(answer_files(answers), key, study["study"]), key)
    raters = raters_table(joined, key, study["rule"])
    kept = joined[joined["rater"].isin(raters.loc[raters["excluded"] == "", "rater"])]
    lines = rated_lines(kept[kept["kind"].isin(MAIN)], seed)
    beside = beside_metrics(kept, _per_trial(run, store), seed)
    found = {
        "study": study,
        "n_raters": int((raters["excluded"] == "").sum()),
        "n_excluded": int((raters["excluded"] != "").sum()),
        "ratings": lines.to_dict("records"),
        "raters": raters.to_dict("records"),
        "metrics": beside.to_dict("records"),
    }
    for name, table in (("ratings", lines), ("raters", raters), ("metrics_and_people", beside)):
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
    (folder / "ratings.json").write_text(json.dumps(_plain(found), indent=1), encoding="utf-8")
    (folder / "ratings.html").write_text(ratings_page(found), encoding="utf-8")
    return found


def rated_lines(kept, seed=0):
    """A line per condition or pair: share of hits, interval, p, Holm's p and agreement of raters.

    Parameters
    ----------
    kept : DataFrame
        Answers of the raters who are not left out: kind condition other rater stimulus_id trial
        choice hit.
    seed : int
    """
    import pandas as pd

    lines = []
    for (kind, condition, other), mine in kept.groupby(["kind", "condition", "other"], sort=False):
        hits, stimuli = mine["hit"].to_numpy(), mine["stimulus_id"].to_numpy()
        share, low, high = share_interval(hits, mine["rater"], stimuli)
        rng = child_rng(seed, "sign flips", kind, condition, other)
        two_sided = kind == "preference"
        lines.append(
            {
                "kind": kind,
                "condition": condition,
                "other": other,
                "value": share,
                "lo": low,
                "hi": high,
                "n_answers": len(mine),
                "n_raters": mine["rater"].nunique(),
                "n_stimuli": mine["stimulus_id"].nunique(),
                "chance": 0.5,
                "p": sign_flip_p(hits, stimuli, rng, two_sided=two_sided),
                "alpha": krippendorff(mine["choice"], mine["trial"]),
                "agreement": pairwise_agreement(mine["choice"], mine["trial"]),
            }
        )
    table = pd.DataFrame(lines, columns=[c for c in LINES if c != "p_holm"])
    return table.assign(p_holm=holm(table["p"]))[LINES]


def beside_metrics(kept, per_trial, seed=0):
    """Do people and metrics agree, stimulus by stimulus: Spearman's correlation, its interval, n.

    Identification: the share of right answers with the score of that condition. Preference: the
    share that prefers the first with the difference of scores. Conditions of another run are left
    out: their scores are not at hand.
    """
    import pandas as pd

    columns = ["kind", "condition", "other", "metric", "rho", "lo", "hi", "n"]
    if per_trial is None:
        return pd.DataFrame(columns=columns)
    scores = per_trial.pivot_table(
        index=["subject", "row_id"], columns=["condition", "metric"], values="value"
    )
    metrics, found = list(dict.fromkeys(per_trial["metric"])), []
    for (kind, condition, other), mine in kept.groupby(["kind", "condition", "other"], sort=False):
        people = mine.groupby(["subject", "row_id"])["hit"].mean()
        for metric in metrics if kind in MAIN else ():
            value = _scored(scores, metric, condition, other)
            if value is None:
                continue
            both = pd.concat([people, value.rename("score")], axis=1, join="inner").dropna()
            if len(both) >= LEAST_RATED:
                rng = child_rng(seed, "people", kind, condition, other, metric)
                numbers = _correlated(both["hit"].to_numpy(), both["score"].to_numpy(), rng)
                found.append([kind, condition, other, metric, *numbers, len(both)])
    return pd.DataFrame(found, columns=columns)


def told(found):
    """Say the result in lines for a terminal."""
    lines = [f"raters: {found['n_raters']}, left out: {found['n_excluded']}"]
    lines += [
        f"  left out: {r['rater']}, {r['excluded']}" for r in found["raters"] if r["excluded"]
    ]
    for one in found["ratings"]:
        what = one["condition"] + (f" preferred to {one['other']}" if one["other"] else "")
        interval = "no interval: too few raters or stimuli"
        if one["lo"] == one["lo"]:
            interval = f"[{one['lo']:.3f}, {one['hi']:.3f}]"
        lines.append(
            f"{one['kind']}, {what}: {one['value']:.3f} {interval}, chance .5, "
            f"p {one['p']:.4f} (Holm {one['p_holm']:.4f}), {one['n_answers']} answers of "
            f"{one['n_raters']} raters to {one['n_stimuli']} stimuli, alpha {one['alpha']:.2f}"
        )
    if warning := (found["study"].get("selection") or {}).get("warning"):
        lines.append(f"note: pictures were {warning}")
    return "\n".join(lines)


class _Shown:
    """The pictures of a run, and of another one."""

    def __init__(self, run, other, store):
        self._runs = {"": open_run(run, "reconstruct", store)}
        if other:
            self._runs[OTHER] = open_run(other, "reconstruct", store)
        self._views = {name: one.view() for name, one in self._runs.items()}
        stimuli = self._views[""].table("index", "stimuli.tsv")
        self._paths = dict(zip(stimuli["stimulus_id"], stimuli["path"], strict=True))
        self._stimulus = {}

    def defaults(self):
        """Model and ridge, if they were painted."""
        first = self._views[""].members("reconstruct")[0]
        files = self._views[""].files("reconstruct", first)
        return [c for c in ("model", "ridge") if f"{c}/pictures.npy" in files]

    def selection(self):
        """How reconstruct chose among samples."""
        view = self._views[""]
        return view.json("reconstruct", "selection.json", view.members("reconstruct")[0])

    def rows(self, conditions):
        """The rows for which all of the conditions have a picture: subject row_id stimulus_id."""
        import pandas as pd

        parts = []
        for subject in self._views[""].members("reconstruct"):
            rows = self._views[""].table("predict", "rows.tsv", subject)
            for condition in conditions:
                rows = rows[rows["row_id"].isin(self._places(condition, subject))]
            parts.append(rows[["row_id", "stimulus_id"]].assign(subject=subject))
        found = pd.concat(parts, ignore_index=True)[["subject", "row_id", "stimulus_id"]]
        keys = zip(found["subject"], found["row_id"], strict=True)
        self._stimulus = dict(zip(keys, found["stimulus_id"], strict=True))
        return found

    def picture(self, name):
        """The picture that the key calls ``condition|subject|row_id``."""
        condition, subject, row = name.split("|", 2)
        if condition == "original":
            return self._original(self._stimulus[subject, row])
        view, bare = self._of(condition)
        place = self._places(condition, subject)[row]
        return np.array(view.array("reconstruct", f"{bare}/pictures.npy", subject)[place])

    def _original(self, stimulus):
        from neurodecode.report.pictures import read_picture

        config = self._runs[""].config.get("report") or self._runs[""].config.get("evaluate") or {}
        root, path = config.get("root"), self._paths[stimulus]
        if root:
            file = Path(root).expanduser() / path
            if not file.is_file():
                raise UserError(f"{file} is not there: people need the pictures of the study")
            return read_picture(file)
        return read_picture(self._views[""].path("simulate", f"bids/{path}"))

    def _of(self, condition):
        prefix = OTHER if condition.startswith(OTHER) else ""
        if prefix not in self._views:
            raise UserError(f"{condition} is of another run: name it by other=RUN")
        return self._views[prefix], condition.removeprefix(prefix)

    def _places(self, condition, subject):
        view, bare = self._of(condition)
        known = view.members("reconstruct")
        if subject not in known:
            raise UserError(f"{condition}: the other run has no {subject}, only {', '.join(known)}")
        name = f"{bare}/samples.tsv"
        if name not in view.files("reconstruct", subject):
            painted = [f.split("/")[0] for f in view.files("reconstruct", subject) if "/s" in f]
            raise UserError(f"{condition} was not painted; there are {', '.join(painted)}")
        samples = view.table("reconstruct", name, subject)
        picked = samples[samples["chosen"].astype(bool)]
        return dict(zip(picked["row_id"], picked.index, strict=True))


def _listed(words):
    """``a,b`` or [a, b] as a list of words."""
    words = words.split(",") if isinstance(words, str) else list(words or [])
    return [str(word).strip() for word in words if str(word).strip()]


def _pair(text):
    both = text.split(":")
    if len(both) != 2 or both[0] == both[1] or not all(both):
        raise UserError(f"pairs: {text!r} is no pair of conditions, such as model:ridge")
    return tuple(both)


def _study(folder):
    if not (folder / "study.json").is_file() or not (folder / "key.tsv").is_file():
        raise UserError(
            f"{folder} holds no key.tsv and study.json: make a page first (neurodecode rate RUN), "
            "or name its folder by out=DIR"
        )
    study = read_json(folder / "study.json")
    try:
        key = read_text_table(
            folder / "key.tsv", "the key", dtype={"trial": int}, keep_default_na=False
        )
    except ValueError as error:
        raise UserError(f"the key cannot be read: {error}") from error
    if list(key.columns) != KEY or study_id(key) != study.get("study"):
        raise UserError(f"{folder / 'key.tsv'} is not the key of its study.json: it was changed")
    return study, key


def _per_trial(run, store):
    try:
        return open_run(run, "evaluate", store).view().table("evaluate", "per_trial.parquet")
    except UserError:
        return None  # a run that painted and did not score: people alone


def _scored(scores, metric, condition, other):
    if (condition, metric) not in scores:
        return None
    value = scores[condition, metric]
    if not other:
        return value
    return value - scores[other, metric] if (other, metric) in scores else None


def _correlated(people, score, rng):
    rows = rng.integers(len(people), size=(N_DRAWS, len(people)))
    draws = [spearman(people[r], score[r]) for r in rows]
    low, high = np.quantile(draws, [0.025, 0.975])
    return spearman(people, score), float(low), float(high)


def _plain(value):
    """Without NaN, which is no JSON, and without numpy's own numbers."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
