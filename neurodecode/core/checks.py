"""Check values against Python annotations: the dataclass or the signature is the schema."""

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Mapping
from pathlib import Path

from neurodecode.core.errors import ConfigError

PLAIN = (bool, int, float, str)


def typed(value, annotation, where):
    """Return `value` as `annotation` asks, or say what is wrong with the key `where`.

    Whole numbers pass for floats, lists for tuples; nothing else is converted, so that ``three``
    for an int or ``sub-01`` for a list is an error; nor is a number outside the range that its
    annotation says (`neurodecode.core.ranges`). Annotations outside the plain types, lists,
    tuples, dicts, unions, literals and dataclasses accept anything.

    Raises
    ------
    ConfigError
        Naming the key, what came and what was expected.
    """
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (typing.Any, inspect.Parameter.empty):
        return value
    if origin is typing.Annotated:
        value = typed(value, args[0], where)
        for limit in args[1:]:
            limit.check(value, where)
        return value
    if origin in (typing.Union, types.UnionType):
        return _typed_union(value, args, where)
    if origin is typing.Literal:
        return _expect(value in args, value, where, f"one of {', '.join(map(str, args))}")
    if dataclasses.is_dataclass(annotation):
        return dataclass_from(value, annotation, where)
    if annotation is None or annotation is type(None):
        return _expect(value is None, value, where, "null")
    if annotation is Path:
        return Path(_expect(isinstance(value, str | Path), value, where, "a path"))
    if (origin or annotation) in (list, tuple):
        return _typed_sequence(value, origin or annotation, args, where)
    if (origin or annotation) in (dict, Mapping):
        return dict(_expect(isinstance(value, Mapping), value, where, "a mapping of keys"))
    if annotation in PLAIN:
        return _typed_plain(value, annotation, where)
    return value


def dataclass_from(node, cls, where):
    """Build the dataclass `cls` from a mapping; unknown, missing and mistyped keys are errors."""
    _expect(isinstance(node, Mapping), node, where, f"the keys of {cls.__name__}")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    check_names(node, fields, where)
    hints = typing.get_type_hints(cls, include_extras=True)
    missing = [n for n, f in fields.items() if n not in node and _required(f)]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}; give {where}.{missing[0]}=…")
    try:
        return cls(**{n: typed(v, hints[n], f"{where}.{n}") for n, v in node.items()})
    except ConfigError:
        raise
    except ValueError as error:  # a range check of the dataclass itself
        raise ConfigError(f"{where}: {error}") from error


def check_names(given, known, where):
    """Raise ConfigError if a key of `given` is not in `known`, with the closest known name."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), list(map(str, known)), 1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
            raise ConfigError(f"{where}.{name}: there is no such key; {hint}")


def _required(field):
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _expect(ok, value, where, expected):
    if not ok:
        kind = "null" if value is None else f"{value!r} ({type(value).__name__})"
        raise ConfigError(f"{where}: expected {expected}, got {kind}")
    return value


def _typed_plain(value, annotation, where):
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    name = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    fits = isinstance(value, annotation) and (annotation is bool or not isinstance(value, bool))
    return _expect(fits, value, where, name[annotation])


def _typed_sequence(value, kind, args, where):
    hint = f"a list such as [{value}]" if isinstance(value, PLAIN) else "a list"
    _expect(isinstance(value, list | tuple), value, where, hint)
    if kind is tuple and args and args[-1] is not Ellipsis:
        _expect(len(value) == len(args), value, where, f"{len(args)} values")
        return tuple(
            typed(v, a, f"{where}[{i}]") for i, (v, a) in enumerate(zip(value, args, strict=True))
        )
    inner = args[0] if args else typing.Any
    return kind(typed(v, inner, f"{where}[{i}]") for i, v in enumerate(value))


def _typed_union(value, args, where):
    if value is None and type(None) in args:
        return None
    errors = []
    for arg in (a for a in args if a is not type(None)):
        try:
            return typed(value, arg, where)
        except ConfigError as error:
            errors.append(str(error))
    extra = " or null" if type(None) in args else ""
    raise ConfigError("; or ".join(errors).replace(", got", f"{extra}, got", 1))
