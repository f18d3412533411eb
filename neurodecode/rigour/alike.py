"""Are two protocols alike: which field differs, between which runs."""

import json


def flat(node, name=""):
    """Flatten nested mappings: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``; lists stay whole."""
    if not isinstance(node, dict) or not node:
        return {name: node}
    dot = f"{name}." if name else ""
    return {k: v for key, value in node.items() for k, v in flat(value, f"{dot}{key}").items()}


def unlike(protocols, allowed=()):
    """Find the fields that are not the same in all protocols.

    Parameters
    ----------
    protocols : dict of str to dict
        Run -> nested protocol.
    allowed : sequence of str
        Fields that may differ; ``beta_preparation`` allows all below it.

    Returns
    -------
    differing : dict of str to dict
        Field -> {value as JSON: [runs]}, in order of first appearance; a field that one protocol
        lacks is null there.
    """
    leaves = {run: flat(protocol) for run, protocol in protocols.items()}
    fields = dict.fromkeys(field for leaf in leaves.values() for field in leaf)
    differing = {}
    for field in fields:
        if not any(field == a or field.startswith(f"{a}.") for a in allowed):
            who = {}
            for run, leaf in leaves.items():
                value = leaf.get(field)
                who.setdefault(json.dumps(value, sort_keys=True, ensure_ascii=False), []).append(
                    run
                )
            if len(who) > 1:
                differing[field] = who
    return differing


def grouped(protocols, allowed=()):
    """Put runs of one protocol together: a list of lists of runs, in order of first appearance."""
    groups = []
    for run in protocols:
        home = next(
            (g for g in groups if not unlike({n: protocols[n] for n in (g[0], run)}, allowed)), None
        )
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return groups


def ranks(values, better):
    """Rank scores from 1, the best; equal scores share the better rank (1, 2, 2, 4)."""
    sign = {"higher": 1, "lower": -1}[better]
    return [1 + sum(sign * (other - value) > 0 for other in values) for value in values]
