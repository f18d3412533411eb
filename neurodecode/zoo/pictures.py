"""A user's own folder of pictures: read as squares, copies put together, a part held out.

A picture is cut to the square in its middle and scaled (bicubic), as CLIPs do. Copies of one
picture (smaller, encoded anew, mirrored, cut) stand on one side: held-out pictures are new ones.
"""

import hashlib
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurodecode.core.documents import read_text_table
from neurodecode.core.errors import ConfigError
from neurodecode.core.seeds import child_rng
from neurodecode.data.stimuli import picture_files, square_picture
from neurodecode.rigour.leaks.duplicates import SIDE, near_duplicates

log = logging.getLogger("neurodecode")
FEWEST = 50  # pictures: a tenth of fewer judges nothing
NAMED = 3  # examples in a message


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder.

    Attributes
    ----------
    root : Path
    names : list of str
        Relative to `root`.
    pictures : ndarray of uint8, shape (n, px, px, 3)
    thumbnails : ndarray of uint8, shape (n, SIDE, SIDE, 3)
    skipped : list of str
        Names of damaged files that were left out.
    """

    root: Path
    names: list[str]
    pictures: np.ndarray
    thumbnails: np.ndarray
    skipped: list[str]


def read_folder(root, px: int, skip_damaged: bool = False) -> Folder:
    """Read every picture in a folder and below it.

    Parameters
    ----------
    root : path
    px : int
        Width to scale them to.
    skip_damaged : bool
        Leave damaged files out instead of refusing the folder.

    Raises
    ------
    ValueError
        If a file is damaged, naming all that are; or if there are fewer than 50 pictures.
    """
    root = Path(root).expanduser()
    names, pictures, thumbnails, damaged = [], [], [], {}
    found = picture_files(root)
    for name in found:
        try:
            pictures.append(square_picture(root / name, px))
            thumbnails.append(square_picture(root / name, SIDE))
            names.append(name)
        except (ValueError, OSError) as error:
            damaged[name] = str(error)
    if damaged:
        some = "; ".join(list(damaged.values())[:NAMED])
        more = f" (and {len(damaged) - NAMED} more)" if len(damaged) > NAMED else ""
        if not skip_damaged:
            raise ValueError(
                f"{len(damaged)} of {len(found)} files in {root} are damaged: {some}{more}. Mend "
                "or remove them, or leave them out by damaged=skip"
            )
        log.warning("left out %d damaged files: %s%s", len(damaged), some, more)
    if len(names) < FEWEST:
        raise ValueError(
            f"{root} holds {len(names)} pictures that can be read: at least {FEWEST} are needed, "
            "and some thousands for pictures that convince"
        )
    return Folder(root, names, np.stack(pictures), np.stack(thumbnails), sorted(damaged))


def squares(folder: Folder, px: int) -> np.ndarray:
    """The pictures of a folder at another width: uint8 (n, px, px, 3)."""
    if folder.pictures.shape[1] == px:
        return folder.pictures
    return np.stack([square_picture(folder.root / name, px) for name in folder.names])


def groups_of_copies(thumbnails: np.ndarray, near: bool = True) -> np.ndarray:
    """Number pictures so that copies of one have one number: ndarray of int, shape (n,).

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (n, SIDE, SIDE, 3)
    near : bool
        Find copies that were scaled, encoded anew, cut or mirrored too, at a cost that grows with
        the square of n; else only those of equal thumbnails.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(thumbnails)
    bytes_of = np.array([hashlib.sha256(t.tobytes()).hexdigest() for t in thumbnails])
    _, first, which = np.unique(bytes_of, return_index=True, return_inverse=True)
    pairs = np.stack([np.arange(n), first[which]], axis=1)
    if near:
        pairs = np.concatenate([pairs, near_duplicates(thumbnails).pairs.reshape(-1, 2)])
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(links, directed=False)[1]


def hold_out(groups: np.ndarray, seed: int, share: float = 0.1, also=()) -> np.ndarray:
    """Choose the pictures that no model is trained on: ndarray of bool, shape (n,).

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        Copies of a picture have one number; they are held out together.
    seed : int
    share : float
        Of the pictures, at least.
    also : sequence of int
        Rows that are held out in any case, such as the test pictures of a study.

    Raises
    ------
    ConfigError
        If too little is left to train on.
    """
    order = child_rng(seed, "held out").permutation(groups.max() + 1)
    size = np.bincount(groups)
    asked = np.isin(np.arange(len(size)), groups[np.asarray(also, int)])
    order = np.concatenate([order[asked[order]], order[~asked[order]]])
    wanted = math.ceil(share * len(groups))
    n_groups = max(int(np.searchsorted(np.cumsum(size[order]), wanted)) + 1, int(asked.sum()))
    held = np.isin(groups, order[:n_groups])
    if held.sum() > len(groups) / 2:
        raise ConfigError(
            f"{held.sum()} of {len(groups)} pictures would be held out (copies of one picture stay "
            "together): add pictures, or name fewer in test="
        )
    return held


def rows_of_table(path, folder: Folder) -> list[int]:
    """The rows of the pictures that a table names in its column ``path`` or ``stim_file``.

    Raises
    ------
    ConfigError
        If the table has neither column, or names pictures that are not in the folder.
    """
    table = read_text_table(Path(path).expanduser(), "the pictures to hold out", dtype=str)
    column = next((c for c in ("path", "stim_file") if c in table), None)
    if column is None:
        raise ConfigError(f"{path} has no column path (or stim_file): it has {list(table)}")
    return [row for row in _rows(table[column].tolist(), folder, path) if row is not None]


def read_captions(path, folder: Folder) -> list[str | None]:
    """What a table with the columns ``path`` and ``caption`` says of each picture of the folder.

    Raises
    ------
    ConfigError
        If a column is missing, a picture is named twice or is not in the folder, or no caption is
        left.
    """
    table = read_text_table(
        Path(path).expanduser(), "a caption for each picture", dtype=str, keep_default_na=False
    )
    if missing := {"path", "caption"} - set(table):
        raise ConfigError(f"{path} has no column {sorted(missing)[0]}: it has {list(table)}")
    if (twice := table["path"].duplicated()).any():
        raise ConfigError(f"{path} names {table['path'][twice].iloc[0]!r} twice: keep one row each")
    rows = _rows(table["path"].tolist(), folder, path)
    said: list[str | None] = [None] * len(folder.names)
    for row, caption in zip(rows, table["caption"], strict=True):
        if row is not None:
            said[row] = caption.strip() or None
    if not any(said):
        raise ConfigError(f"{path} holds no caption: give some, or leave out captions=")
    return said


def _rows(names, folder, path):
    """Row numbers of names; None for damaged files that were left out."""
    known = {name: row for row, name in enumerate(folder.names)}
    there = {*known, *folder.skipped}
    strange = [name for name in names if name not in there]
    if strange:
        raise ConfigError(
            f"{path} names {len(strange)} pictures that are not in {folder.root}, such as "
            f"{strange[0]!r}: paths count from that folder"
        )
    return [known.get(name) for name in names]
