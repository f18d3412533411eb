"""Say in one message what Hydra found wrong with a command: which key, what came, what there is.

Hydra and OmegaConf are known here by the names of their errors alone; only `cli` imports them.
"""

import difflib

from neurodecode.core.errors import ConfigError

TOP = {"name", "stages", "subjects", "seed", "device", "threads", "store", "memory", "recipe"}
TOP |= {"launcher", "trust", "size", "published"}


def explained(error):
    """Return a ConfigError in place of an error of composing, or None if it is another.

    Parameters
    ----------
    error : Exception
        As Hydra raised it; the error of OmegaConf behind it is looked at as well.
    """
    chain = _chain(error)
    by_name = {type(e).__name__: e for e in reversed(chain)}
    for name, tell in TELL.items():
        if name in by_name:
            return ConfigError(tell(by_name[name]))
    ours = any(type(e).__module__.split(".")[0] in ("hydra", "omegaconf") for e in chain)
    return ConfigError(" ".join(str(error).split())) if ours else None


def check_given(config, where=""):
    """Raise ConfigError for the first key whose value must be given and was not (``???``)."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        here = f"{where}.{key}" if where else str(key)
        if value == "???":
            raise ConfigError(f"{here} must be given: {here}=…")
        if isinstance(value, dict | list):
            check_given(value, here)


def check_read(config, stages):
    """Raise ConfigError for a key at the top that nothing reads, such as an appended ``+sede=1``.

    Parameters
    ----------
    config : dict
    stages : set of str
        The stages that have a node of their own; those that the run names count too.
    """
    named = {str(name).rpartition(".")[2] for name in config["stages"]}
    for key, value in config.items():
        empty = value == {}  # what is left of a group that fills other places
        if key not in TOP | stages | named and not empty:
            raise ConfigError(f"{key}: nothing reads this key; {suggestion(key, TOP | stages)}")


def suggestion(name, known):
    """Say which known name was probably meant, and which there are."""
    known = sorted(str(k) for k in known if k != "_target_")
    close = difflib.get_close_matches(str(name), known, 1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none'}"


def _chain(error):
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _unknown_key(error):
    key = str(error.full_key or error.key)
    name = key.rpartition(".")[2]
    known = getattr(error.parent_node, "keys", list)() if error.parent_node is not None else []
    return f"{key}: there is no such key; {suggestion(name, known)}"


def _unknown_choice(error):
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if choice == "submitit_slurm":
        return (
            "launcher=slurm needs the package hydra-submitit-launcher: "
            "pip install 'neurodecode-pictures[slurm]'"
        )
    options = getattr(error, "options", None) or []
    return f"{group}={choice}: there is no such choice; {suggestion(choice, options)}"


def _unreadable(error):
    text = str(error).splitlines()[0]
    return f"{text}: put values with spaces, commas or braces in quotes, 'key={{a: b}}'"


def _wrong_type(error):
    return f"{error.full_key}: {str(error).splitlines()[0]}"


def _unresolved(error):
    return f"{error.full_key or 'a key'} refers to what is not there: {str(error).splitlines()[0]}"


TELL = {  # the most telling first
    "MissingConfigException": _unknown_choice,
    "ConfigKeyError": _unknown_key,
    "ConfigAttributeError": _unknown_key,
    "InterpolationKeyError": _unresolved,
    "ValidationError": _wrong_type,
    "OverrideParseException": _unreadable,
}
