"""The stimuli of a study: their table, their files, and pictures as arrays."""

import struct
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurodecode.core.claims import FalseClaim
from neurodecode.core.documents import read_text_table
from neurodecode.data.recipe import Recipe
from neurodecode.data.sounds import is_sound

COLUMNS = ("stimulus_id", "path", "sha256", "caption", "partition")
PARTITIONS = ("train", "test", "")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # by content: no PostScript, which is code
PIXELS = 1 << 26
TABLES = ("stimuli/stimuli.tsv", "stimuli.tsv")


def with_table(recipe: Recipe, root):
    """Name the table of pictures that the recipe leaves open: the first of `TABLES`, or ""."""
    if recipe.stimulus_table is not None:
        return recipe
    found = (name for name in TABLES if (Path(root) / name).is_file())
    return replace(recipe, stimulus_table=next(found, ""))


def known_stimuli(recipe: Recipe, root):
    """Read the data set's own table of pictures, one row each, indexed by ``stim_file``.

    Raises
    ------
    FileNotFoundError
        If the table that the recipe names is not there.
    ValueError
        If a picture or a stimulus_id is there twice, or a partition is not train, test or empty.
    """
    import pandas as pd

    if recipe.label_column or not recipe.stimulus_table:
        return pd.DataFrame(columns=["stim_file", "stimulus_id", "caption", "partition"])
    path = Path(root) / recipe.stimulus_table
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: name the table of pictures in recipe.stimulus_table, or set it "
            'to "" (then a picture is known by its file name only)'
        )
    what = "stim_file, and what else is known of each picture"
    table = read_text_table(path, what, dtype=str, keep_default_na=False).replace("n/a", "")
    if "stim_file" not in table.columns:
        raise ValueError(f"{path} has no column 'stim_file'; it has {', '.join(table.columns)}")
    if "stimulus_id" not in table.columns:
        table["stimulus_id"] = [_stem(f) for f in table["stim_file"]]
    for column in ("caption", "partition"):
        table[column] = table.get(column, "")
    _check_table(path, table)
    return table


def name_stimuli(shown, known, recipe: Recipe, where):
    """Return the stimulus_id of each thing shown.

    Parameters
    ----------
    shown : Series of str
        Values of the events' stimulus or label column.
    known : DataFrame
        From `known_stimuli`; a value may name a picture by its stim_file or its stimulus_id.
    recipe : Recipe
    where : path
        The events table, for the message.

    Raises
    ------
    ValueError
        If the table of pictures does not know one of them.
    """
    if recipe.label_column:
        return shown
    if not recipe.stimulus_table:
        return shown.map(_stem)
    ids = dict(zip(known["stim_file"], known["stimulus_id"], strict=True))
    ids = dict.fromkeys(known["stimulus_id"]) | ids
    ids = {k: k if v is None else v for k, v in ids.items()}
    unknown = sorted(set(shown) - set(ids))
    if unknown:
        raise ValueError(
            f"{where} shows {unknown[0]!r}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f", unknown to {recipe.stimulus_table} ({len(known)} stimuli): add it there, or list "
            "it in recipe.ignore if it is not a stimulus"
        )
    return shown.map(ids)


def stimulus_table(trials, shown, known, recipe: Recipe, root, digest):
    """Describe every stimulus that was shown.

    Parameters
    ----------
    trials : DataFrame
        With ``stimulus_id``, all subjects.
    shown : Series of str
        In the order of `trials`: what events.tsv called it.
    known : DataFrame
        From `known_stimuli`.
    recipe : Recipe
    root : path
    digest : callable (path) -> str
        sha256 of a file.

    Returns
    -------
    stimuli : DataFrame
        By ``stimulus_id``: ``path`` (relative to root), ``sha256``, ``caption``, ``partition`` and
        the attribute columns of the table. A category has no path; its caption is its name.

    Raises
    ------
    FileNotFoundError
        If a picture is not in the data set.
    ValueError
        If two pictures would have one id.
    """
    import pandas as pd

    pairs = pd.DataFrame({"stimulus_id": trials["stimulus_id"], "stim_file": shown.to_numpy()})
    pairs = pairs.drop_duplicates().sort_values("stimulus_id")
    if recipe.label_column:
        names = pairs["stimulus_id"]
        return pd.DataFrame(
            {"stimulus_id": names, "path": "", "sha256": "", "caption": names, "partition": ""}
        )
    if recipe.stimulus_table:
        pairs = known[known["stimulus_id"].isin(pairs["stimulus_id"])].sort_values("stimulus_id")
    elif pairs["stimulus_id"].duplicated().any():
        twice = pairs[pairs["stimulus_id"].duplicated(keep=False)]["stim_file"].tolist()[:2]
        raise ValueError(f"the pictures {' and '.join(twice)} have one name: give a stimulus_table")
    paths = [_picture_path(root, f) for f in pairs["stim_file"]]
    stimuli = pairs.assign(
        path=[p.relative_to(root).as_posix() for p in paths], sha256=[digest(p) for p in paths]
    )
    for column in ("caption", "partition"):
        stimuli[column] = stimuli.get(column, "")
    attributes = [c for c in stimuli.columns if c not in (*COLUMNS, "stim_file")]
    return stimuli[[*COLUMNS, *attributes]].reset_index(drop=True)


def kind_of(stimuli):
    """Say what was shown: ``"pictures"``, ``"sounds"``, or "" where not all stimuli are files.

    Parameters
    ----------
    stimuli : DataFrame
        With ``path``, of `stimulus_table`.

    Raises
    ------
    ValueError
        If some are pictures and some sounds.
    """
    paths = stimuli["path"] if "path" in stimuli else []
    if not len(paths) or not all(paths):
        return ""
    heard = [is_sound(path) for path in paths]
    if any(heard) and not all(heard):
        raise ValueError(
            f"{sum(heard)} of {len(heard)} stimuli are sounds and the others pictures, which have "
            "no embedding in common: list one kind in recipe.ignore"
        )
    return "sounds" if any(heard) else "pictures"


def data_set_root(root, inputs):
    """Return the folder of the data set: the one given, or the simulated study among the inputs.

    Parameters
    ----------
    root : str
        ``recipe.root``; empty for a study that this experiment simulates.
    inputs : neurodecode.core.views.View
    """
    if root:
        return Path(root).expanduser()
    if not inputs.has("simulate"):
        raise ValueError("recipe.root is empty and no study was simulated: give the BIDS folder")
    return inputs.path("simulate", "bids/dataset_description.json").parent


def load_pictures(root, paths, size=None):
    """Load pictures as one array.

    Parameters
    ----------
    root : path
    paths : iterable of str
        Relative to `root`, the column ``path`` of stimuli.tsv.
    size : (height, width), optional
        Scale to this size (bicubic, antialiased); needed where the files differ in size.

    Returns
    -------
    pictures : ndarray of uint8, shape (n_pictures, height, width, 3)

    Raises
    ------
    ValueError
        If a file is not a picture, or the sizes differ and `size` is not given.
    """
    loaded = [_load_one(Path(root) / p, size) for p in paths]
    shapes = {p.shape for p in loaded}
    if len(shapes) > 1:
        raise ValueError(
            f"the pictures have {len(shapes)} sizes, such as {sorted(s[:2] for s in shapes)[:2]}: "
            "give one size to scale them to"
        )
    return np.stack(loaded) if loaded else np.zeros((0, *(size or (0, 0)), 3), np.uint8)


def square_picture(path, px):
    """Load the square in the middle of a picture, scaled (bicubic, antialiased).

    Returns
    -------
    picture : ndarray of uint8, shape (px, px, 3)

    Raises
    ------
    ValueError
        If the file is not a picture.
    """
    from PIL import Image

    with _opened(path) as picture:
        picture = _decoded(picture, path)
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    if side != px:
        square = square.resize((px, px), Image.Resampling.BICUBIC)
    return np.asarray(square, np.uint8)


def picture_size(path):
    """Return (width, height) of a picture, from its header.

    Raises ValueError if it is none, FileNotFoundError if it is not there.
    """
    with _opened(path) as picture:
        return picture.size


def picture_files(folder):
    """List the pictures in a folder and below it, relative to it, by name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} of pictures")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    if not found:
        raise FileNotFoundError(f"{folder} holds no picture ({', '.join(PICTURES)})")
    return [p.relative_to(folder).as_posix() for p in found]


def _load_one(path, size):
    from PIL import Image

    with _opened(path) as picture:
        picture = _decoded(picture, path)
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.uint8)


@contextmanager
def _opened(path):
    from PIL import Image

    damaged = (OSError, SyntaxError, ValueError, TypeError, struct.error, EOFError)
    damaged += (IndexError, KeyError, zlib.error, Image.DecompressionBombError)
    try:
        picture = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise FileNotFoundError(f"the picture {path} is not there") from None
    except damaged as error:
        raise ValueError(f"{path} cannot be read as a picture ({error}): fetch it again") from None
    with picture:
        if picture.width * picture.height > PIXELS:
            raise FalseClaim(
                f"{path} claims {picture.width} x {picture.height} pixels; pictures of more than "
                f"{PIXELS} are not read: scale it down"
            )
        yield picture


def _decoded(picture, path):
    """Read the pixels, as RGB."""
    damaged = (OSError, SyntaxError, ValueError, TypeError, struct.error, EOFError)
    damaged += (IndexError, KeyError, zlib.error)
    try:
        return picture.convert("RGB")
    except damaged as error:
        raise ValueError(f"{path} cannot be read as a picture ({error}): fetch it again") from None


def _check_table(path, table):
    for column in ("stim_file", "stimulus_id"):
        twice = table[column][table[column].duplicated()]
        if len(twice):
            raise ValueError(
                f"{path} names the {column} {twice.iloc[0]!r} twice: keep one row each"
            )
    strange = sorted(set(table["partition"]) - set(PARTITIONS))
    if strange:
        raise ValueError(f"{path}: partition is {strange[0]!r}; it must be train, test or empty")


def _picture_path(root, stim_file):
    """BIDS counts stim_file from stimuli/; some data sets write that folder too."""
    path = Path(root) / "stimuli" / stim_file.removeprefix("stimuli/")
    check_inside(path, root, stim_file)
    if not path.is_file():
        raise FileNotFoundError(
            f"the picture {path} is not there: some data sets ask you to fetch their pictures apart"
        )
    return path


def check_inside(path, root, name):
    """Refuse a name, written in a table, that leads out of the data set.

    Folders that are links are followed, since data are linked on clusters; so are links into an
    annex. A link of a single file to elsewhere is not: what it shows would stand in the report.

    Raises
    ------
    ValueError
    """
    parts = Path(name).parts
    if ".." in parts or Path(name).is_absolute() or "\0" in name:
        raise ValueError(
            f"{root} names the picture {name!r}, outside its folder stimuli: put the picture there "
            "and name it from there"
        )
    if not path.is_symlink():
        return
    target = path.resolve()
    home = (Path(root).resolve(), path.parent.resolve())
    annexed = ".git/annex/objects" in target.as_posix()
    if not annexed and not any(target.is_relative_to(folder) for folder in home):
        raise ValueError(
            f"the picture {path} is a link to {target}, out of the data set, and is not followed: "
            "copy the file, or link its whole folder"
        )


def _stem(stim_file):
    """Name a picture by its path without suffix, folders joined by a dash."""
    return Path(stim_file).with_suffix("").as_posix().replace("/", "-")
