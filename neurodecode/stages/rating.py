"""Rating by people: which two pictures a trial shows, on which side, and what is the answer.

No stage of a run but a step after it. In an *identification* trial one of two reconstructions is of
the picture shown, the other of another test picture, by the same condition. In a *preference* trial
both are of the picture shown, by two conditions. In a *catch* trial one of the two is the picture
itself: who misses several of them was not looking. People see no difference between the kinds.
"""

import numpy as np

from neurodecode.core.errors import UserError
from neurodecode.core.key import digest
from neurodecode.core.seeds import child_rng

KEY = "trial kind condition other subject row_id stimulus_id foil_id left right answer".split()
SIDES = ("left", "right")
PRACTICE, CATCH_EVERY = 4, 10  # practice trials; main trials for one catch trial
RULE = {"least_catch": 0.8, "least_answered": 0.5}  # stated before any answer is read


def make_trials(rows, conditions, pairs, n_trials, seed):
    """Deal a study's rows to trials; sides are balanced, and every picture is used about as often.

    Parameters
    ----------
    rows : DataFrame
        subject row_id stimulus_id: what may be shown.
    conditions : sequence of str
        Of identification trials.
    pairs : sequence of (str, str)
        Of preference trials.
    n_trials : int
        Of both kinds together, shared out equally; practice and catch trials come on top.
    seed : int

    Returns
    -------
    key : DataFrame
        A line per trial, in random order under opaque numbers; columns `KEY`. ``left`` and
        ``right`` say what is shown: ``condition|subject|row_id``, condition "original" for a
        stimulus.

    Raises
    ------
    UserError
        If there are fewer than two stimuli, fewer trials than blocks, or nothing to ask.
    """
    blocks = [("identification", c, "") for c in conditions]
    blocks += [("preference", a, b) for a, b in pairs]
    _check(rows, blocks, n_trials)
    rng = child_rng(seed, "rating")
    lines, order = [], _dealt(rows, rng)
    for number, block in enumerate(blocks):
        n = n_trials // len(blocks) + (number < n_trials % len(blocks))
        lines += _block(block, order, n, rng)
    n_catch = max(3, round(n_trials / CATCH_EVERY))
    lines += _block(("catch", "original", ""), order, n_catch, rng)
    practice = _block(("practice", "original", ""), order, PRACTICE, rng)
    lines = practice + [lines[k] for k in rng.permutation(len(lines))]
    return _numbered(lines, rng)


def study_id(key):
    """Name a page by what it asks: twelve hex digits."""
    return digest(key.to_csv(index=False))[:12]


def _check(rows, blocks, n_trials):
    if not blocks:
        raise UserError("nothing to rate: name conditions=… or pairs=…")
    if rows["stimulus_id"].nunique() < 2:
        raise UserError("a choice between two pictures needs two test pictures or more")
    if n_trials < len(blocks):
        raise UserError(f"n_trials is {n_trials}, for {len(blocks)} kinds of trials: one of each")


def _dealt(rows, rng):
    """Rows in random order, each stimulus once before any comes again, subjects by turns."""
    turns = {}
    for stimulus, same in rows.groupby("stimulus_id", sort=True):
        turns[stimulus] = same.iloc[rng.permutation(len(same))].to_dict("records")
    names = [str(s) for s in rng.permutation(list(turns))]
    rounds = max(map(len, turns.values()))
    return [turns[s][k] for k in range(rounds) for s in names if k < len(turns[s])]


def _block(block, order, n, rng):
    """Lines of `n` trials of one kind: sides balanced, foils another stimulus of the subject."""
    kind, condition, other = block
    start = int(rng.integers(len(order)))
    sides = rng.permutation(np.arange(n) % 2)
    lines, used = [], {}
    for k in range(n):
        row = order[(start + k) % len(order)]
        foil = None if kind == "preference" else _foil(row, order, used, rng)
        shown = f"{condition}|{row['subject']}|{row['row_id']}"
        beside = (
            f"{other}|{row['subject']}|{row['row_id']}"
            if foil is None
            else f"{condition}|{foil['subject']}|{foil['row_id']}"
        )
        placed = [shown, beside] if sides[k] == 0 else [beside, shown]
        about = {"kind": kind, "condition": condition, "other": other} | row
        about |= {"foil_id": "" if foil is None else foil["stimulus_id"]}
        # of a preference trial the "answer" is the side of its first condition
        lines.append(about | dict(zip(SIDES, placed, strict=True)) | {"answer": SIDES[sides[k]]})
    return lines


def _foil(row, order, used, rng):
    """Another stimulus of the same subject, one of those that were used least."""
    others = [
        r
        for r in order
        if r["stimulus_id"] != row["stimulus_id"] and r["subject"] == row["subject"]
    ]
    if not others:
        raise UserError(f"{row['subject']} has no second test picture to choose from")
    least = min(used.get(r["row_id"], 0) for r in others)
    others = [r for r in others if used.get(r["row_id"], 0) == least]
    found = others[int(rng.integers(len(others)))]
    used[found["row_id"]] = least + 1
    return found


def _numbered(lines, rng):
    """Opaque numbers: three digits or more in random order, practice trials among them."""
    import pandas as pd

    numbers = 100 + rng.permutation(900 if len(lines) < 900 else 10 * len(lines))[: len(lines)]
    return pd.DataFrame(lines).assign(trial=numbers)[KEY]
