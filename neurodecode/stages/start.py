"""Where a training begins: imported weights or those of an earlier run, and what of them stays.

A start is a folder of `neurodecode import-checkpoint` (model.safetensors, prior.safetensors), or
the artifact of an earlier run's stage train (weights.safetensors). Its tensors are taken by key and
shape; what it has no tensor for begins at random, and the log says so.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.claims import read_tensors
from neurodecode.core.documents import read_json

IMPORTED = ("model.safetensors", "config.json", "prior.safetensors")
TRAINED = ("weights.safetensors", "config.json")
SHOWN = 4  # names in a line of the log
SCALE = {"mean": "targets/tokens_mean", "std": "targets/tokens_std"}
# Options of a prior by which equal weights mean something else, and what they are where unsaid.
MEANING = {"image_embed_scale": 1.0, "compat": False, "n_steps": 100, "linear_components": 0}


@dataclass(frozen=True)
class Start:
    """Weights to begin with.

    Attributes
    ----------
    folder : Path
    decoder, prior : dict of Tensor
        By key; of the prior none where the folder has none.
    scale : dict of Tensor, or None
        Mean and deviation by which tokens are standardised; None: they are as the target says them.
    model, prior_node : dict
        The nodes they were made of.
    subjects : list of str
        Of the network; [] where that is unsaid.
    """

    folder: Path
    decoder: dict
    prior: dict
    scale: dict | None
    model: dict
    prior_node: dict = field(default_factory=dict)
    subjects: list = field(default_factory=list)


def named(start) -> list[Path]:
    """The folders that ``train.start`` names."""
    return [Path(p).expanduser() for p in ([start] if isinstance(start, str) else start or [])]


def files_of(start) -> list[Path]:
    """The files of weights whose bytes count in the key.

    Raises
    ------
    FileNotFoundError
        If a folder is not there, or holds no weights to begin with.
    """
    return [file for folder in named(start) for file in _files(folder)]


def opened(start) -> list[Start]:
    """Read the weights to begin with; [] where training begins at random."""
    return [_opened(folder) for folder in named(start)]


def check_one_start(starts, linear_start) -> None:
    """Refuse a network that is to begin at its start and at ridge.

    Raises
    ------
    ValueError
    """
    if starts and linear_start is not None:
        raise ValueError(
            f"train.start={starts[0].folder} and train.linear_start={linear_start}: the network "
            "begins at one of them; give train.linear_start=null to begin with the folder"
        )


def begin_decoder(decoder, starts, node, out) -> set:
    """Give a network the weights of its starts, one after the other; name what stays random.

    Parameters
    ----------
    decoder : nn.Module
    starts : list of Start
    node : dict
        What it was built of, to say which options differ.
    out : Folder

    Raises
    ------
    ValueError
        If nothing of a start fits.
    """
    left = {name for name, _ in decoder.named_parameters()}
    for start in starts:
        own = decoder.state_dict()
        _check_rows(decoder, start)
        fits, alike = _placed(own, start, node, subjects_of(decoder))
        decoder.load_state_dict(own | fits)
        left -= fits.keys()
        n_other = len(start.decoder.keys() - fits.keys() - set(alike.values()))
        aside = f"; {n_other} of its tensors have no place here" if n_other else ""
        out.log(f"decoder: {len(fits)} tensors begin as in {start.folder}{aside}")
        for key in sorted(k for k in start.decoder.keys() & own.keys() if k not in fits):
            there = tuple(start.decoder[key].shape)
            out.log(f"decoder: {key} is {tuple(own[key].shape)} here and {there} there: not used")
        if alike:
            out.log(f"decoder: {_few(sorted(set(alike.values())))} is that of every subject")
        for name in sorted(start.model.keys() & node.keys()):
            if start.model[name] != node[name]:
                was = f"{start.model[name]} in {start.folder}"
                out.log(f"decoder: train.model.{name} is {node[name]}, and was {was}")
    if starts:
        _tell_random(left, subjects_of(decoder), out)
    return left


def begin_prior(prior, starts, node, out) -> bool:
    """Give a prior the weights of the start that has all of its own; say whether one had.

    Raises
    ------
    ValueError
        If they were made with other options that give them another meaning.
    """
    own = prior.state_dict()
    needed = {name for name, _ in prior.named_parameters(remove_duplicate=False)}
    for start in (s for s in starts if s.prior and not prior.comes_trained):
        fits = fitting(own, start.prior)
        if needed and needed <= fits.keys():
            _check_meaning(node, start)
            prior.load_state_dict(own | fits)
            out.log(f"prior: begins as in {start.folder}")
            return True
        lacking = sorted(needed - fits.keys())
        out.log(
            f"prior: that of {start.folder} is another ({_few(lacking)} differ), and is not used"
        )
    return False


def token_scale(statistics, starts, out) -> dict:
    """The scale of tokens that the first start was trained with, in place of this study's.

    Parameters
    ----------
    statistics : dict of ndarray
        Of this study's training stimuli.
    starts : list of Start
    out : Folder
    """
    there = {part: statistics.get(name) for part, name in SCALE.items()}
    if not starts or there["mean"] is None:
        return {}
    scale = starts[0].scale
    for other in starts[1:]:
        if not _alike(scale, other.scale):
            raise ValueError(
                f"{starts[0].folder} and {other.folder} say tokens in different scales: begin with "
                "one of them, or train both on the same stimuli"
            )
    if scale is None:
        out.log("tokens are not standardised: imported weights say them as their target does")
        return {SCALE["mean"]: 0 * there["mean"], SCALE["std"]: np.ones_like(there["std"])}
    if any(scale[part].shape != there[part].shape for part in SCALE):
        return {}
    return {SCALE[part]: np.float32(scale[part]) for part in SCALE}


def check_phases(decoder, starts) -> None:
    """Refuse to learn first what comes trained.

    Raises
    ------
    ValueError
    """
    first = getattr(getattr(decoder, "tuning", None), "source_epochs", 0)
    if starts and first:
        raise ValueError(
            f"train.start={starts[0].folder} and train.model.source_epochs={first}: the other "
            "subjects come trained, or are learnt first; give train.model.source_epochs=0"
        )


def freeze(decoder, patterns) -> None:
    """Let parameters whose names fit a pattern (``translator.*``) stay as they are.

    Running statistics of batch norms are no parameters, and move all the same.

    Raises
    ------
    ValueError
        If a pattern fits none, or nothing is left to train.
    """
    parameters = dict(decoder.named_parameters())
    for pattern in patterns:
        fixed = [name for name in parameters if fnmatchcase(name, pattern)]
        if not fixed:
            raise ValueError(
                f"train.freeze: no parameter is named like {pattern!r}; there are "
                f"{', '.join(dict.fromkeys(name.partition('.')[0] + '.*' for name in parameters))}"
            )
        for name in fixed:
            parameters[name].requires_grad_(False)
    if patterns and not any(p.requires_grad for p in parameters.values()):
        raise ValueError(
            "train.freeze leaves nothing to train: take a pattern out, or give "
            "train.decoder_training=null"
        )


def check_trained(decoder_training, start) -> None:
    """Refuse a network that would stay random.

    Raises
    ------
    ValueError
    """
    if decoder_training is None and not start:
        raise ValueError(
            "decoder_training is null, so the network would stay random: say how to train it, or "
            "what it begins with (train.start=FOLDER)"
        )


def fitting(own, tensors) -> dict:
    """The tensors that a network has a place for, by key and shape.

    A single number is written as an array of one in artifacts, and is one again here.
    """
    import torch

    there = {key: torch.as_tensor(tensors[key]) for key in tensors.keys() & own.keys()}
    there = {k: t[0] if t.shape == (1,) and own[k].ndim == 0 else t for k, t in there.items()}
    return {key: tensor for key, tensor in there.items() if own[key].shape == tensor.shape}


def subjects_of(decoder) -> list[str]:
    """Names of the subjects that a network was made for."""
    return list(getattr(getattr(decoder, "sizes", None), "channels", {}))


def _files(folder):
    for kind in (IMPORTED, TRAINED):
        if all((folder / name).is_file() for name in kind[:2]):
            return [folder / name for name in kind if (folder / name).is_file()]
    raise FileNotFoundError(
        f"train.start={folder} has no weights to begin with: it needs {IMPORTED[0]} or "
        f"{TRAINED[0]} and config.json; name a folder that `neurodecode import-checkpoint` wrote, "
        "or the artifact of an earlier run's stage train (its place is in run.json)"
    )


def _opened(folder):
    weights, config = _files(folder)[:2]
    tensors, about = read_tensors(weights, "torch"), read_json(config)
    model = about.get("model")
    if not isinstance(model, dict):
        raise ValueError(f"{config} names no model: it is no folder to begin with; import it again")
    node = about.get("prior") if isinstance(about.get("prior"), dict) else {}
    if weights.name == IMPORTED[0]:
        prior = folder / IMPORTED[2]
        of_prior = read_tensors(prior, "torch") if prior.is_file() else {}
        return Start(folder, tensors, of_prior, None, model, node, about.get("subjects") or [])
    part = lambda name: {k.removeprefix(name): a for k, a in tensors.items() if k.startswith(name)}
    scale = {name: tensors.get(key) for name, key in SCALE.items()}
    known = scale if all(array is not None for array in scale.values()) else None
    subjects = list((about.get("sizes") or {}).get("channels") or [])
    return Start(folder, part("decoder/"), part("prior/"), known, model, node, subjects)


def _check_meaning(node, start):
    here = {name: node.get(name, value) for name, value in MEANING.items()}
    there = {name: start.prior_node.get(name, value) for name, value in MEANING.items()}
    other = next((name for name in MEANING if here[name] != there[name]), None)
    if start.prior_node and other:
        raise ValueError(
            f"train.prior.{other} is {_said(here[other])}, and the prior of {start.folder} was "
            f"made with {_said(there[other])}: its weights would mean something else; give "
            f"train.prior.{other}={_said(there[other])}"
        )


def _check_rows(decoder, start):
    """Refuse a start whose subjects are others, where one tensor has a row for each."""
    rows = getattr(decoder, "rows_of_subjects", None)
    here = subjects_of(decoder)
    if rows and start.subjects and sorted(start.subjects) != sorted(here):
        raise ValueError(
            f"{rows} of {start.folder} has a row for each of {', '.join(start.subjects)}, and this "
            f"study has {', '.join(here)}: name the same subjects"
        )


def _alike(one, other):
    if one is None or other is None:
        return one is other
    return all(np.array_equal(one[part], other[part]) for part in SCALE)


def _said(value):
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else value


def _placed(own, start, node, subjects):
    """The tensors of a start by the network's keys; and those that it has once for all subjects."""
    if start.model.get("_target_") != node.get("_target_"):
        raise ValueError(
            f"train.start={start.folder} is of {start.model.get('_target_')}, and train.model is "
            f"{node.get('_target_')}: equal names would mean other layers; choose its model"
        )
    here, there = (bool(made.get("compat", False)) for made in (node, start.model))
    if here != there:
        raise ValueError(
            f"train.model.compat is {_said(here)}, and {start.folder} was made with "
            f"{_said(there)}: equal weights would decode otherwise; give "
            f"train.model.compat={_said(there)}"
        )
    once = {key: _without(key, subjects) for key in own.keys() - start.decoder.keys()}
    alike = {key: name for key, name in once.items() if name in start.decoder}
    fits = fitting(own, start.decoder | {key: start.decoder[n] for key, n in alike.items()})
    if not fits:
        other = next((key for key in start.decoder if key in own), None)
        why = f": {other} has another shape" if other else f" (it has {_few(start.decoder)})"
        raise ValueError(
            f"train.start={start.folder} has no tensor that fits train.model by key and shape"
            f"{why}: choose the options it was imported or trained with"
        )
    return fits, {key: name for key, name in alike.items() if key in fits}


def _tell_random(left, subjects, out):
    for subject in subjects:
        if own := {key for key in left if _own(key, subject)}:
            out.log(f"decoder: {len(own)} parameters of {subject} alone begin at random")
            left = left - own
    if left:
        out.log(f"decoder: {len(left)} shared parameters begin at random: {_few(sorted(left))}")


def _own(key, subject):
    return f".{subject}." in f".{key}."


def _without(key, subjects):
    """A key without the name of a subject in it: what a start calls a part that it has once."""
    return ".".join(part for part in key.split(".") if part not in subjects)


def _few(names):
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")


def initialised(node, seed, **extra):
    """Build a network whose first weights depend on the seed alone."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(node, **extra)
