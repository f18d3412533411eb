"""Which tensors of a checkpoint fit which parameters of a network, by key and shape."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from neurodecode.core.errors import ConfigError

SUBJECT = re.compile(r"sub(j|ject)?[-_]?\w+")
SHOWN = 12  # names of each kind in a table
PRIOR = "net.causal_transformer."  # what a diffusion prior's keys have after their beginning
PRIOR_PARTS = ("net.", "noise_scheduler.")
PRIOR_NODE = {"_target_": "neurodecode.diffusion.prior.DiffusionPrior"}


@dataclass(frozen=True)
class Match:
    """What of a checkpoint belongs where.

    Attributes
    ----------
    tensors : dict of Tensor
        By our key: those that fit.
    renamed : dict of str
        Our key of each published one that fits.
    missing : list of str
        Parameters of the network that the checkpoint lacks, by our key.
    buffers : list of str
        The same of tables that are no parameters: nothing has to be learnt there.
    unexpected : list of str
        Published keys that the network has no place for.
    shapes : dict of (tuple, tuple)
        Of our keys that are there in another shape: what the network has, and what the file.
    """

    tensors: dict
    renamed: dict
    missing: list = field(default_factory=list)
    buffers: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    shapes: dict = field(default_factory=dict)

    @property
    def lacking(self) -> list[str]:
        """Parameters that would stay random: missing, or there in another shape."""
        return sorted({*self.missing, *self.shapes})

    @property
    def n_parameters(self) -> int:
        """Numbers in all tensors that fit."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def matched(state: dict, network, names: dict[str, str]) -> Match:
    """Match a checkpoint's tensors with a network's by key and shape.

    Parameters
    ----------
    state : dict of Tensor
        By published key.
    network : nn.Module
        Its own sizes and keys; on the meta device, for example.
    names : dict of str
        Our key of each published one.
    """
    own = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    parameters = {key for key, _ in network.named_parameters(remove_duplicate=False)}
    tensors, renamed, shapes = {}, {}, {}
    for key, ours in names.items():
        if key not in state or ours not in own:
            continue
        there = tuple(state[key].shape)
        if there == own[ours]:
            tensors[ours], renamed[key] = state[key], ours
        else:
            shapes[ours] = (own[ours], there)
    missing = sorted(own.keys() - tensors.keys() - shapes.keys())
    taken = {key for key, ours in names.items() if ours in own}
    return Match(
        tensors,
        renamed,
        [key for key in missing if key in parameters],
        [key for key in missing if key not in parameters],
        sorted(state.keys() - taken),
        shapes,
    )


def recognised(published: Callable, state: dict) -> tuple:
    """Ask a network's file what a checkpoint is: (network on meta, our key of each key).

    Where all keys begin with a name that the file does not know (``model.``), it is tried without.

    Raises
    ------
    ValueError
        As the file raises it, if the layout is not the published one.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    try:
        return published(shapes)
    except ValueError:
        first = {key.partition(".")[0] + "." for key in shapes}
        if len(first) > 1:
            raise
        within = {key.removeprefix(*first): shape for key, shape in shapes.items()}
        try:
            network, names = published(within)
        except (ValueError, KeyError):
            within = None
        if within is None:
            raise
        return network, {next(iter(first)) + key: ours for key, ours in names.items()}


def with_subjects(network, names: dict, subjects: list[str]) -> tuple[dict, list[str]]:
    """Call the subjects of a network's own parts by other names.

    Parameters
    ----------
    network : nn.Module
        Its `sizes`, or its ModuleDicts, say whose parts it has.
    names : dict of str
    subjects : list of str
        New names, in the order of the network's; empty: they keep theirs.

    Returns
    -------
    renamed : dict of str
        Our keys with the new names, by our keys.
    subjects : list of str

    Raises
    ------
    ConfigError
        If there are more or fewer.
    """
    prefixes, there = own_parts(network)
    if subjects and there and len(subjects) != len(there):
        raise ConfigError(
            f"subjects: the checkpoint has parts of {len(there)} ({', '.join(there)}), and "
            f"{', '.join(subjects)} were named: name one for each, in this order"
        )
    if len(set(subjects)) < len(subjects) or any("." in s or not s for s in subjects):
        raise ConfigError(f"subjects: {subjects} are no different names without dots")
    new = dict(zip(there, subjects or there, strict=False))
    renamed = {}
    for key in network.state_dict():
        at = next((p for p in prefixes if key.startswith(p)), None)
        own, dot, rest = key[len(at) :].partition(".") if at is not None else (None, "", "")
        renamed[key] = f"{at}{new[own]}{dot}{rest}" if own in new else key
    return renamed, list(subjects or there)


def own_parts(network) -> tuple[list[str], list[str]]:
    """Where a network keeps parts of single subjects: beginnings of keys; and their names."""
    import torch

    kinds = (torch.nn.ModuleDict, torch.nn.ParameterDict)
    inside = {f"{n}.": list(m.keys()) for n, m in network.named_modules() if isinstance(m, kinds)}
    inside.pop(".", None)  # the network itself
    known = getattr(getattr(network, "sizes", None), "channels", None)
    if known:
        return [n for n, keys in inside.items() if set(keys) & set(known)], list(known)
    named = {n: keys for n, keys in inside.items() if keys and all(map(SUBJECT.fullmatch, keys))}
    return list(named), list(dict.fromkeys(k for keys in named.values() for k in keys))


def prior_within(state: dict) -> tuple[dict, dict]:
    """The diffusion prior in a decoder's checkpoint, as `DiffusionPrior` names its tensors.

    Returns
    -------
    prior : dict of Tensor
        Empty if there is none.
    renamed : dict of str
        Our key of each published one.
    """
    found = next((key for key in state if PRIOR in key), None)
    if found is None:
        return {}, {}
    start = found[: found.index(PRIOR)]
    ours = {key: key.removeprefix(start) for key in state if key.startswith(start)}
    renamed = {key: name for key, name in ours.items() if name.startswith(PRIOR_PARTS)}
    return {name: state[key] for key, name in renamed.items()}, renamed


def prior_node(prior: dict) -> tuple[dict, tuple[int, int]]:
    """The configuration node of a published diffusion prior, and its (n_tokens, dim), by shapes.

    Raises
    ------
    ValueError
        If a shape that tells a size is missing.
    """
    shape = {name: tuple(tensor.shape) for name, tensor in prior.items()}
    try:
        layers = {int(m[1]) for n in shape if (m := re.match(rf"net\.{PRIOR[4:]}layers\.(\d+)", n))}
        heads = shape["net.causal_transformer.rel_pos_bias.relative_attention_bias.weight"][1]
        n_tokens, dim = shape["net.learned_query"]
        inner = shape["net.causal_transformer.layers.0.0.to_q.weight"][0]
        wide = shape["net.causal_transformer.layers.0.1.1.weight"][0]
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"the checkpoint's diffusion prior lacks {error}: it is no published one"
        ) from None
    node = PRIOR_NODE | {"depth": max(layers) + 1, "heads": heads, "dim_head": inner // heads}
    steps = shape.get("noise_scheduler.betas", (100,))[0]
    node |= {"ff_mult": wide // (2 * dim), "n_steps": steps, "image_embed_scale": None}
    return node | {"compat": True}, (n_tokens, dim)


def table(match: Match, n_prior: int = 0) -> str:
    """What matched and what did not, as a table of lines for the screen."""
    shapes = [f"{k} (network {a}, file {b})" for k, (a, b) in sorted(match.shapes.items())]
    lines = [f"matched          {len(match.tensors):>6} tensors, {match.n_parameters} parameters"]
    lines += [f"prior            {n_prior:>6} tensors"] if n_prior else []
    rows = {"missing": match.missing, "missing tables": match.buffers, "of another shape": shapes}
    for what, named in (rows | {"unexpected": match.unexpected}).items():
        lines.append(f"{what:<16} {len(named):>6}")
        lines += [f"    {name}" for name in named[:SHOWN]]
        lines += [f"    … and {len(named) - SHOWN} more"] if len(named) > SHOWN else []
    return "\n".join(lines)
