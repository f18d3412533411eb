"""Keys and values of the configuration, as a user types them after `neurodecode run`."""

import re
import shlex

PLAIN = re.compile(r"[\w/.+@%-]+", re.ASCII)


def hydra_value(value):
    """Write a value in Hydra's grammar.

    Parameters
    ----------
    value : str, number, bool, None, list or dict
    """
    if isinstance(value, dict):
        pairs = ", ".join(f"{k}: {hydra_value(v)}" for k, v in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(hydra_value(v) for v in value)}]"
    if not isinstance(value, str):
        return {None: "null", True: "true", False: "false"}.get(value, str(value))
    if PLAIN.fullmatch(value) and not _is_no_text(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def as_overrides(words):
    """Turn ``{"recipe.root": "/data", …}`` into the list that Hydra takes."""
    return [f"{key}={hydra_value(value)}" for key, value in words.items()]


def as_command(words):
    """Write the command that runs `words`, quoted for a shell."""
    return " ".join(["neurodecode run", *(shlex.quote(word) for word in as_overrides(words))])


def _is_no_text(value):
    """Say whether Hydra would take the text for a number, a truth value or nothing."""
    if value.lower() in ("null", "true", "false", "nan", "inf"):
        return True
    try:
        float(value.replace("_", ""))
    except ValueError:
        return False
    return True
