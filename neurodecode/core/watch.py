"""Look at a run from outside: is it alive, what is done, running, waiting."""

import datetime
import json
import time
from pathlib import Path

from neurodecode.core.costs import duration
from neurodecode.core.errors import UserError
from neurodecode.core.finished import wrong_in
from neurodecode.core.lease import is_dead, me
from neurodecode.core.state import BEAT_S, STATE

SILENT_S = 6 * BEAT_S


def look(folder):
    """Read a run's state, and judge whether what it says still holds.

    Parameters
    ----------
    folder : path
        Of a run.

    Returns
    -------
    state : dict
        As in run.json, with ``folder``; ``status`` is ``killed`` where the process is gone, and
        ``silent`` where one on another host gave no sign of life for two minutes.

    Raises
    ------
    UserError
        If there is no readable run.json.
    """
    path = Path(folder) / STATE
    try:
        silent_s = time.time() - path.stat().st_mtime
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no {STATE}: name the folder of a run or sweep") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): run again") from error
    if wrong := wrong_in(state) if isinstance(state, dict) else "no object":
        raise UserError(f"{path} is damaged ({wrong}): run again")
    state = {"status": "unknown", "at": "", "done": [], "waiting": []} | state
    state |= {"folder": str(folder), "silent_s": round(silent_s)}
    if state["status"] == "running":
        state["status"] = _alive(state, silent_s)
    return state


def _alive(state, silent_s):
    holder = state.get("holder")
    known = isinstance(holder, dict) and {"host", "pid", "started"} <= set(holder)
    if known and holder["host"] == me()["host"]:
        return "killed" if is_dead(holder) else "running"
    return "silent" if silent_s > SILENT_S else "running"


def told(state):
    """Say a run's state in a few lines.

    Parameters
    ----------
    state : dict
        As of :func:`look`.
    """
    lines = [f"{state['folder']}: {_headline(state)}"]
    done = [_count(state, stage) for stage in dict.fromkeys(d["stage"] for d in state["done"])]
    if done:
        lines.append(f"  done     {', '.join(done)}")
    if state.get("running"):
        lines.append(f"  running  {_now(state['running'])}")
    if state["waiting"] and state["status"] != "done":
        lines.append(f"  waiting  {', '.join(state['waiting'])}")
    return "\n".join(lines)


def _headline(state):
    holder = state.get("holder") or {}
    where = f"process {holder.get('pid')} on {str(holder.get('host')).split('/')[0]}"
    again = "run the same command to go on"
    return {
        "running": f"running, {where}",
        "killed": f"killed: {where} is gone; {again}",
        "silent": f"no sign of life for {duration(state['silent_s'])} from {where}",
        "interrupted": f"interrupted; {again}",
        "failed": f"failed: {state.get('error')}",
    }.get(state["status"], f"{state['status']}, {state['at']}")


def _count(state, stage):
    n = sum(d["stage"] == stage for d in state["done"])
    return stage if n == 1 else f"{stage} ({n})"


def _now(running):
    since = datetime.datetime.fromisoformat(running["since"])
    seconds = (datetime.datetime.now(datetime.UTC) - since).total_seconds()
    text = f"{running['stage']} {running['each'] or ''}".strip() + f", for {duration(seconds)}"
    if "done" in running:
        of = f" of {running['total']}" if running["total"] else ""
        text += f": {running['label']} {running['done']}{of}"
        if running["left_s"] is not None:
            text += f", about {duration(running['left_s'])} left"
    return text
