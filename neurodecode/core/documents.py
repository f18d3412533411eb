"""Read JSON, YAML and tables that anybody may have written: bounded, and errors name the file."""

import json
from collections import Counter
from pathlib import Path

from neurodecode.core.errors import ConfigError

MIB = 1 << 20
JSON_BYTES = 256 * MIB
YAML_BYTES = MIB
YAML_NODES = 50_000  # aliases counted as often as they are used
YAML_DEPTH = 40
HEADER_BYTES = 16 * MIB  # of a table: the names of its columns
COLUMNS = 100_000  # of numbers: every dimension of an embedding may be one
TEXT_COLUMNS = 10_000


def read_json(path, kind=dict):
    """Read a JSON file.

    Parameters
    ----------
    path : path
    kind : type or None
        What must stand in it: an object (dict), a list; None: anything.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ConfigError
        If it is no JSON, too large, nested too deeply, or holds something else.
    """
    path = Path(path)
    _check_file(path, JSON_BYTES, "JSON")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # json and str.decode
        raise ConfigError(f"{path} is not valid JSON ({_told(error)}): write it again") from error
    if kind is not None and not isinstance(found, kind):
        raise ConfigError(
            f"{path} holds {type(found).__name__}, where {kind.__name__} is expected: it is of "
            "something else, or damaged"
        )
    return found


def read_yaml(path):
    """Read a YAML file; see `parse_yaml`."""
    path = Path(path)
    _check_file(path, YAML_BYTES, "YAML")
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError as error:
        raise ConfigError(f"{path} is not UTF-8 text ({error}): save it as UTF-8") from error
    return parse_yaml(text, path)


def parse_yaml(text, where):
    """Read YAML of plain values: no tags that make objects, no bombs, no key twice.

    Parameters
    ----------
    text : str
    where : path or str
        What to call it in messages.

    Raises
    ------
    ConfigError
        If it is not valid, names a key twice, is nested more than `YAML_DEPTH` deep, or grows to
        more than `YAML_NODES` values by aliases.
    """
    import yaml

    try:
        _check_size(yaml.parse(text, Loader=yaml.SafeLoader), where)
        return yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of dates and numbers, too
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{where} cannot be read as YAML ({_told(error)}): correct it") from error


def read_text_table(path, what, **options):
    """Read a tab-separated table of text with pandas.

    Parameters
    ----------
    path : path
    what : str
        What it must hold, for the message where it is empty.
    **options : object
        Of `pandas.read_csv`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Naming the file: if it is empty, no text, or its lines have different numbers of columns.
    """
    import pandas as pd

    path = Path(path)
    check_table(path, TEXT_COLUMNS if options.get("dtype") is str else COLUMNS)
    options = {"sep": "\t", "encoding": "utf-8-sig", "on_bad_lines": "error"} | options
    try:
        return pd.read_csv(path, **options)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty: it needs {what}") from None
    except (ValueError, OverflowError, UnicodeError) as error:  # ParserError is a ValueError
        raise ValueError(
            f"{path} is not a readable table ({_told(error)}): lines of equally many values, with "
            "tabs between them, in UTF-8"
        ) from error


def check_table(path, most=COLUMNS):
    """Refuse what is no file, a table of too many columns, and a line longer than the header.

    pandas takes the first cells of a line that is too long for its name, and shifts the others.

    Parameters
    ----------
    path : path
    most : int
        Columns.
    """
    path = Path(path)
    _check_file(path, None, "table")
    with open(path, "rb") as file:
        header, first = file.readline(HEADER_BYTES), file.readline(HEADER_BYTES)
    separator = b"," if path.suffix == ".csv" else b"\t"
    named, given = header.count(separator) + 1, first.count(separator) + 1
    if len(header) == HEADER_BYTES or max(named, given) > most:
        raise ValueError(
            f"{path} has {max(named, given)} columns in its first lines, more than {most}: it is "
            "no such table, or its lines do not end"
        )
    if given > named and b'"' not in header + first:
        raise ValueError(
            f"{path} names {named} columns, and its first line has {given} values: put a name to "
            "each, or take out what is too much"
        )
    if b"\0" in header:
        raise ValueError(f"{path} is no text: there are zero bytes in its first line")


def _check_file(path, most, what):
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    if not path.is_file():
        raise ConfigError(f"{path} is a folder, where a {what} file is expected")
    size = path.stat().st_size
    if most is not None and size > most:
        raise ConfigError(
            f"{path} has {size} bytes; {what} files of more than {most} are not read: it is of "
            "something else"
        )


def _check_size(events, where):
    """Count the values that YAML stands for, aliases as often as they are used."""
    import yaml

    sizes, stack, total = {}, [], 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ConfigError(f"{where} refers to itself by *{event.anchor}: write it out")
            grown = sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            grown = 1
            sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((event.anchor, total))
            grown = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = stack.pop()
            sizes[anchor] = total - before
            continue
        else:
            continue
        total += grown
        if total > YAML_NODES or len(stack) > YAML_DEPTH:
            raise ConfigError(
                f"{where} grows to more than {YAML_NODES} values or {YAML_DEPTH} levels (by its "
                "aliases, perhaps): no configuration does, and it is not read"
            )


def _loader():
    import yaml

    class Unique(yaml.SafeLoader):
        """Plain values only, and no key twice."""

        def construct_mapping(self, node, deep=False):
            names = Counter(k.value for k, _ in node.value if isinstance(k.value, str))
            twice = [name for name, n in names.items() if n > 1 and name != "<<"]
            if twice:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {twice[0]!r} stands there twice, from line {line}")
            return super().construct_mapping(node, deep)

    return Unique


def _told(error):
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return " ".join(str(error).split())[:300] or type(error).__name__
