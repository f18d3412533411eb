"""A run that was done before: what its folder says, and where its artifacts lie."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.claims import check_manifest, is_plain
from neurodecode.core.documents import read_json
from neurodecode.core.errors import ConfigError, UserError
from neurodecode.core.sealed import read_sealed
from neurodecode.core.stage import load_stage
from neurodecode.core.state import STATE
from neurodecode.core.store import MANIFEST, Artifact
from neurodecode.core.views import Folder, View

LONGEST = 100  # letters in the name of a stage


@dataclass(frozen=True)
class FinishedRun:
    """What was computed in a run, up to the last stage it reached.

    Attributes
    ----------
    folder : Path
        Of the run, with its run.json.
    config : dict
        As composed, one node per stage.
    artifacts : dict
        ``{stage: Artifact}`` or ``{stage: {subject: Artifact}}``.
    """

    folder: Path
    config: dict
    artifacts: dict

    def view(self):
        """Show the artifacts, with their test rows sealed."""
        try:
            sealed = {name: load_stage(name).sealed for name in self.artifacts}
        except ConfigError as error:
            raise UserError(f"{self.folder / STATE}: {error}") from error
        return View(Reader(), self.artifacts, sealed=sealed)


@dataclass(frozen=True)
class Reader:
    """Who looks at a finished run: no stage, and without the right to open test rows."""

    name: str = "apply"
    opens_test: bool = False


def open_run(folder, needs, store=None):
    """Open the folder of a run.

    Parameters
    ----------
    folder : path
        With the run.json that `neurodecode run` writes.
    needs : str
        Stage that must be done.
    store : path, optional
        Where the store lies now, if it was moved since.

    Raises
    ------
    UserError
        If this is no folder of a run, the stage is not done, or its artifacts are gone.
    """
    folder = Path(folder).expanduser()
    state = read_state(folder)
    done = {(e["stage"], e.get("each")): e["folder"] for e in state.get("done") or []}
    artifacts = {}
    for (stage, each), place in done.items():
        artifact = _artifact(folder, stage, place, store)
        if each is None:
            artifacts[stage] = artifact
        else:
            artifacts.setdefault(stage, {})[each] = artifact
    if needs not in artifacts:
        raise UserError(_not_done(folder, state, needs))
    return FinishedRun(folder, state.get("config") or {}, artifacts)


@contextmanager
def whole_or_absent(folder):
    """Write a folder elsewhere, and rename it when all is written; on an error nothing is left.

    Parameters
    ----------
    folder : path
        Not there yet, or empty.

    Yields
    ------
    out : Folder
        To write in.

    Raises
    ------
    UserError
        If there is something in the folder, or it cannot be written.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not empty: name another folder, out=…")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write in {folder.parent}: {error.strerror}") from error
    try:
        yield Folder(scratch, lambda: scratch)
        os.chmod(scratch, 0o777 & ~_umask())  # what mkdtemp makes is for its owner's eyes only
        os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def read_state(folder):
    """Return what a run's run.json says; UserError if it is not the folder of a run."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name that of a run, such as runs/demo/…")
    try:
        state = read_json(folder / STATE)
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no {STATE}: name the folder of a run, which `neurodecode run` tells "
            "in its last line"
        ) from None
    except ValueError as error:
        raise UserError(f"{folder / STATE} is damaged ({error}): run again") from error
    if wrong := wrong_in(state):
        raise UserError(f"{folder / STATE} is damaged ({wrong}): run again")
    return state


def wrong_in(state):
    """Say which part of a run.json is not as the runner writes it; "" if none is."""
    kinds = {"done": list, "waiting": list, "config": dict, "status": str}
    for name, kind in kinds.items():
        value = state.get(name)
        if not isinstance(kind() if value is None else value, kind):
            return f"{name} is {value!r:.60}"
    for event in state.get("done") or []:
        named = isinstance(event, dict) and isinstance(event.get("folder"), str)
        stage = event.get("stage") if named else None
        plain = isinstance(stage, str) and stage.isidentifier() and len(stage) < LONGEST
        each = plain and event.get("each", 0)
        if not plain or not (each is None or (isinstance(each, str) and is_plain(each))):
            return f"done holds {event!r:.60}"
    return ""


def _artifact(folder, stage, place, store):
    """Find an artifact where the run left it, or at the same place in a store that was moved."""
    place = Path(place)
    if store is not None:
        place = Path(store).expanduser().joinpath(*place.parts[-3:])
    manifest = read_sealed(place / MANIFEST)
    if manifest is None:
        raise UserError(
            f"{folder}: its {stage} is no longer at {place}, or damaged: say where the store was "
            "moved (store=DIR), or run the experiment again"
        )
    check_manifest(manifest, place / MANIFEST)
    return Artifact(place, manifest)


def _not_done(folder, state, needs):
    reached = state["done"][-1]["stage"] if state.get("done") else "nothing"
    if needs not in (state.get("waiting") or []):
        return (
            f"{folder} is of an experiment without the stage {needs} (it went up to {reached}): "
            "a trained model is needed"
        )
    error = f" ({state['error']})" if state.get("error") else ""
    return (
        f"{folder} is unfinished: it is {state.get('status')}{error} after {reached}, and {needs} "
        "is not done; run its command again to go on from there"
    )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
