"""How the members of a sweep ended: a table, a line for each that failed, one exit code."""

import json
from dataclasses import dataclass
from pathlib import Path

DONE, FAILED, SUBMITTED = "done", "failed", "submitted"
MEMBERS_FAILED = 4


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Parameters
    ----------
    number : int
        Its place in the sweep, and the name of its folder.
    overrides : tuple of str
    state : str
        ``done``; ``submitted`` (to a scheduler, and not waited for); anything else is not done.
    took : str
        How long, with its unit.
    log : Path
        What it printed.
    why : str
        What it failed of, as far as known.
    code : int
        Its own exit code, if it ran in this process.
    """

    number: int
    overrides: tuple
    state: str
    took: str
    log: Path
    why: str = ""
    code: int = 0


def status(folder):
    """Return (status, error) as the run.json of a run folder tells them; ("", "") without one."""
    try:
        state = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "", ""
    return state.get("status") or "", state.get("error") or ""


def told_apart(member, members):
    """The overrides of a member that not all members of the sweep have."""
    common = set.intersection(*(set(m.overrides) for m in members)) if len(members) > 1 else set()
    return " ".join(o for o in member.overrides if o not in common)


def summary(members, whole=True):
    """Return the table of members, and a line for each that is not done.

    Parameters
    ----------
    members : list of Member
    whole : bool
        Whether these are all members of the sweep; if not, it was stopped on its way.

    Returns
    -------
    text : str
    """
    rows = [("member", "state", "took", "log")]
    rows += [(str(m.number), m.state, m.took, str(m.log)) for m in members]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[3]]) for row in rows]
    failed = [m for m in members if m.state not in (DONE, SUBMITTED)]
    lines += [
        f"{m.state}: member {m.number} ({told_apart(m, members)}): {_cause(m)}" for m in failed
    ]
    n_done = sum(m.state == DONE for m in members)
    if not whole:
        lines.append(f"{n_done} members are done; the sweep was stopped before its end")
    elif members[0].state != SUBMITTED:
        lines.append(f"{n_done} of {len(members)} members are done")
    return "\n".join(lines)


def _cause(member):
    return f"{member.why}; see {member.log}" if member.why else f"see {member.log}"


def exit_code(members):
    """0 if every member is done, or was submitted and not waited for; else 4."""
    ended_well = all(m.state in (DONE, SUBMITTED) for m in members)
    return 0 if ended_well else MEMBERS_FAILED
