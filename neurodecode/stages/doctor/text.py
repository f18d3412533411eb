"""Write an examination as plain text, at most 100 columns wide."""

import json
import shlex
import textwrap

from neurodecode.stages.doctor.findings import told_together
from neurodecode.stages.doctor.words import as_command, as_overrides

WIDTH = 100
LABEL = 16
VERBS = ("is ", "has ", "lacks ", "lies ", "ends ", "holds ", "may ", "cannot ", "says ")
COLUMN = ("name", "may_be", "n_values", "examples")


def as_text(examination):
    """Write an examination for a reader.

    Returns
    -------
    text : str
    """
    lines = [*_wrapped(f"{examination.path}: {examination.title}", "", "  ")]
    for section in examination.sections:
        lines += ["", section.title] if section.title else [""]
        lines += [line for label, value in section.rows for line in _row(label, value)]
        lines += _columns(section.columns)
    lines += _findings(examination.findings) + _commands(examination)
    return "\n".join(lines) + "\n"


def as_json(examination):
    """Write an examination for a program: canonical JSON.

    Returns
    -------
    text : str
    """
    sections = [
        {
            "title": s.title,
            "rows": dict(s.rows),
            "columns": [dict(zip(COLUMN, c, strict=True)) for c in s.columns],
        }
        for s in examination.sections
    ]
    commands = [
        {
            "about": c.about,
            "ready": c.ready,
            "overrides": as_overrides(c.words),
            "command": as_command(c.words),
        }
        for c in examination.commands
    ]
    told = {
        "path": examination.path,
        "kind": examination.kind,
        "sections": sections,
        "findings": [f.as_dict() for f in examination.findings],
        "commands": commands,
        "hints": list(examination.hints),
        "code": examination.code,
    }
    return json.dumps(told, indent=1, ensure_ascii=False, default=str)


def bytes_told(n_bytes):
    """Write a number of bytes with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def _row(label, value):
    return _wrapped(str(value), f"  {label:<{LABEL}}", " " * (LABEL + 2))


def _columns(columns):
    """One line a column: its name, what it may be, how many values it has, examples."""
    if not columns:
        return []
    width = max(len(name) for name, *_ in columns)
    lines = ["  columns"]
    for name, role, n, examples in columns:
        lines.append(
            _cut(f"    {name:<{width}}  {role:<10}{n:>7} value{'s:' if n > 1 else ': '} {examples}")
        )
    return lines


def _cut(line):
    return line if len(line) <= WIDTH else line[: WIDTH - 2].rstrip(", ") + " …"


def _findings(findings):
    if not findings:
        return ["", "Nothing is missing or doubtful."]
    lines = ["", "Missing or doubtful"]
    for f in told_together(findings):
        told = f.what.startswith(VERBS)
        head = f"{f.where} {f.what}" if told else ": ".join(filter(None, (f.where, f.what)))
        more = f" (and {f.n_more} more like it)" if f.n_more else ""
        lines += _wrapped(head + more, f"  {f.level:<9}", " " * 11)
        if f.do:
            lines += _wrapped(f"→ {f.do}", " " * 11, " " * 13)
    return lines


def _commands(examination):
    ready = [c for c in examination.commands if c.ready]
    later = [c for c in examination.commands if not c.ready]
    lines = ["", "What you can run"] if ready else []
    for command in ready:
        lines += _command(command)
    if later:
        lines += ["", "When the errors are mended"]
        for command in later:
            lines += _command(command)
    if examination.hints:
        lines += ["", "What you can do"]
        lines += [line for hint in examination.hints for line in _wrapped(hint, "  ", "    ")]
    if not (ready or later or examination.hints):
        lines += ["", "Nothing can be run yet: the errors above say why."]
    return lines


def _command(command):
    words = ["neurodecode", "run", *(shlex.quote(w) for w in as_overrides(command.words))]
    lines, line = [f"  {command.about}"], "   "
    for word in words:
        if len(line) + len(word) + 3 > WIDTH and line.strip():
            lines.append(line + " \\")
            line = "       "
        line += f" {word}"
    return [*lines, line]


def _wrapped(text, first, then):
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
