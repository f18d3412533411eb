"""What a report that is passed on must not hold: identifiers, and pictures nobody may show."""

import re

# Licences that let anybody show a picture, changed in size, for any purpose.
OPEN = re.compile(r"cc0|public domain|pddl|cc[ -]by([ -]sa)?([ -]\d(\.\d)?)?$|mit\b|bsd\b", re.I)
CLOSED = re.compile(r"\bn[cd]\b|non-?commercial|no[ -]derivatives", re.I)
ABSOLUTE = re.compile(r"(?<![^\s\"'(=])(?:~|/[^\s/:]+|[A-Za-z]:\\|\\\\[^\s\\]+)[/\\][^\s\"',;)]*")
WITH_IDS = ("row_id", "trial_id", "trial_ids")  # columns in which ids of subjects stand
NAMING = ("subject", "subjects", "reference", "each")  # keys under which subjects stand
OPENLY = "stimuli"  # a sheet's own word: {stimuli: {licence: …}} or {stimuli: {show: true}}


def withheld(facts):
    """Say why the study's pictures are left out; "" where their licence lets anybody show them.

    Parameters
    ----------
    facts : dict
        A sheet of data_recipes. Its ``stimuli`` may hold ``show`` (true or false: an agreement
        that this reads no licence for) and a ``licence`` of their own; else that of the data set
        counts.
    """
    stimuli = facts.get(OPENLY)
    stimuli = stimuli if isinstance(stimuli, dict) else {}
    licence = str(stimuli.get("licence") or facts.get("licence") or "")
    if "show" in stimuli:
        return "" if stimuli["show"] else "the data recipe forbids to show them"
    if not licence:
        return "their licence is not known (no data recipe names it)"
    if CLOSED.search(licence) or not OPEN.match(licence.strip()):
        return f"their licence ({licence}) does not let anybody show them"
    return ""


class Shared:
    """The inputs of a report without identifiers: subjects are S1, S2 …, no path, no host.

    Sections that draw from it cannot name whom they do not know.

    Parameters
    ----------
    view : View
    """

    def __init__(self, view):
        self._view = view
        named = view.json("index", "subjects.json") if view.has("index") else []
        self._codes = {str(s): f"S{i + 1}" for i, s in enumerate(named)}
        self._names = {code: name for name, code in self._codes.items()}
        spelled = [re.escape(s) for s in sorted(self._codes, key=len, reverse=True)]
        spelled = [s for s in spelled if re.search("[A-Za-z]", s)]  # a bare number may be any
        inside = "|".join(spelled) or r"(?!)"
        self._inside = re.compile(rf"(?<![A-Za-z0-9])(?:{inside})(?![A-Za-z0-9])")

    def has(self, stage):
        """As of the view."""
        return self._view.has(stage)

    def members(self, stage):
        """The subjects of a stage, by their codes."""
        return [self._codes.get(m, m) for m in self._view.members(stage)]

    def path(self, stage, name, each=None):
        """The file that a code's name stands for."""
        return self._view.path(stage, self._named(name), self._name(each))

    def table(self, stage, name, each=None):
        """A table with codes for subjects."""
        table = self._view.table(stage, self._named(name), self._name(each))
        for column in table.columns:
            if column == "subject":
                table[column] = [self._codes.get(str(v), v) for v in table[column]]
            elif column in WITH_IDS:
                table[column] = [self._text(str(v)) for v in table[column]]
        return table

    def array(self, stage, name, each=None):
        """An array, as it is."""
        return self._view.array(stage, self._named(name), self._name(each))

    def tensors(self, stage, name, each=None):
        """Named arrays, with codes in their names."""
        found = self._view.tensors(stage, self._named(name), self._name(each))
        return {self._coded(key): value for key, value in found.items()}

    def json(self, stage, name, each=None):
        """A document with codes for subjects, and without paths."""
        return self._clean(self._view.json(stage, self._named(name), self._name(each)))

    def files(self, stage, each=None):
        """The names of files, with codes in them."""
        return [self._coded(name) for name in self._view.files(stage, self._name(each))]

    def manifest(self, stage, each=None):
        """What is recorded of an input, with codes in its files' names."""
        manifest = self._view.manifest(stage, self._name(each))
        files = {self._coded(name): about for name, about in manifest["files"].items()}
        kept = {k: v for k, v in manifest.items() if k != "inputs"}
        return self._clean(kept | {"files": files})

    def record(self, stage, each=None):
        """How an input was made, not where."""
        record = self._view.record(stage, self._name(each))
        kept = {k: v for k, v in record.items() if k in ("seconds", "peak_mib", "test_openings")}
        return self._clean(kept)

    def _name(self, code):
        return self._names.get(code, code)

    def _named(self, path):
        return "/".join(self._names.get(part, part) for part in path.split("/"))

    def _coded(self, path):
        return "/".join(self._codes.get(part, part) for part in path.split("/"))

    def _clean(self, value, key=""):
        if isinstance(value, dict):
            return {self._text(str(k), True): self._clean(v, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(v, key) for v in value]
        return self._text(value, key in NAMING) if isinstance(value, str) else value

    def _text(self, text, named=False):
        """Text without identifiers; a bare number is one only where a subject is `named`."""
        if text in self._codes and (named or not text.isdigit()):
            return self._codes[text]
        text = self._inside.sub(lambda found: self._codes[found.group()], text)
        return ABSOLUTE.sub("(path)", text)
