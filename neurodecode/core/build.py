"""Locate and call a `_target_`: choices are names in YAML, never an `if` in code."""

import importlib
import inspect
from collections.abc import Mapping

from neurodecode.core.checks import check_names, typed
from neurodecode.core.errors import ConfigError
from neurodecode.core.trust import check_module, check_object


def locate(path, where="_target_"):
    """Import the class or function at a dotted path, ``neurodecode.align.ridge.RidgeAligner``.

    Raises
    ------
    ConfigError
        If there is none, or its code may not run (`neurodecode.core.trust`): that is found out
        before anything is imported.
    """
    module, _, name = str(path).rpartition(".")
    if not module:
        raise ConfigError(f"{where}: cannot find {path!r}: no dotted path")
    check_module(module, where, str(path))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where}: cannot find {path!r} ({error})") from error
    check_object(str(path), found, where)
    return found


def build(node, **extra):
    """Call the target of `node` with its keys and with `extra`, which only the stage can know.

    Parameters
    ----------
    node : mapping
        ``{_target_: dotted.path, key: value, …}``; nested nodes with a `_target_` stay as they are.
    **extra : object
        Arguments that come from the data (sizes, folders), not from the configuration.

    Raises
    ------
    ConfigError
        If the target does not exist, or a key is unknown, missing or of the wrong type.
    """
    target = locate(node["_target_"])
    kwargs = _checked(node, target, node["_target_"])
    try:
        inspect.signature(target).bind(**kwargs, **extra)
    except TypeError as error:
        raise ConfigError(f"{node['_target_']}: {error}") from error
    return target(**kwargs, **extra)


def check_targets(node, where):
    """Check every `_target_` found in a configuration against its signature, calling nothing."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            _checked(node, locate(node["_target_"], where), where)
        for name, value in node.items():
            check_targets(value, f"{where}.{name}")
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            check_targets(value, f"{where}[{i}]")


def targets(node):
    """Return the dotted paths of every `_target_` in a configuration, in order."""
    if isinstance(node, Mapping):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [t for value in node.values() for t in targets(value)]
    if isinstance(node, list | tuple):
        return [t for value in node for t in targets(value)]
    return []


def _checked(node, target, where):
    parameters = inspect.signature(target, eval_str=True).parameters
    given = {k: v for k, v in node.items() if k != "_target_"}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return given
    check_names(given, parameters, where)
    return {k: typed(v, parameters[k].annotation, f"{where}.{k}") for k, v in given.items()}
