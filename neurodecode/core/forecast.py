"""Forecast a run: what is cached, what will be computed, and its cost. Nothing is written.

A stage's key needs the digests of its inputs, so below something that is still to be computed no
key is known.
"""

import dataclasses
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.costs import MIB, Cost, History, disk_mib, duration, space
from neurodecode.core.key import digest, keyed_fields
from neurodecode.core.store import MANIFEST, named_files

UNREAD_LIMIT = 2 * 1024**3  # bytes of raw files that a forecast digests to know a key


@dataclass(frozen=True)
class Line:
    """One artifact of the run to come.

    Parameters
    ----------
    stage : str
    each : str or None
        The subject, of stages that run once per subject.
    state : {"cached", "to compute"}
    identity : str
        Equal for two runs that would share the artifact.
    folder : Path or None
        Where it lies, if it is cached.
    age_s : float or None
    waits_for : tuple of str
        Why its key cannot be known: the stages, first of all above it, that are to be computed.
    partly : bool
        An interrupted run left work that will be gone on with.
    cost : Cost
        Of computing it; of a cached one, the disk space that it takes.
    """

    stage: str
    each: str | None
    state: str
    identity: str
    folder: Path | None = None
    age_s: float | None = None
    waits_for: tuple = ()
    partly: bool = False
    cost: Cost = Cost()


def forecast(pipeline):
    """Say of every artifact of a run whether it is there, and what it will cost if not.

    Parameters
    ----------
    pipeline : neurodecode.core.runner.Pipeline
        Made on ``Store.looked_at(root)`` and without a run folder; it is not run. Its list of
        artifacts is filled with those that are found.

    Returns
    -------
    lines : list of Line
        In the order of work.

    Raises
    ------
    UserError
        For the mistakes that the run itself would name before it computes: of keys, of subjects
        that the study does not have, of files that are not there.
    """
    history, lines = History(pipeline), {}
    for stage in pipeline.stages:
        for each in history.members() if stage.each else [None]:
            line = _look(pipeline, stage, each, lines)
            if line.state != "cached":
                cost = history.cost(stage, each, pipeline.configs[stage.name])
                line = dataclasses.replace(line, cost=cost)
            lines[stage.name, each] = line
    return list(lines.values())


def _look(pipeline, stage, each, lines):
    """The line of one artifact, without its cost."""
    before = [n for n in stage.inputs if any(n.stage == s for s, _ in lines)]
    needed = {n.stage: _relevant(n.stage, each, lines) for n in before}
    todo = [line for found in needed.values() for line in found if line.state != "cached"]
    missing = dict.fromkeys(s for line in todo for s in line.waits_for or (line.stage,))
    external = list(stage.external(pipeline.configs[stage.name])) if stage.external else []
    unread = pipeline.raw.unread(external)
    too_much = sum(p.stat().st_size for p in unread) > UNREAD_LIMIT
    if missing or too_much:
        waits = (*missing, *([f"{len(unread)} raw files not read yet"] if too_much else []))
        identity = _virtual_identity(pipeline, stage, each, needed)
        return Line(stage.name, each, "to compute", identity, waits_for=waits)
    for _, path in named_files(external):
        pipeline.raw.one(path)  # so that the digests are remembered, and not written down
    place, _ = pipeline.place(stage, each)
    folder = pipeline.store.folder(*place)
    found = pipeline.store.find(*place)
    if found is None:
        partly = bool(pipeline.store.works(folder))
        return Line(stage.name, each, "to compute", str(folder), partly=partly)
    if each is None:
        pipeline.artifacts[stage.name] = found
    else:
        pipeline.artifacts.setdefault(stage.name, {})[each] = found
    age_s = time.time() - (folder / MANIFEST).stat().st_mtime
    cost = Cost(disk_mib=disk_mib(found), basis="")
    return Line(stage.name, each, "cached", str(folder), folder, age_s, cost=cost)


def _relevant(stage, each, lines):
    """The lines of an input that one call depends on: its own subject's, or all."""
    own = lines.get((stage, each))
    return [own] if own else [line for (name, _), line in lines.items() if name == stage]


def _virtual_identity(pipeline, stage, each, needed):
    """A name for an artifact whose key is not known: equal where all that leads to it is equal."""
    return digest(
        {
            "stage": [stage.name, each],
            "config": keyed_fields(pipeline.configs[stage.name]),
            "inputs": {s: [line.identity for line in found] for s, found in needed.items()},
            "on": pipeline.hardware,
            "code": pipeline.code[stage.name],
        }
    )


def total(lines):
    """Add up what is to be computed: time and disk as sums, memory as the largest.

    Parameters
    ----------
    lines : list of Line
        Of one run or of several; an artifact that they share counts once.

    Returns
    -------
    total : dict
        seconds, peak_mib, disk_mib; n_cached, n_to_compute, n_unknown (of unknown cost).
    """
    distinct = list({line.identity: line for line in lines}.values())
    todo = [line for line in distinct if line.state != "cached"]
    known = [line.cost for line in todo if line.cost.seconds is not None]
    return {
        "seconds": sum(c.seconds for c in known),
        "peak_mib": max((c.peak_mib or 0 for c in known), default=0),
        "disk_mib": sum(c.disk_mib or 0 for c in known),
        "n_cached": len(distinct) - len(todo),
        "n_to_compute": len(todo),
        "n_unknown": len(todo) - len(known),
    }


def free_mib(root):
    """Free space, in MiB, where a store lies or will be made."""
    place = Path(root)
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / MIB


def table(lines, root):
    """Print a forecast as aligned text: a line per artifact.

    Parameters
    ----------
    lines : list of Line
    root : path
        Of the store, to which the folders are relative.

    Returns
    -------
    text : str
    """
    heads = ["stage", "subject", "state", "time", "memory", "disk", "where, or from what"]
    rows = [heads, *(_cells(line, root) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = {3, 4, 5}
    place = lambda i, cell: cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
    return "\n".join("  ".join(place(i, c) for i, c in enumerate(row)).rstrip() for row in rows)


def _cells(line, root):
    cost = line.cost
    if line.state == "cached":
        state = f"cached {duration(line.age_s)} ago"
        where = str(line.folder.relative_to(root))
        return [line.stage, line.each or "", state, "", "", space(cost.disk_mib), where]
    state = f"{line.state}{', from a checkpoint' if line.partly else ''}"
    if line.waits_for:
        state += f", after {', '.join(line.waits_for)}"
    figures = [duration(cost.seconds), space(cost.peak_mib), space(cost.disk_mib)]
    basis = cost.basis if cost.seconds is None else f"a guess from {cost.basis}"
    return [line.stage, line.each or "", state, *figures, basis]


def summary(lines, free, n_runs=1):
    """Say in a few sentences what a run, or a sweep of several, will take.

    Parameters
    ----------
    lines : list of Line
        Of all runs.
    free : float
        Free space at the store, in MiB.
    n_runs : int

    Returns
    -------
    sentences : list of str
        The last one is a warning where the space will not do.
    """
    sums = total(lines)
    of = sums["n_cached"] + sums["n_to_compute"]
    where = f"{n_runs} runs, what they share counted once: " if n_runs > 1 else ""
    if not sums["n_to_compute"]:
        return [f"{where}all {of} artifacts are cached: nothing to compute"]
    unknown = f"; {sums['n_unknown']} of unknown cost not counted" if sums["n_unknown"] else ""
    text = [
        f"{where}{sums['n_cached']} of {of} artifacts cached, {sums['n_to_compute']} to compute: "
        f"about {duration(sums['seconds'])}, {space(sums['peak_mib'])} of memory at the peak, "
        f"{space(sums['disk_mib'])} of disk ({space(free)} free){unknown}",
        "Times, memory and disk are guesses, from what the last column says.",
    ]
    if any(line.waits_for for line in lines):
        text.append(
            "What waits for others has no key yet: should its inputs come out byte for byte as "
            "before, it is found cached after all."
        )
    if sums["disk_mib"] > free:
        text.append(
            f"warning: {space(sums['disk_mib'])} are needed and {space(free)} are free at the "
            "store: free some, or name another, store=DIR"
        )
    return text
