"""Leaderboard: rank finished runs by one score, and refuse to mix unlike protocols.

Not a stage of a run but a step after several: it reads the score cards in their folders.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.errors import UserError
from neurodecode.core.seeds import child_rng
from neurodecode.core.store import read_artifact
from neurodecode.rigour.alike import grouped, ranks, unlike

CARD = "score_card.json"
NOT_DECODED = "selected with the true picture: not a decoding result"
ALL = "all"
COLUMNS = (
    "table rank run condition subject metric set_size value lo hi n chance ceiling p better "
    "behind behind_lo behind_hi behind_p verdict test_openings split"
).split()
N_DRAWS = 1000
SEEDS = (
    "runs differ in their seeds: the best of several seeds is chosen on the test set and scores "
    "too high; report the seeds of one configuration together (neurodecode report RUN…)"
)


@dataclass(frozen=True)
class Entry:
    """One run: its folder's name, its score card, and where its scores lie (None: not in reach)."""

    name: str
    card: dict
    scores: Path | None


@dataclass(frozen=True)
class Board:
    """What was ranked: a line per run and condition, and what is to be said beside them.

    Parameters
    ----------
    lines : list of dict
        With the keys of `COLUMNS`; ``table`` numbers the protocols from 1.
    titles : list of str
        One for each table: what its protocol has that the first one has not.
    notes : list of str
    """

    lines: list
    titles: list
    notes: list


def leaderboard(
    paths,
    metric=None,
    set_size=None,
    subject=ALL,
    conditions=("model",),
    by_protocol=False,
    allow=(),
):
    """Rank runs by one score.

    Parameters
    ----------
    paths : list of path
        Folders of runs, or folders that hold such folders.
    metric : str or None
        None: the first that the first run compared, else its first.
    set_size : int or None
        Number of candidates; None: all test stimuli.
    subject : str
        ``all`` is the mean over subjects.
    conditions : sequence of str
    by_protocol : bool
        One table for each protocol instead of a refusal.
    allow : sequence of str
        Fields of the protocol that may differ.

    Returns
    -------
    board : Board

    Raises
    ------
    UserError
        Where protocols differ, naming each field, its values and the runs; for a folder without a
        score card; and where a run has no such score.
    """
    entries, notes = read_entries(paths)
    metric = metric or _first_metric(entries[0].card)
    found = {e.name: _score_lines(e, metric, set_size, subject, conditions) for e in entries}
    protocols = {e.name: protocol_of(e.card, metric, found[e.name][0]) for e in entries}
    _check_allowed(allow, protocols)
    if not by_protocol:
        _refuse(unlike(protocols, allow), metric, len(entries))
    groups = grouped(protocols, allow)
    by_name, lines = {e.name: e for e in entries}, []
    for number, names in enumerate(groups, 1):
        lines += _ranked(number, [by_name[n] for n in names], found)
    notes += [f"may differ, as asked: {', '.join(allow)}"] if allow else []
    notes += (
        [SEEDS] if len({json.dumps(e.card["seeds"], sort_keys=True) for e in entries}) > 1 else []
    )
    notes += [f"{e.name}: pictures were {NOT_DECODED}" for e in entries if _by_oracle(e.card)]
    return Board(lines, _titles(groups, protocols, allow), notes)


def _by_oracle(card):
    """Whether the pictures of a run were chosen with the true picture at hand."""
    return bool((card.get("selection") or {}).get("uses_true_picture"))


def read_entries(paths):
    """Read the score cards at or below each path; runs whose artifacts are the same count once."""
    from neurodecode.report.score_card import check_score_card

    files = [file for path in paths for file in _cards(Path(path).expanduser())]
    entries, notes, seen = [], [], {}
    for file in dict.fromkeys(files):
        try:
            card = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is no JSON: {error}") from error
        check_score_card(card, str(file))
        name, key = str(file.parent), json.dumps(card["keys"], sort_keys=True)
        if card["keys"] and key in seen:
            notes.append(f"{name} repeats {seen[key]}: counted once")
            continue
        seen[key] = name
        entries.append(Entry(name, card, _scores_folder(file.parent)))
    return entries, notes


def protocol_of(card, metric, line):
    """What must be equal for two lines of this score to be ranked: nested, by field."""
    space = line.get("space") or ""
    versions = {
        name: {"version": made["version"], "options": made["options"]}
        for name, made in sorted(card["metric_versions"].items())
        if made["space"] in (space, None)
    }
    return {
        "subjects": card["subjects"],
        **card["protocol"]["common"],
        **card["protocol"].get(space, {}),
        "candidates": _whole(line.get("set_size")),
        "n_test_stimuli": line["n"],
        "metric": versions,
    }


def table_text(board):
    """Write the board for a terminal."""
    heads = ["", "run", "condition", "score", "interval", "chance", "ceiling", "n", "p"]
    heads += ["behind the best", "verdict", "test openings"]
    parts = []
    for number, title in enumerate(board.titles, 1):
        mine = [line for line in board.lines if line["table"] == number]
        first = mine[0]
        of = f" of {first['set_size']}" if first["set_size"] is not None else ""
        whose = "mean over subjects" if first["subject"] == ALL else first["subject"]
        parts.append(f"{first['metric']}{of}, {whose}; {first['better']} is better")
        parts += [f"protocol {number}: {title}"] if len(board.titles) > 1 else []
        parts += [*_aligned([heads, *map(_cells, mine)]), ""]
    return "\n".join([*parts, *(f"note: {note}" for note in board.notes)]).rstrip() + "\n"


def save_csv(board, path):
    """Write the board as CSV: every line, unrounded."""
    import pandas as pd

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(board.lines, columns=COLUMNS).to_csv(path, index=False, lineterminator="\n")


def _cards(path):
    if (path / CARD).is_file():
        return [path / CARD]
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder; give that of a run, or of several")
    # an artifact of the store holds a card as well, beside its manifest
    inside = [f for f in sorted(path.rglob(CARD)) if not (f.parent / "manifest.json").exists()]
    if not inside:
        raise UserError(
            f"{path} holds no {CARD}, which a run writes with its report: finish the run, or give "
            "another folder"
        )
    return inside


def _scores_folder(run):
    """The artifact of the stage that scored, if run.json leads to it."""
    try:
        done = json.loads((run / "run.json").read_text(encoding="utf-8")).get("done", [])
    except (FileNotFoundError, ValueError):
        return None
    folders = [Path(e["folder"]) for e in done if e["stage"] == "evaluate" and e.get("folder")]
    return folders[-1] if folders and read_artifact(folders[-1]) else None


def _first_metric(card):
    for name in ("comparisons", "metrics"):
        if card[name]:
            return card[name][0]["metric"]
    raise UserError(f"{card['title']} was not scored: its score card has no metrics")


def _score_lines(entry, metric, set_size, subject, conditions):
    """The lines of one score, one a condition."""
    lines = entry.card["metrics"] or []
    subjects = {line["subject"] for line in lines}
    if subject == ALL and ALL not in subjects and len(subjects) == 1:
        subject = subjects.copy().pop()
    named = _known(lines, "metric", metric, f"{entry.name} has no score {metric!r}")
    mine = _known(named, "subject", subject, f"{entry.name}: no subject {subject!r} has {metric}")
    sizes = sorted({line["set_size"] for line in mine if line.get("set_size") is not None})
    wanted = set_size if set_size is not None else _whole(max(sizes, default=None))
    what = f"{entry.name}: {metric} of {wanted} candidates was not scored"
    sized = _known(mine, "set_size", wanted, what)
    return [
        _known(sized, "condition", name, f"{entry.name} has no condition {name!r}")[0]
        for name in conditions
    ]


def _known(lines, key, value, problem):
    found = [line for line in lines if line.get(key) == value]
    if not found:
        known = ", ".join(dict.fromkeys(str(line.get(key)) for line in lines))
        raise UserError(f"{problem}: it has {known or 'none'}")
    return found


def _check_allowed(allow, protocols):
    known = list(dict.fromkeys(name for protocol in protocols.values() for name in protocol))
    unknown = [field for field in allow if field.split(".")[0] not in known]
    if unknown:
        raise UserError(f"--allow {unknown[0]}: the protocol has {', '.join(known)}")


def _refuse(differing, metric, n_runs):
    if not differing:
        return
    told = []
    for field, who in differing.items():
        told.append(f"  {field}")
        told += [f"    {_short(value)}  in {_some(runs)}" for value, runs in who.items()]
    fields = dict.fromkeys(field.split(".")[0] for field in differing)
    allow = " ".join(f"--allow {field}" for field in fields)
    raise UserError(
        f"these {n_runs} runs cannot be ranked by {metric}, since their protocols differ:\n"
        + "\n".join(told)
        + f"\ngive runs of one protocol, or --by protocol for a table of each, or {allow} "
        "if that is the comparison"
    )


def _some(names, most=4):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _short(text, most=70):
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _titles(groups, protocols, allow):
    titles = []
    for names in groups:
        differing = unlike({n: protocols[n] for n in (groups[0][0], names[0])}, allow)
        own = [
            f"{field} {_short(next(v for v, runs in who.items() if names[0] in runs), 40)}"
            for field, who in differing.items()
        ]
        titles.append("; ".join(own) or "that of the first run")
    return titles


def _ranked(number, entries, found):
    """The lines of one table, best first, each with its distance from the best."""
    pairs = [(entry, line) for entry in entries for line in found[entry.name]]
    better = pairs[0][1].get("better", "higher")
    places = ranks([line["value"] for _, line in pairs], better)
    best = pairs[places.index(1)]
    lines = [
        {
            "table": number,
            "rank": rank,
            "run": entry.name,
            **{k: line.get(k) for k in COLUMNS if k in line},
            **_behind(best, (entry, line)),
            "condition": line["condition"] + (" (ORACLE)" if _marked(entry, line) else ""),
            "set_size": _whole(line.get("set_size")),
            "verdict": _level(entry.card, line["subject"]),
            "test_openings": sum(entry.card["test_openings"].values()),
            "split": (entry.card["protocol"]["common"]["split"] or "")[:12],
        }
        for rank, (entry, line) in zip(places, pairs, strict=True)
    ]
    return sorted(lines, key=lambda line: line["rank"])


def _marked(entry, line):
    """Scores of embeddings know of no selection; all others do."""
    return _by_oracle(entry.card) and line.get("space") != "embedding"


def _whole(size):
    return None if size is None else int(size)


def _level(card, subject):
    each = (card["verdict"] or {}).get("subjects", {})
    return each.get(subject, {}).get("level")


def _behind(best, other):
    """Paired difference to the best run, stimulus by stimulus, where both sets of scores are there.

    Scores of the whole set of candidates that are means: a median's rows do not add up to it.
    """
    from neurodecode.rigour.bootstrap import percentile_interval, resample_counts, weighted_mean
    from neurodecode.rigour.permutation import swaps, two_sided_p

    if best is other or other[1] is best[1]:
        return {}
    values = [_per_stimulus(*pair) for pair in (best, other)]
    if any(v is None for v in values) or not values[0].index.equals(values[1].index):
        return {}
    gap = (values[1] - values[0]).to_numpy()
    rng = child_rng(0, "leaderboard", best[0].name, other[0].name)
    draws = weighted_mean(gap[:, None], resample_counts(len(gap), N_DRAWS, rng))[:, 0]
    signs = 1 - 2 * swaps(len(gap), N_DRAWS, rng)
    low, high = percentile_interval(draws)
    return {
        "behind": float(gap.mean()),
        "behind_lo": float(low),
        "behind_hi": float(high),
        "behind_p": two_sided_p(gap.mean(), (signs * gap).mean(axis=1), rng),
    }


def _per_stimulus(entry, line):
    """Scores of a line by stimulus, averaged over subjects and rows; None where they do not fit."""
    import pandas as pd

    if entry.scores is None:
        return None
    table = pd.read_parquet(read_artifact(entry.scores).path("per_trial.parquet"))
    mine = table[(table["condition"] == line["condition"]) & (table["metric"] == line["metric"])]
    if line["subject"] != ALL:
        mine = mine[mine["subject"] == line["subject"]]
    values = mine.groupby("stimulus_id")["value"].mean()
    whole = len(values) and abs(values.mean() - line["value"]) < 1e-9
    return values.sort_index() if whole else None


def _cells(line):
    number = lambda v, form=".3f": "–" if v is None or v != v else format(v, form)
    gap = "–"
    if line.get("behind") is not None:
        gap = f"{line['behind']:+.3f} [{line['behind_lo']:+.3f}, {line['behind_hi']:+.3f}]"
    interval = f"[{number(line.get('lo'))}, {number(line.get('hi'))}]"
    return [
        str(line["rank"]),
        line["run"],
        line["condition"],
        number(line["value"]),
        interval,
        number(line.get("chance")),
        number(line.get("ceiling")),
        number(line.get("n"), ".0f"),
        number(line.get("p")),
        gap,
        line["verdict"] or "–",
        str(line["test_openings"]),
    ]


def _aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
