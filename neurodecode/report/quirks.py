"""Which quirks of published code a run repeats: those options named compat that are on.

Scores are left out: the published form of a score stands beside the other, and is marked there.
"""

from neurodecode.report.score_card import provenance

BESIDE = ("evaluate", "audit")


def quirks(inputs):
    """The compat options that are on, as ``stage.option=value``, sorted."""
    found = {}
    for made in provenance(inputs):
        if made["stage"] not in BESIDE:
            found |= dict.fromkeys(turned_on(made["config"], made["stage"]))
    return sorted(found)


def turned_on(node, where):
    """Yield the options below a node of the configuration that are named compat, and are on."""
    for key, value in node.items() if isinstance(node, dict) else ():
        here = f"{where}.{key}"
        if key == "published":
            continue
        if key == "compat" or key.endswith("_compat"):
            yield from _leaves(value, here)
        else:
            if isinstance(value, str) and value.endswith("_compat"):
                yield f"{here}={value}"
            yield from turned_on(value, here)


def _leaves(value, where):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}")
    elif value not in (None, False):
        yield f"{where}={str(value).lower() if isinstance(value, bool) else value}"


def notice(inputs):
    """Published quirks mark the page."""
    on = quirks(inputs)
    if not on:
        return []
    title = "Quirks of published code are repeated in this run: not evidence by themselves."
    return [{"kind": "leak", "title": title, "lines": on}]
