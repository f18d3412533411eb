"""What is missing or doubtful: a level, a file, what is wrong there, and what to do."""

from dataclasses import asdict, dataclass, replace

LEVELS = ("error", "warning", "note")  # stops a run; spoils it or surprises; good to know


@dataclass(frozen=True)
class Finding:
    """One thing that a user should know before a run."""

    level: str
    code: str
    """What kind of thing: equal codes of one level are told together."""
    what: str
    do: str = ""
    where: str = ""
    """The file, or the folder; "" where it is the study as a whole."""
    n_more: int = 0
    """How many findings of the same level and code this one stands for, beside itself."""

    def as_dict(self):
        """Return the fields, for JSON."""
        return asdict(self)


def error(code, what, do="", where=""):
    """A finding that stops a run."""
    return Finding("error", code, what, do, str(where))


def warning(code, what, do="", where=""):
    """A finding that spoils a run, or its meaning, without stopping it."""
    return Finding("warning", code, what, do, str(where))


def note(code, what, do="", where=""):
    """A finding that is good to know."""
    return Finding("note", code, what, do, str(where))


def ranked(findings):
    """Order findings, the worst first, each once."""
    once = list(dict.fromkeys(findings))
    return sorted(once, key=lambda f: LEVELS.index(f.level))


def told_together(findings, n_shown=3):
    """Shorten a ranked list: of more than `n_shown` of one level and code only the first is kept.

    Returns
    -------
    findings : list of Finding
        ``n_more`` says for how many others one stands.
    """
    alike = {}
    for finding in findings:
        alike.setdefault((finding.level, finding.code), []).append(finding)
    short = lambda group: (
        group if len(group) <= n_shown else [replace(group[0], n_more=len(group) - 1)]
    )
    return [finding for group in alike.values() for finding in short(group)]
