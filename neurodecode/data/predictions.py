"""Read anybody's predictions: a table of ids and embeddings, arrays, or a folder of pictures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodecode.core.claims import check_npy, check_npz
from neurodecode.core.documents import read_text_table
from neurodecode.core.views import read_table

IDS = ("stimulus_id", "trial_id", "row_id")
PICTURES = (".png", ".jpg", ".jpeg")
N_EXAMPLES = 3


@dataclass(frozen=True)
class Predictions:
    """Vectors or pictures, and what each is of.

    Parameters
    ----------
    source : str
        What the user called the file: ``predictions=predicted.tsv``.
    stimulus_ids : ndarray of str, shape (n_rows,)
    row_ids : ndarray of str, shape (n_rows,)
        Distinct: trial_id or row_id where there is one, else the stimulus.
    subjects : ndarray of str, shape (n_rows,)
        All "" where the file names none.
    values : ndarray of float, shape (n_rows, dim); or None for pictures
    files : list of Path
        Of pictures; empty otherwise.
    columns : DataFrame or None
        What else a table holds: columns of text.
    """

    source: str
    stimulus_ids: np.ndarray
    row_ids: np.ndarray
    subjects: np.ndarray
    values: np.ndarray | None
    files: list
    columns: object = None

    def row_of(self, stimulus_ids, subject=""):
        """Number the rows of these stimuli, for files that hold each stimulus once."""
        mine = np.flatnonzero((self.subjects == subject) | (self.subjects == ""))
        number = dict(zip(self.stimulus_ids[mine], mine, strict=True))
        return [number[s] for s in stimulus_ids]


def read_predictions(path, source):
    """Read a file of embeddings or a folder of pictures.

    Parameters
    ----------
    path : path
        ``.tsv``, ``.csv``, ``.parquet``: a column ``stimulus_id``, if wanted ``trial_id`` (or
        ``row_id``) and ``subject``; every numeric column is a dimension (or one column
        ``embedding`` of lists). ``.npz``: arrays ``embeddings`` and ``stimulus_id`` (or ``ids``),
        if wanted ``trial_id`` and ``subject``. ``.npy``: the embeddings, beside a ``.tsv`` of the
        same name with the ids. A folder: pictures named by stimulus id.
    source : str
        Name of the option, for messages.

    Raises
    ------
    FileNotFoundError, ValueError
        Saying what is missing, double, not finite or not a number, with examples.
    """
    path = Path(path).expanduser()
    source = f"{source}={path}"
    if not path.exists():
        raise FileNotFoundError(f"{source}: there is no such file or folder")
    if path.is_dir():
        return _of_pictures(path, source)
    readers = {".tsv": _table, ".csv": _table, ".parquet": _table, ".npz": _npz, ".npy": _npy}
    if path.suffix not in readers:
        raise ValueError(f"{source}: expected {', '.join(readers)}, or a folder of pictures")
    ids, values, columns = readers[path.suffix](path, source)
    stimulus_ids = _ids_of(ids, source)
    row_ids = next((ids[n] for n in ("trial_id", "row_id") if n in ids), stimulus_ids)
    subjects = ids.get("subject", np.full(len(stimulus_ids), ""))
    found = Predictions(source, stimulus_ids, row_ids, subjects, values, [], columns)
    _check(found)
    return found


def read_labels(path, source, column=None):
    """Read one column of text by stimulus: ``{stimulus_id: label}``.

    Parameters
    ----------
    path : path
        A .tsv, .csv or .parquet file with a column ``stimulus_id``.
    column : str or None
        None: the only other column.
    """
    path = Path(path).expanduser()
    source = f"{source}={path}"
    if not path.is_file():
        raise FileNotFoundError(f"{source}: there is no such file")
    table = _read(path)
    if "stimulus_id" not in table:
        raise ValueError(f"{source}: no column stimulus_id; it has {', '.join(table.columns)}")
    others = [c for c in table.columns if c not in (*IDS, "subject")]
    if column is None and len(others) != 1:
        raise ValueError(f"{source}: say which column: category= one of {', '.join(others)}")
    column = column or others[0]
    if column not in table:
        raise ValueError(f"{source}: no column {column!r}; it has {', '.join(others)}")
    ids = table["stimulus_id"].astype(str).to_numpy()
    _check_distinct(ids, source, "stimulus_id")
    labels = table[column].astype(str)
    if (labels == "").any() or table[column].isna().any():
        raise ValueError(f"{source}: {column} is empty for some stimuli: name a category for each")
    return dict(zip(ids, labels, strict=True))


def examples(ids):
    """Name a few of many: ``a, b, c and 9 more``."""
    ids = sorted(map(str, ids))
    more = f" and {len(ids) - N_EXAMPLES} more" if len(ids) > N_EXAMPLES else ""
    return ", ".join(ids[:N_EXAMPLES]) + more


def check_same_stimuli(predictions, truth):
    """Every prediction has its truth, and every truth a prediction, in every subject.

    Raises
    ------
    ValueError
        With the number and examples: scores over chosen stimuli mean something else.
    """
    told, known = set(predictions.stimulus_ids), set(truth.stimulus_ids)
    if told - known:
        raise ValueError(
            f"{len(told - known)} of {len(told)} predicted stimuli are not in {truth.source}: "
            f"{examples(told - known)}"
        )
    if known - told:
        raise ValueError(
            f"{len(known - told)} stimuli of {truth.source} have no prediction: "
            f"{examples(known - told)}. Scores of some stimuli do not stand for all: predict these "
            "too, or take them out of the truth if they were never tested"
        )


def check_same_rows(other, predictions):
    """A further condition has the rows of the predictions; returns its rows in their order."""
    key = lambda p: list(zip(p.subjects, p.row_ids, strict=True))
    mine, theirs = key(predictions), {row: i for i, row in enumerate(key(other))}
    lacking = [row for row in mine if row not in theirs]
    if lacking or len(theirs) != len(mine):
        odd = {" ".join(filter(None, row)) for row in lacking or set(theirs) - set(mine)}
        what = "lacks" if lacking else "has other rows than"
        raise ValueError(
            f"{other.source} {what} the rows of {predictions.source}: {len(odd)}, {examples(odd)}"
        )
    return [theirs[row] for row in mine]


def _read(path):
    if path.suffix != ".csv":
        return read_table(path)
    names = read_text_table(path, "ids and numbers", sep=",", nrows=0).columns
    text = [n for n in names if n.endswith("_id") or n == "subject"]
    return read_text_table(path, "ids and numbers", sep=",", dtype=dict.fromkeys(text, str))


def _table(path, source):
    import pandas as pd

    table = _read(path)
    named = [c for c in (*IDS, "subject") if c in table]
    ids = {c: table[c].astype(str).to_numpy() for c in named}
    rest = table.drop(columns=named)
    if "embedding" in rest:
        lengths = {len(v) for v in rest["embedding"]}
        if len(lengths) != 1:
            raise ValueError(f"{source}: embeddings have {len(lengths)} lengths: {sorted(lengths)}")
        values = np.stack([np.asarray(v, float) for v in rest["embedding"]])
        return ids, values, rest.drop(columns="embedding")
    numeric = [c for c in rest if pd.api.types.is_numeric_dtype(rest[c])]
    if not numeric:
        raise ValueError(
            f"{source}: no numeric columns, which would be the embedding; it has "
            f"{', '.join(map(str, table.columns))}"
        )
    return ids, rest[numeric].to_numpy(float), rest.drop(columns=numeric).astype(str)


def _npz(path, source):
    check_npz(path)
    with np.load(path, allow_pickle=False) as file:
        if "embeddings" not in file:
            raise ValueError(f"{source}: no array 'embeddings'; it has {', '.join(file)}")
        names = {"ids": "stimulus_id"} | {n: n for n in (*IDS, "subject")}
        try:
            ids = {names[n]: file[n].astype(str) for n in file if n in names}
        except ValueError as error:
            raise ValueError(
                f"{source}: its ids are Python objects; save them as text: ids.astype(str)"
            ) from error
        return ids, np.asarray(file["embeddings"], float), None


def _npy(path, source):
    beside = path.with_suffix(".tsv")
    if not beside.is_file():
        raise FileNotFoundError(f"{source}: its ids are sought in {beside}, which is not there")
    table = read_table(beside)
    ids = {c: table[c].astype(str).to_numpy() for c in (*IDS, "subject") if c in table}
    rest = table.drop(columns=list(ids))
    check_npy(path)
    return ids, np.asarray(np.load(path, allow_pickle=False), float), rest.astype(str)


def _of_pictures(folder, source):
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in PICTURES)
    if not files:
        raise ValueError(f"{source}: no picture in it; expected files such as scene01.png")
    ids = np.array([f.stem for f in files])
    _check_distinct(ids, source, "stimulus id (the name without its ending)")
    return Predictions(source, ids, ids, np.full(len(ids), ""), None, files)


def _ids_of(ids, source):
    if "stimulus_id" in ids:
        return ids["stimulus_id"]
    raise ValueError(
        f"{source}: no stimulus_id, which says what each row is a prediction of"
        + (f"; it has {', '.join(ids)}" if ids else "")
    )


def _check(found):
    n, values = len(found.stimulus_ids), found.values
    if values.ndim != 2 or len(values) != n or not n:
        raise ValueError(
            f"{found.source}: {n} ids and embeddings of shape {values.shape}: expected a row of "
            "numbers for each id"
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{found.source}: {bad.sum()} of {n} rows hold NaN or infinite numbers: "
            f"{examples(found.row_ids[bad])}"
        )
    blank = "\x1f"
    rows = np.array([f"{s}{blank}{r}" for s, r in zip(found.subjects, found.row_ids, strict=True)])
    one = "stimulus_id" if found.row_ids is found.stimulus_ids else "trial_id or row_id"
    _check_distinct(rows, found.source, one, lambda row: row.replace(blank, " ").strip())


def _check_distinct(ids, source, what, told=str):
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{source}: {(counts > 1).sum()} ids stand there more than once as {what}: "
            f"{examples(map(told, names[counts > 1]))}; several trials of a stimulus need a column "
            "trial_id"
        )
