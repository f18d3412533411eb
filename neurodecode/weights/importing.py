"""Import a published checkpoint: from a file of anybody's to a folder of checked weights.

The network's own file says what the published keys mean (its function `published`); what fits by
key and shape is written as safetensors, with what did not fit beside it, and a model card.
"""

import inspect
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.build import build, check_targets, locate
from neurodecode.core.claims import FalseClaim, is_plain
from neurodecode.core.documents import read_json
from neurodecode.core.errors import ConfigError
from neurodecode.core.key import digest, file_digest
from neurodecode.core.sealed import write_json
from neurodecode.weights import matching
from neurodecode.weights.card import card
from neurodecode.weights.checkpoint_file import Checkpoint, check_room, read_checkpoint

FORMAT = "neurodecode imported checkpoint 1"
CONFIG, WEIGHTS, PRIOR, CARD = "config.json", "model.safetensors", "prior.safetensors", "README.md"


@dataclass(frozen=True)
class Asked:
    """What is asked of an import.

    Attributes
    ----------
    files : tuple of Path
        One; several where a checkpoint was published in parts, whose keys then stand together.
    model : str
        The choice's name.
    node : dict
        Its `_target_` and options.
    subjects : list of str
        Names for the subjects whose parts the file has, in its order; empty: as it has them.
    licence : str
    partial : bool
        Accept a checkpoint that lacks parameters of the network.
    """

    files: tuple
    model: str
    node: dict
    subjects: tuple = ()
    licence: str = "unknown"
    partial: bool = False

    @property
    def file(self) -> str:
        """The file, or the files, for messages."""
        return ", ".join(map(str, self.files))

    def as_json(self) -> dict:
        """What makes two imports of one file the same."""
        about = {"model": self.node, "subjects": list(self.subjects), "licence": self.licence}
        return about | {"partial": self.partial}


def import_checkpoint(asked: Asked, out=None, tell=print) -> Path:
    """Import a checkpoint; return the folder, which is written whole or not at all.

    Parameters
    ----------
    asked : Asked
    out : path, optional
        The folder; None: below ``imported``, by model and file.
    tell : callable (str)
        Hears the table of what matched.

    Raises
    ------
    ConfigError
        If the network's file knows no published layout, parameters are missing, or the folder holds
        something else.
    FileNotFoundError, FalseClaim, ValueError
        For a file that cannot be read, or is of another network.
    """
    check_targets(asked.node, f"model={asked.model}")
    published = layout_of(asked)
    found = together([read_checkpoint(file) for file in asked.files], asked)
    source = source_of(asked.files)
    folder = Path(out).expanduser() if out is not None else _folder(asked, source)
    if _is_there(folder, asked, source):
        tell(f"{folder} holds this import already")
        return folder
    for line in _said_of(found):
        tell(line)
    match, subjects, prior = fitted(asked, published, found)
    tell(matching.table(match, len(prior.tensors) if prior else 0))
    if match.lacking and not asked.partial:
        raise ConfigError(
            f"{asked.file} lacks {len(match.lacking)} parameters of model={asked.model}, such as "
            f"{match.lacking[0]}: it is of another network or version, or of a part of it; "
            "partial=true takes what there is, and the rest starts at random"
        )
    about = {"format": FORMAT, "asked": asked.as_json(), "name": asked.model, "source": source}
    about |= {"model": asked.node, "prior": prior.node if prior else None, "subjects": subjects}
    about |= {"within": list(found.within), "left": list(found.left), "inert": list(found.inert)}
    about |= _as_json(match, prior)
    _write(folder, match, prior, about, _paper(asked.node))
    return folder


@dataclass(frozen=True)
class Prior:
    """The diffusion prior in a decoder's checkpoint: the node that builds it, for such tokens."""

    tensors: dict
    node: dict
    sizes: dict
    lacking: list


def fitted(asked: Asked, published, found: Checkpoint) -> tuple:
    """Match a checkpoint with the network it is said to be of: (match, subjects, prior or None)."""
    prior, taken = matching.prior_within(found.state)
    try:
        network, names = matching.recognised(published, found.state)
    except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        said = error if isinstance(error, ValueError) else f"it has other shapes ({error})"
        raise FalseClaim(
            f"{asked.file} is no checkpoint of model={asked.model}: {said}. It holds "
            f"{len(found.state)} tensors, such as {', '.join(list(found.state)[:3])}"
        ) from None
    renamed, subjects = matching.with_subjects(network, names, list(asked.subjects))
    match = matching.matched(found.state, network, names)
    new = lambda named: [renamed.get(key, key) for key in named]
    match = matching.Match(
        {renamed[key]: tensor for key, tensor in match.tensors.items()},
        {theirs: renamed[ours] for theirs, ours in match.renamed.items()},
        new(match.missing),
        new(match.buffers),
        [key for key in match.unexpected if key not in taken],
        {renamed[key]: both for key, both in match.shapes.items()},
    )
    if not match.tensors:
        raise FalseClaim(
            f"{asked.file} has no tensor that model={asked.model} has a place for, by key and "
            f"shape: it is of another network. It holds {', '.join(list(found.state)[:3])} …"
        )
    return match, subjects, _prior(prior) if prior else None


def layout_of(asked: Asked):
    """The function that knows the published layout: `published` of the network's own file.

    Raises
    ------
    ConfigError
        If it has none.
    """
    target = locate(asked.node["_target_"])
    published = getattr(sys.modules[target.__module__], "published", None)
    if not inspect.isfunction(published):
        raise ConfigError(
            f"model={asked.model}: {target.__module__} knows no published checkpoints (it has no "
            "function named published); docs/checkpoints.md lists the networks that do"
        )
    takes = inspect.signature(published).parameters
    options = {name: value for name, value in asked.node.items() if name in takes}
    return lambda shapes: published(shapes, **options)


def together(parts: list[Checkpoint], asked: Asked) -> Checkpoint:
    """Put the parts of a checkpoint together.

    Raises
    ------
    ConfigError
        If two of them have a tensor of one name.
    """
    state = {}
    for part in parts:
        if twice := sorted(state.keys() & part.state.keys()):
            raise ConfigError(
                f"{asked.file}: {twice[0]} is in two of the files: they are no parts of one "
                "checkpoint; import them one by one"
            )
        state |= part.state
    all_of = lambda name: tuple(dict.fromkeys(n for part in parts for n in getattr(part, name)))
    return Checkpoint(state, parts[0].within, all_of("left"), all_of("inert"))


def source_of(files) -> dict:
    """Name, size and digest of a checkpoint: its file, all its files, or those of a folder."""
    places = [Path(file).expanduser() for file in files]
    parts = [p for f in places for p in (sorted(f.rglob("*.safetensors")) if f.is_dir() else [f])]
    digests = [file_digest(part) for part in parts]
    whole = digests[0] if len(digests) == 1 else digest(digests)
    size = sum(part.stat().st_size for part in parts)
    return {"file": ", ".join(p.name for p in places), "sha256": whole, "size": size}


def _prior(tensors):
    """The part of a published prior that ours has a place for."""
    import torch

    node, (n_tokens, dim) = matching.prior_node(tensors)
    with torch.device("meta"):
        network = build(node, n_tokens=n_tokens, dim=dim)
    match = matching.matched(tensors, network, {key: key for key in tensors})
    return Prior(match.tensors, node, {"n_tokens": n_tokens, "dim": dim}, match.lacking)


def _said_of(found):
    where = "".join(f"[{key!r}]" for key in found.within)
    states = [key for key in found.left if "optim" in key or "sched" in key]
    others = [key for key in found.left if key not in states]
    yield f"weights of the file{where}: {len(found.state)} tensors"
    if states:
        yield f"states of optimisers are not imported: {', '.join(states)}"
    if others:
        yield f"left aside: {', '.join(others[:12])}{' …' if len(others) > 12 else ''}"
    if found.inert:
        yield f"classes that the file names, not made: {', '.join(found.inert[:6])}"


def _folder(asked, source):
    stem = asked.files[0].stem if is_plain(asked.files[0].stem) else "checkpoint"
    return Path("imported") / f"{asked.model}-{stem}-{source['sha256'][:8]}"


def _is_there(folder, asked, source):
    """Whether a folder holds the very import; ConfigError if it holds anything else."""
    if not folder.exists():
        return False
    if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
        about = read_json(folder / CONFIG)
        if about.get("source") == source and about.get("asked") == asked.as_json():
            return True
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    raise ConfigError(
        f"{folder} is there and holds something else than this import: give another out=, or "
        "remove it"
    )


def _as_json(match, prior):
    shapes = {key: [list(a), list(b)] for key, (a, b) in sorted(match.shapes.items())}
    return {
        "n_tensors": len(match.tensors),
        "n_parameters": match.n_parameters,
        "renamed": match.renamed,
        "missing": match.missing,
        "missing_tables": match.buffers,
        "other_shapes": shapes,
        "unexpected": match.unexpected,
        "prior_sizes": prior.sizes if prior else None,
        "prior_lacks": prior.lacking if prior else [],
    }


def _write(folder, match, prior, about, paper):
    """Write the folder beside its place, and rename it: whole or absent."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        _save(match.tensors, part / WEIGHTS)
        if prior is not None:
            _save(prior.tensors, part / PRIOR)
        write_json(part / CONFIG, about)
        (part / CARD).write_text(card(about, folder, paper), encoding="utf-8")
        part.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()  # empty, as was found before
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _save(tensors, path):
    from safetensors.torch import save_file

    check_room(path, sum(t.numel() * t.element_size() for t in tensors.values()))
    seen, own = set(), {}
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        at = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if at in seen else tensor  # tied weights: each a file's own
        seen.add(at)
    save_file(own, path)


def _paper(node):
    """What the network's file, or else its class, says under `References`."""
    target = locate(node["_target_"])
    for documented in (sys.modules[target.__module__], target):
        _, _, listed = (inspect.getdoc(documented) or "").partition("References\n----------\n")
        if listed:
            return " ".join(listed.split("\n\n")[0].split()).replace(".. [", "[")
    return None
