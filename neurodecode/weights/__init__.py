"""The small trained models that come with the package, and how a name finds them.

Each lies in its own folder with a model card (`README.md`: data, seeds, command, figures).
"""

from pathlib import Path

_HERE = Path(__file__).parent
_PREFIX = "shipped:"


def shipped(name: str) -> Path:
    """Find the folder of a shipped model.

    Parameters
    ----------
    name : str
        ``"clip"``, with or without ``shipped:`` before it.

    Raises
    ------
    ValueError
        When there is no such model; the message lists those there are.
    """
    bare = name.removeprefix(_PREFIX)
    known = sorted(card.parent.name for card in _HERE.glob("*/README.md"))
    if bare not in known:
        raise ValueError(f"no weights named {bare!r} are shipped: there are {', '.join(known)}")
    return _HERE / bare


def weights_folder(name: str) -> Path | None:
    """Find the local folder that a model's name means: shipped, or a path; None for a hub name.

    Raises
    ------
    FileNotFoundError
        When the name looks like a path (it begins with ``/``, ``.`` or ``~``) but leads nowhere.
    """
    if name.startswith(_PREFIX):
        return shipped(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith(("/", ".", "~")):
        raise FileNotFoundError(f"no folder {folder}: expected where a saved model lies")
    return None


def named_folders(node: dict | None) -> list[Path]:
    """List the local folders and files that a `_target_` node names: their bytes count in a key.

    Those of the nodes within it, too; a sentence, such as a prompt, names none.
    """
    within = [v for v in (node or {}).values() if isinstance(v, dict)]
    values = [v for k, v in (node or {}).items() if isinstance(v, str) and k != "_target_"]
    local = (_PREFIX, "/", ".", "~")
    named = [v for v in values if v.startswith(local) or ("/" in v and " " not in v)]
    found = [_file(v) or weights_folder(v) for v in named]
    found += [place for inner in within for place in named_folders(inner)]
    return [place for place in found if place is not None]


def _file(name):
    path = Path(name).expanduser()
    return path if path.is_file() else None
