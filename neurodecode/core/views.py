"""What a stage may see and where it may write: never the test rows by accident."""

import json
import math
import os
from functools import partial
from pathlib import Path

import numpy as np

from neurodecode.core.claims import FalseClaim, check_ratio, read_tensors
from neurodecode.core.documents import read_json, read_text_table
from neurodecode.core.errors import SealedError, UserError
from neurodecode.core.key import file_digest
from neurodecode.core.lazy import Lazy, Mapped
from neurodecode.core.progress import log, progress

TEXT_COLUMNS = {"subject", "session", "run", "split", "condition", "metric", "trial_type", "label"}
TEXT_COLUMNS |= {"path", "sha256", "caption", "partition"}  # may be empty throughout
SPLITS = ("train", "val", "test")


class View:
    """The inputs of one call of a stage.

    Parameters
    ----------
    stage : Stage
        Who is asking; its declaration decides what may be opened.
    artifacts : dict
        ``{stage name: Artifact}``, or ``{stage name: {member: Artifact}}`` for stages that run once
        per subject.
    each : str or None
        The subject this call is for.

    Attributes
    ----------
    raw_digest : callable (path) -> str
        sha256 of a file outside the store, remembered by path, size and modification time.
    """

    def __init__(self, stage, artifacts, each=None, records=None, sealed=None, raw_digest=None):
        self.each = each
        self.raw_digest = raw_digest or file_digest
        self.openings = []
        self._stage = stage
        self._artifacts = artifacts
        self._records = records or {}
        self._sealed = sealed or {}

    def has(self, stage):
        """Say whether the experiment has this optional stage."""
        return stage in self._artifacts

    def members(self, stage):
        """Return the subjects for which a stage was run, in order."""
        found = self._artifact_or_members(stage)
        return list(found) if isinstance(found, dict) else []

    def path(self, stage, name, each=None):
        """Return the path of an input file, or folder, whose bytes were checked.

        Raises
        ------
        SealedError
            If the file holds test rows: ask for ``inputs.responses`` instead.
        """
        self._may_read(stage, name)
        return self._artifact(stage, each).path(name)

    def table(self, stage, name, each=None):
        """Read a TSV or parquet table; ids, subjects and runs are text, missing text is ``""``."""
        return read_table(self.path(stage, name, each))

    def array(self, stage, name, each=None):
        """Memory-map an ``.npy`` file, read-only; a large one is checked as it is read.

        Returns
        -------
        array : memmap or CheckedArray
            To index, or for ``np.asarray``.
        """
        self._may_read(stage, name)
        return self._artifact(stage, each).array(name)

    def tensors(self, stage, name, each=None):
        """Read a safetensors file as ``{name: ndarray}``."""
        return read_tensors(self.path(stage, name, each))

    def json(self, stage, name, each=None):
        """Read a JSON file."""
        return read_json(self.path(stage, name, each), None)

    def files(self, stage, each=None):
        """Return the names of all files of an input."""
        return sorted(self._artifact(stage, each).files)

    def manifest(self, stage, each=None):
        """Return what is recorded of an input: config, key, code, versions, commit, files."""
        return self._artifact(stage, each).manifest

    def record(self, stage, each=None):
        """Return how an input was made: seconds, peak_mib, host, test openings; may be empty."""
        return self._records.get((stage, self._which(stage, each)), {})

    def responses(self, subject, rows="train"):
        """Return the responses of some split rows, and the trials they belong to.

        Parameters
        ----------
        subject : str
        rows : str
            ``"train"``, ``"val"``, ``"test"``, or several joined by ``+``.

        Returns
        -------
        responses : ndarray, shape (n_rows, n_channels[, n_times])
        trials : DataFrame
            In the same order, with a column ``split``.

        Raises
        ------
        SealedError
            If test rows are asked for by a stage that does not declare ``opens_test``.
        """
        artifact, keep, trials = self._split_rows(subject, rows)
        return np.asarray(opened(artifact, "responses.npy")[keep]), trials

    def rows(self, subject, rows="train"):
        """Like `responses`, but nothing is read yet: (`Lazy` rows, trials).

        Test rows are sealed in the same way, and asking for them is recorded as an opening.
        """
        artifact, keep, trials = self._split_rows(subject, rows)
        return Lazy(Mapped(partial(opened, artifact, "responses.npy")), keep), trials

    def lazy(self, stage, name, each=None):
        """All rows of an ``.npy`` file, unread: `Lazy`."""
        self._may_read(stage, name)
        return Lazy(Mapped(partial(opened, self._artifact(stage, each), name)))

    def size(self, stage, name, each=None):
        """Bytes of an input file, as its manifest says: nothing is opened, sealed or not."""
        return self._artifact(stage, each).files[name]["size"]

    def _split_rows(self, subject, rows):
        """Which rows of a subject's responses were asked for, once that is allowed."""
        wanted = rows.split("+")
        if unknown := set(wanted) - set(SPLITS):
            raise ValueError(f"rows={rows!r}: {unknown} is not one of {', '.join(SPLITS)}")
        if "test" in wanted:
            self._open_test(subject)
        trials = self.table("preprocess", "trials.tsv", subject)
        split = self.table("split", "split.tsv").set_index("trial_id")["split"]
        trials["split"] = trials["trial_id"].map(split).fillna("")
        keep = np.flatnonzero(trials["split"].isin(wanted))
        found = trials.iloc[keep].reset_index(drop=True)
        return self._artifact("preprocess", subject), keep, found

    def _may_read(self, stage, name):
        if name in self._sealed.get(stage, ()):
            raise SealedError(
                f"{self._stage.name} asked for {stage}/{name}, which holds test rows: "
                "read it by inputs.responses(subject, rows='train')"
            )

    def _open_test(self, subject):
        if not self._stage.opens_test:
            raise SealedError(
                f"the stage {self._stage.name} asked for the test rows of {subject}: only stages "
                "declared with opens_test may see them; nothing is fitted or chosen on test rows"
            )
        self.openings.append({"stage": self._stage.name, "subject": subject})

    def _artifact_or_members(self, stage):
        if stage not in self._artifacts:
            raise UserError(f"the stage {self._stage.name} has no input {stage!r}")
        return self._artifacts[stage]

    def _which(self, stage, each):
        many = isinstance(self._artifact_or_members(stage), dict)
        return (each or self.each) if many else None

    def _artifact(self, stage, each):
        found, which = self._artifact_or_members(stage), self._which(stage, each)
        if which is None and isinstance(found, dict):
            raise UserError(f"say which subject of {stage}: each= one of {', '.join(found)}")
        if which is not None and which not in found:
            raise UserError(f"{stage} was not run for {which!r}: it has {', '.join(found)}")
        return found[which] if which is not None else found


class Folder:
    """Where one call of a stage writes: a scratch folder that is published when the stage returns.

    Parameters
    ----------
    scratch : Path
        Becomes the artifact.
    work : callable () -> Path
        Makes the private folder for resuming, on first use.
    tell : callable (label, done, total, left_s), optional
        Hears how far the stage is.
    """

    def __init__(self, scratch, work, tell=None):
        self._scratch = Path(scratch)
        self._work = work
        self._tell = tell

    @property
    def work(self):
        """A private folder that survives a kill: what was saved here is found again."""
        return self._work()

    def path(self, name):
        """Return where to write the output `name`; its parent folders are made."""
        path = self._scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save_array(self, name, array):
        """Write an ``.npy`` file."""
        np.save(self.path(name), np.ascontiguousarray(array), allow_pickle=False)

    def open_array(self, name, shape, dtype):
        """Return a writable memory map of a new ``.npy`` file; its space on disk is reserved."""
        array = np.lib.format.open_memmap(self.path(name), mode="w+", dtype=dtype, shape=shape)
        reserve(self.path(name))
        return array

    def work_array(self, name, shape, dtype=float):
        """Return a memory map of a new ``.npy`` file in `work`, columns first in memory."""
        path = self.work / f"{name}.npy"
        array = np.lib.format.open_memmap(path, "w+", dtype, shape, fortran_order=True)
        reserve(path)
        return array

    def save_table(self, name, table):
        """Write a DataFrame as TSV or parquet, by the name's suffix."""
        if name.endswith(".parquet"):
            table.to_parquet(self.path(name), index=False)
        else:
            table.to_csv(self.path(name), sep="\t", index=False, lineterminator="\n", na_rep="n/a")

    def save_tensors(self, name, tensors):
        """Write ``{name: ndarray}`` as safetensors."""
        from safetensors.numpy import save_file

        arrays = {k: np.ascontiguousarray(tensors[k]) for k in sorted(tensors)}
        save_file(arrays, self.path(name))

    def save_json(self, name, obj):
        """Write JSON with sorted keys and floats at full precision: equal is equal bytes."""
        text = json.dumps(as_json(obj), indent=1, sort_keys=True, ensure_ascii=False)
        self.path(name).write_text(text + "\n", encoding="utf-8")

    def progress(self, iterable, total=None, label=""):
        """Iterate with a bar, or plain lines in a log file."""
        return progress(iterable, total, label, tell=self._tell)

    def log(self, line):
        """Tell the user one line."""
        log.info("    %s", line)


def opened(artifact, name):
    """Memory-map an artifact's ``.npy`` file, checked: what `Mapped` opens in any process."""
    return artifact.array(name)


def read_table(path):
    """Read a TSV or parquet table; columns of ids are text, and missing text is ``""``."""
    import pandas as pd

    if str(path).endswith(".parquet"):
        return read_parquet(path)
    names = read_text_table(path, "a header and lines", nrows=0).columns
    text = [n for n in names if n in TEXT_COLUMNS or n.endswith("_id")]
    table = read_text_table(path, "a header and lines", dtype=dict.fromkeys(text, str))
    strings = [n for n in names if n in text or not pd.api.types.is_numeric_dtype(table[n].dtype)]
    for name in strings:
        if table[name].dtype != bool:
            table[name] = table[name].fillna("")
    return table


def read_parquet(path):
    """Read a parquet table; FalseClaim where it cannot be read, or claims what it has not."""
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    try:
        about = pyarrow.parquet.ParquetFile(path).metadata
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        check_ratio(path, sum(g.total_byte_size for g in groups), Path(path).stat().st_size)
        return pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, FalseClaim | FileNotFoundError):
            raise
        raise FalseClaim(
            f"{path} is no readable parquet table ({error}): write it again"
        ) from error


def reserve(path):
    """Take a file's space on disk: a full disk is an error now, not a crash when it is written."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def as_json(obj):
    """What JSON knows, of numpy's numbers and arrays too; null for what is not a number."""
    if isinstance(obj, dict):
        return {key: as_json(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [as_json(value) for value in obj]
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else None
    return obj if obj is None or isinstance(obj, str | int) else as_json(_plain(obj))


def _plain(obj):
    if hasattr(obj, "tolist"):
        return obj.tolist()
    if isinstance(obj, Path):
        return str(obj)
    raise TypeError(f"{type(obj).__name__} cannot be written as JSON")
