"""Read what people answered, and refuse what is not of this study; who is left out, and why."""

from pathlib import Path

from neurodecode.core.documents import read_text_table
from neurodecode.core.errors import UserError
from neurodecode.stages.rating import SIDES

COLUMNS = "study rater position trial choice rt_ms changed".split()
MOST_BYTES = 20_000_000


def answer_files(places):
    """The CSV files that are named, or lie in a folder that is.

    Raises
    ------
    UserError
        If one is not there, or there is none.
    """
    files = []
    for place in [places] if isinstance(places, str | Path) else places:
        path = Path(place).expanduser()
        if not path.exists():
            raise UserError(f"answers: there is no {path}")
        files += sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"answers: no CSV files in {places}: raters download one each at the end")
    return list(dict.fromkeys(files))


def read_answers(files, key, study):
    """Read answer files into one table.

    Parameters
    ----------
    files : list of Path
    key : DataFrame
        key.tsv of the page.
    study : str
        Its id, which every line must name.

    Returns
    -------
    answers : DataFrame
        rater trial choice rt_ms changed; a file that was given twice counts once.

    Raises
    ------
    UserError
        Naming file and line: of another study, a trial that is not in the key, a choice that is
        no side, a time that is no number, a trial that a rater answered twice differently.
    """
    import pandas as pd

    known = set(key["trial"].astype(str))
    parts = [_read_one(file, known, study) for file in files]
    answers = pd.concat(parts, ignore_index=True)
    answers = answers.drop_duplicates(["rater", "trial", "choice", "rt_ms"])
    twice = answers.duplicated(["rater", "trial"])
    if twice.any():
        one = answers[twice].iloc[0]
        raise UserError(
            f"{one['where']}: rater {one['rater']} answered trial {one['trial']} before, "
            "differently: two people with one id, or one person twice; keep one of the files"
        )
    return answers.assign(trial=answers["trial"].astype(int)).drop(columns="where")


def _read_one(file, known, study):
    import pandas as pd

    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file} has {file.stat().st_size} bytes: it is no file of answers")
    try:
        table = read_text_table(file, "answers", sep=",", dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"{error}: give the files that raters downloaded") from error
    if missing := [c for c in COLUMNS if c not in table]:
        raise UserError(f"{file}, line 1: no column {', '.join(missing)}: it is no file of answers")
    table = table.assign(where=[f"{file}, line {k + 2}" for k in range(len(table))])
    _refuse(table, table["study"] != study, "study", f"is of another page than this key ({study})")
    _refuse(table, table["rater"].str.strip() == "", "rater", "names nobody")
    _refuse(table, ~table["trial"].isin(known), "trial", "is not in key.tsv")
    _refuse(table, ~table["choice"].isin(SIDES), "choice", "is neither left nor right")
    times = pd.to_numeric(table["rt_ms"], errors="coerce")
    _refuse(table, ~(times > 0), "rt_ms", "is no time in milliseconds")
    _refuse(table, ~table["changed"].isin(("0", "1")), "changed", "is neither 0 nor 1")
    return table[["rater", "trial", "choice", "changed", "where"]].assign(rt_ms=times)


def _refuse(table, wrong, column, why):
    if wrong.any():
        line = table[wrong].iloc[0]
        raise UserError(f"{line['where']}: {column} {line[column]!r} {why}")


def judged_answers(answers, key):
    """Join answers with the key: adds its columns, and ``hit`` (the answer, or first condition)."""
    joined = answers.merge(key, on="trial", validate="many_to_one")
    return joined.assign(hit=(joined["choice"] == joined["answer"]).astype(float))


def raters_table(joined, key, rule):
    """Who rated, how well they looked, and who is left out by the rule that was stated before.

    Returns
    -------
    raters : DataFrame
        rater n_answered catch n_catch median_rt_ms n_changed excluded (a reason, or "").
    """
    import pandas as pd

    main = key["kind"].isin(("identification", "preference")).sum()
    rows = []
    for rater, mine in joined.groupby("rater", sort=True):
        catch = mine.loc[mine["kind"] == "catch", "hit"]
        asked = mine[mine["kind"].isin(("identification", "preference"))]
        rows.append(
            {
                "rater": rater,
                "n_answered": len(asked),
                "catch": catch.mean(),
                "n_catch": len(catch),
                "median_rt_ms": asked["rt_ms"].median(),
                "n_changed": int((mine["changed"] == "1").sum()),
                "excluded": _excluded(len(asked) / main, catch, rule),
            }
        )
    return pd.DataFrame(rows)


def _excluded(share, catch, rule):
    if share < rule["least_answered"]:
        return f"answered {share:.0%} of the trials, fewer than {rule['least_answered']:.0%}"
    if not len(catch):
        return "saw no catch trial"
    if catch.mean() < rule["least_catch"]:
        return f"{catch.mean():.0%} of the catch trials right, fewer than {rule['least_catch']:.0%}"
    return ""
