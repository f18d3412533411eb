"""Look at the pictures of a study: are they there, and can they be read?"""

from pathlib import Path

from neurodecode.stages.doctor.findings import error, note

ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
MOST_READ = 20_000
DO_MISSING = (
    "put it there; some data sets ask you to fetch their pictures apart. A value that is no "
    "picture goes into recipe.ignore"
)


def check_pictures(root, shown):
    """Check the picture files that events name, by header and tail.

    Parameters
    ----------
    root : path
    shown : iterable of str
        What the events call them: relative to stimuli/.

    Returns
    -------
    findings : list of Finding
    """
    paths = sorted({picture_file(root, name) for name in shown})
    found = []
    for path in paths[:MOST_READ]:
        if not path.is_file():
            found.append(error("picture missing", "is not there", DO_MISSING, path))
        elif not path.stat().st_size:
            what = "is empty: the data set came without it"
            found.append(error("picture empty", what, "fetch it, for instance by datalad", path))
        elif reason := _unreadable(path):
            found.append(error("picture", f"cannot be read ({reason})", "fetch it again", path))
    if len(paths) > MOST_READ:
        what = f"of {len(paths)} pictures only the first {MOST_READ} were looked at"
        found.append(note("picture", what))
    return found


def picture_file(root, name):
    """Return where a picture lies: BIDS counts from stimuli/, some data sets write it too."""
    return Path(root) / "stimuli" / name.removeprefix("stimuli/")


def _unreadable(path):
    from PIL import Image

    try:
        with Image.open(path):
            pass
        with open(path, "rb") as file:
            file.seek(max(path.stat().st_size - 64, 0))
            tail = file.read()
    except Exception as stopped:  # each format raises its own
        return "is it a picture?" if "identify" in str(stopped) else str(stopped)
    return "" if ENDS.get(path.suffix.lower(), b"") in tail else "it ends too early"
