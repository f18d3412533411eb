"""Plan: how large the next study must be, from a finished run or from what is hoped for.

Not a stage of a run: `neurodecode plan` reads what a run scored, or the numbers it is given.
"""

import re
from itertools import product

from neurodecode.core.errors import ConfigError, UserError
from neurodecode.core.finished import open_run

KEYS = (
    "score metric candidates chance sd stimuli repeats subjects reliability shared subject_sd "
    "population within power level alpha condition"
).split()
RETRIEVAL = re.compile(r"(?:brain_to_image_|image_to_brain_)?top(\d+)")
STIMULI, SUBJECTS = [50, 100, 200, 400, 800], [1, 4, 8, 20]


def make_plan(run=None, **asked):
    """Say what intervals and power studies of several sizes will have.

    Parameters
    ----------
    run : path or None
        Folder of a finished run whose scores, subjects and repeats are the pilot.
    asked
        What `neurodecode plan` takes as KEY=VALUE; docs/planning.md lists them.

    Returns
    -------
    text : str
        What is assumed, a table and, where `within` or `power` is asked for, the answer.

    Raises
    ------
    ConfigError, UserError
        For an unknown key, a value that makes no sense, and a run that cannot be planned from.
    """
    from neurodecode.rigour.planning import People, least_stimuli, plan

    _check(asked)
    pilot = _pilot(run, asked) if run is not None else {}
    told = pilot | asked
    kind, words = _kind(told)
    people = People(
        shared=told.get("shared", 0.0),
        sd=told.get("subject_sd", 0.0),
        population=told.get("population", "stimuli"),
    )
    how = {"level": told.get("level", 0.95), "alpha": told.get("alpha", 0.05)}
    wanted = {name: told[name] for name in ("within", "power") if name in told}
    stimuli, *others = _sizes(told, kind, people)
    text = [words, _assumed(people, kind), ""]
    if wanted:
        found = [
            (*size, least_stimuli(kind, people, *size, **wanted, **how))
            for size in product(*others)
        ]
        return "\n".join([*text, *_least(found, how), "", _answer(found, wanted)])
    lines = [plan(kind, people, *size, **how) for size in product(stimuli, *others)]
    return "\n".join([*text, *_table(lines, how)])


def _check(asked):
    for key, value in asked.items():
        if key not in KEYS:
            raise ConfigError(f"{key}: there is no such key; plan knows {', '.join(KEYS)}")
        if key in ("metric", "population", "condition"):
            continue
        counts = key in ("stimuli", "repeats", "subjects", "candidates")
        each = value if isinstance(value, list) and counts and key != "candidates" else [value]
        kinds, expected = (int, "a whole number") if counts else ((int, float), "a number")
        for one in each:
            if isinstance(one, bool) or not isinstance(one, kinds):
                raise ConfigError(f"{key}={value}: expected {expected}, got {one!r}")
            if counts and one < 1:
                raise ConfigError(f"{key}={value}: expected 1 or more")
    for key in ("within", "power", "level", "alpha", "chance"):
        if key in asked and not 0 < asked[key] < 1:
            raise ConfigError(f"{key}={asked[key]}: expected more than 0 and less than 1")


def _kind(told):
    """The score that is planned for, and one sentence about it."""
    from neurodecode.rigour.planning import Averaged, Ranked

    metric = str(told.get("metric", "top1"))
    if "score" not in told:
        raise ConfigError("say what score you hope for, score=.3, or name the folder of a run")
    score, repeats = float(told["score"]), _first(told.get("pilot_repeats", told.get("repeats", 1)))
    found = RETRIEVAL.fullmatch(metric)
    if found or metric.startswith("two_way"):
        top = int(found[1]) if found else 1
        candidates = _candidates(told, top) if found else 2
        rest = {"dispersion": told.get("dispersion", 1.0), "reliability": told.get("reliability")}
        kind = Ranked(score, top, candidates, repeats, **rest)
        among = "of two" if not found else f"of {candidates}"
        return kind, f"{metric} {among}: {score:.3g} (chance {top / candidates:.3g})"
    if missing := [key for key in ("chance", "sd") if key not in told]:
        raise ConfigError(
            f"metric={metric} is no retrieval score (top1, top5, two_way): say its "
            f"{' and '.join(missing)} too, sd being that of single test pictures"
        )
    kind = Averaged(score, told["chance"], told["sd"], repeats)
    return kind, f"{metric}: {score:.3g} (chance {told['chance']:.3g}, SD {told['sd']:.3g})"


def _candidates(told, top):
    if "candidates" in told:
        return told["candidates"]
    if "chance" in told:
        return max(round(top / told["chance"]), top + 1)
    raise ConfigError(
        "say among how many pictures the score is, candidates=100 (or its chance=.01)"
    )


def _sizes(told, kind, people):
    """The sizes to lay out: test pictures, repeats, subjects."""
    listed = lambda value: value if isinstance(value, list) else [value]
    repeats = listed(told.get("repeats", kind.n_repeats))
    if "repeats" not in told and getattr(kind, "reliability", None):
        repeats = sorted({1, kind.n_repeats, 2 * kind.n_repeats})
    subjects = listed(told.get("subjects", SUBJECTS))
    if people.population != "stimuli" and "subjects" not in told:
        subjects = [n for n in subjects if n > 1]
    enough = [n for n in STIMULI if n >= kind.fewest] or [kind.fewest]
    return listed(told.get("stimuli", enough)), repeats, subjects


def _pilot(folder, asked):
    """What a run says: score, spread, repeats, how subjects differ."""
    from neurodecode.rigour.planning import Ranked, components

    view = open_run(folder, needs="evaluate").view()
    scores = view.table("evaluate", "per_trial.parquet")
    metrics = view.table("evaluate", "metrics.tsv")
    condition = str(asked.get("condition", "model"))
    metric = str(asked.get("metric", "brain_to_image_top1"))
    metric = f"brain_to_image_{metric}" if re.fullmatch(r"top\d+", metric) else metric
    if metric == "median_rank":
        raise ConfigError("median_rank is a median: plan a mean, such as metric=top1 or two_way")
    rows = scores[(scores["condition"] == condition) & (scores["metric"] == metric)]
    if not len(rows):
        raise ConfigError(
            f"{folder} has no {metric} of {condition}: its metrics are "
            f"{', '.join(scores['metric'].unique())}; its conditions "
            f"{', '.join(scores['condition'].unique())}"
        )
    lines = metrics[(metrics["condition"] == condition) & (metrics["metric"] == metric)]
    found = components(rows["value"].to_numpy(), rows["subject"], rows["stimulus_id"])
    repeats, reliability = _repeats(view)
    pilot = {
        "metric": metric,
        "score": found["score"],
        "chance": float(lines["chance"].iloc[-1]),
        "sd": found["row"] ** 0.5,
        "shared": round(found["shared"], 3),
        "subject_sd": round(found["sd"], 4),
        "pilot_repeats": repeats,
        "reliability": reliability,
    }
    if top := RETRIEVAL.fullmatch(metric):
        pilot["candidates"] = int(lines["set_size"].max())
        kind = {"top": int(top[1]), "candidates": pilot["candidates"]}
    if top or metric.startswith("two_way"):
        if found["score"] <= pilot["chance"]:
            raise UserError(
                f"{folder}: {metric} is {found['score']:.3g}, not above chance "
                f"({pilot['chance']:.3g}); say what you hope for, score=… candidates=…, and no run"
            )
        kind = kind if top else {"candidates": 2}
        expected = Ranked(found["score"], **kind).expected(rows["stimulus_id"].nunique(), 1)[2]
        pilot["dispersion"] = found["row"] / expected if expected > 0 else 1.0
    return pilot


def _repeats(view):
    """Repeats averaged in a run, and how far its single trials repeat (None: unknown)."""
    tables = [view.table("predict", "rows.tsv", s) for s in view.members("predict")]
    repeats = round(sum(t["n_repeats"].mean() for t in tables) / len(tables))
    quality = view.json("evaluate", "figures.json")["responses"].values()
    known = [q["repeat_correlation"] for q in quality if q.get("repeat_correlation")]
    mean = sum(known) / len(known) if known else None
    return repeats, mean if mean is not None and 0 < mean < 1 else None


def _first(value):
    return value[0] if isinstance(value, list) else value


def _assumed(people, kind):
    speaks = {
        "stimuli": "other stimuli, for these subjects",
        "subjects": "other subjects, for these stimuli",
        "both": "other subjects and other stimuli",
    }
    repeats = f"; of {kind.n_repeats} repeats" if kind.n_repeats > 1 else ""
    if getattr(kind, "reliability", None):
        repeats += f", single trials repeat with r = {kind.reliability:.2g}"
    return (
        f"speaks of {speaks[people.population]}; subjects share {people.shared:.2g} of the "
        f"pictures' variance and differ by an SD of {people.sd:.2g}{repeats}"
    )


HEAD = f"{'pictures':>9}{'repeats':>9}{'subjects':>10}{'score':>8}{'interval':>11}{'power':>8}"


def _table(lines, how):
    yield f"{HEAD}    (interval {how['level']:.0%}, power at p ≤ {how['alpha']:g})"
    yield from map(_line, lines)


def _least(found, how):
    yield f"{HEAD}    (the fewest pictures; interval {how['level']:.0%}, p ≤ {how['alpha']:g})"
    for n_repeats, n_subjects, line in found:
        none = f"{'none':>9}{n_repeats:9}{n_subjects:10}    more pictures do not help"
        yield _line(line) if line else none


def _line(line):
    half = f"± {line['half_width']:.3f}"
    return (
        f"{line['stimuli']:9}{line['repeats']:9}{line['subjects']:10}{line['score']:8.3f}"
        f"{half:>11}{line['power']:8.2f}"
    )


def _answer(found, wanted):
    asked = {"within": "an interval within ± {:g}", "power": "a power of {:g}"}
    goal = " and ".join(asked[name].format(value) for name, value in wanted.items())
    lines = [line for *_, line in found if line]
    if not lines:
        return f"No number of test pictures gives {goal}: more subjects, or repeats, are needed."
    best = min(lines, key=lambda line: line["stimuli"] * line["repeats"] * line["subjects"])
    times = "once" if best["repeats"] == 1 else f"{best['repeats']} times each"
    who = "1 subject" if best["subjects"] == 1 else f"{best['subjects']} subjects"
    return (
        f"The least recording for {goal}: {best['stimuli']} test pictures, shown {times} to {who} "
        f"(score {best['score']:.2f} ± {best['half_width']:.3f}, power {best['power']:.2f})."
    )
