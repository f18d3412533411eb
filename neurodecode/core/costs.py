"""What stages have cost before: guesses of time, memory and disk from earlier artifacts.

The nearest earlier artifact of the same stage in the store speaks, scaled by trials and channels;
where there is none, a small table measured on the demo does.
"""

import json
import math
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from neurodecode.core.errors import DamagedArtifact, UserError
from neurodecode.core.key import keyed_fields
from neurodecode.core.runner import read_record
from neurodecode.core.store import MANIFEST, read_artifact

REFERENCE = Path(__file__).with_name("reference_costs.json")
BASE_MIB = 600  # memory of Python and its libraries, before any data
MIB = 1024**2


@dataclass(frozen=True)
class Cost:
    """What an artifact costs, and how that is known; None where it is not.

    Parameters
    ----------
    seconds, peak_mib, disk_mib : float or None
        Memory is the largest that the process has held until the stage was done.
    basis : str
        From what it was guessed.
    """

    seconds: float | None = None
    peak_mib: float | None = None
    disk_mib: float | None = None
    basis: str = "nothing to guess from: never run in this store"


class History:
    """Earlier artifacts in a store, and how large the studies were that they were made from.

    Parameters
    ----------
    pipeline : Pipeline
        The run to come: its stages, store and hardware.
    """

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.stages = {stage.name: stage for stage in pipeline.stages}
        self.reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
        self._earlier, self._digests = {}, {}

    def earlier(self, stage):
        """The artifacts of a stage, newest first, as (artifact, record)."""
        if stage not in self._earlier:
            paths = (self.pipeline.store.root / stage).glob(f"*/*/{MANIFEST}")
            newest = sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True)
            found = [read_artifact(p.parent) for p in newest]
            self._earlier[stage] = [(a, read_record(a.folder)) for a in found if a is not None]
        return self._earlier[stage]

    def members(self):
        """The subjects of the run: as indexed, else as asked for, else as far as the study tells.

        Without an index they are counted by the dials of a simulated study, else in the names
        ``sub-…`` of the raw files; else they are those of an earlier index of the same recipe; else
        one stands for all.
        """
        pipeline = self.pipeline
        if "index" in pipeline.artifacts:
            try:
                return pipeline._members()
            except DamagedArtifact:  # it will be computed again, from the same files
                pass
        return list(pipeline.subjects or self._likely_subjects())

    def _likely_subjects(self):
        expected = self._expected().get("subjects", 0)
        likely = [f"sub-{number:02d}" for number in range(1, expected + 1)] or sorted(self._raw)
        config = self.pipeline.configs.get("index")
        for artifact, _ in self.earlier("index") if config is not None and not likely else ():
            if artifact.manifest["config"] == _as_written(keyed_fields(config)):
                return json.loads((artifact.folder / "subjects.json").read_text(encoding="utf-8"))
        return likely or ["each subject"]

    @cached_property
    def _raw(self):
        """Size (MiB) of each subject's raw files that the index will read, as far as named so."""
        stage, found = self.stages.get("index"), {}
        listed = stage.external(self.pipeline.configs["index"]) if stage and stage.external else []
        for path in map(Path, listed):
            subject = next((part for part in path.parts[:-1] if part.startswith("sub-")), None)
            if subject is not None:
                found[subject] = found.get(subject, 0) + path.stat().st_size / MIB
        return found

    def cost(self, stage, each, config):
        """Guess the cost of an artifact: from the nearest earlier one, else from the demo's."""
        size = _whole(stage.expects(config)) if stage.expects is not None else self.size(each)
        timed = [(a, r) for a, r in self.earlier(stage.name) if "seconds" in r]
        if not timed:
            return self._reference_cost(stage, each, size)
        nearest, record = max(timed, key=lambda one: self._nearness(one[0], each, config))
        ratio, word = _ratio(size, self._size_of(nearest), _reads_channels(stage))
        own = _as_written(keyed_fields(config))
        settings = "same settings" if nearest.manifest["config"] == own else "other settings"
        age = duration(time.time() - (nearest.folder / MANIFEST).stat().st_mtime)
        hardware = "" if nearest.manifest["hardware"] == self.pipeline.hardware else _on(nearest)
        return Cost(
            record["seconds"] * ratio,
            _scaled_memory(record.get("peak_mib"), ratio),
            disk_mib(nearest) * ratio,
            f"a run {age} ago, {settings}{hardware}{word}",
        )

    def size(self, each=None):
        """How large the run's study is: ``trials`` and ``channels``, of one subject or together.

        What is not known is left out.
        """
        artifacts = self.pipeline.artifacts
        if each is None:
            return _together([self.size(member) for member in self.members()])
        size = {k: v for k, v in self._expected().items() if k != "subjects"}
        if "index" in artifacts:
            size |= _indexed(artifacts["index"], each)
        if each in artifacts.get("preprocess", {}):
            size |= _measured(artifacts["preprocess"][each])
        if "channels" not in size:  # a first look at a recorded study: its files must do
            size |= {"raw": self._raw[each]} if self._raw.get(each) else {}
        return size

    def _expected(self):
        stages = [s for s in self.pipeline.stages if s.expects is not None]
        return stages[0].expects(self.pipeline.configs[stages[0].name]) if stages else {}

    def _nearness(self, artifact, each, config):
        mine = _leaves(_as_written(keyed_fields(config)))
        theirs = _leaves(artifact.manifest["config"])
        same = sum(theirs.get(k) == v for k, v in mine.items()) / max(len(mine | theirs), 1)
        hardware = artifact.manifest["hardware"]
        device = hardware.get("device") == self.pipeline.hardware.get("device")
        # newest first in the list, and max keeps the first of equals
        return device, same, hardware == self.pipeline.hardware, artifact.manifest["each"] == each

    def _size_of(self, artifact, depth=4):
        """The size of the study an artifact was made from, followed through its inputs' digests."""
        stage = self.stages.get(artifact.manifest["stage"])
        if stage is None or depth == 0:
            return {}
        if stage.expects is not None:
            return _whole(stage.expects(stage.config(**artifact.manifest["config"])))
        if stage.name == "preprocess":
            return _measured(artifact)
        if stage.name == "index":
            return _indexed(artifact)
        made_from = {n.stage: self._sources(artifact, n) for n in stage.inputs}
        if made_from.get("preprocess"):
            return _together([_measured(a) for a in made_from["preprocess"]])
        for found in (f for f in made_from.values() if f):
            size = _together([self._size_of(a, depth - 1) for a in found])
            if size:
                return size
        return {}

    def _sources(self, artifact, need):
        """The artifacts of a need whose bytes an artifact was made from."""
        wanted = artifact.manifest["inputs"].get(need.stage, {})
        wanted = set(wanted.values()) if isinstance(wanted, dict) else {wanted}
        pattern = need.pattern.replace("{each}", str(artifact.manifest["each"]))
        found = {}
        for one, _ in self.earlier(need.stage):
            code = self._digest(one, pattern)
            if code in wanted:
                found[code] = one  # of equal bytes any will do
        return list(found.values())

    def _digest(self, artifact, pattern):
        name = (artifact.folder, pattern)
        if name not in self._digests:
            try:
                self._digests[name] = artifact.digest(pattern)
            except UserError:  # other code made it, and it has no such file
                self._digests[name] = None
        return self._digests[name]

    def _reference_cost(self, stage, each, size):
        known = self.reference["stages"].get(stage.name)
        if known is None:
            return Cost()
        n = 1 if stage.each else self.reference["subjects"]
        theirs = {name: n * self.reference[name] for name in ("trials", "raw")}
        theirs["channels"] = self.reference["channels"]
        ratio, word = _ratio(size, theirs, _reads_channels(stage))
        where = self.reference["machine"]
        return Cost(
            known["seconds"] * ratio,
            _scaled_memory(known["peak_mib"], ratio),
            known["disk_mib"] * ratio,
            f"{self.reference['experiment']} on {where}{word}",
        )


def _ratio(mine, theirs, with_channels):
    """How much more there is to do, and in words from what that was told."""
    names = ("trials", "channels") if with_channels else ("trials",)
    if with_channels and "channels" not in mine and "raw" in mine:
        names = ("raw",)
    known = [n for n in names if mine.get(n) and theirs.get(n)]
    if not known or known == ["channels"]:
        return 1.0, ", size not known"
    ratio = math.prod(mine[name] / theirs[name] for name in known)
    # Loading libraries and models takes as long for little data: small studies save less.
    scaled = ratio if ratio > 1 else math.sqrt(ratio)
    return scaled, "" if abs(
        scaled - 1
    ) < 0.05 else f", × {scaled:.3g} for {' × '.join(map(_word, known))}"


def _word(name):
    return "MiB of raw files" if name == "raw" else name


def _reads_channels(stage):
    """Whether a stage's work grows with the channels: it makes responses, or reads them."""
    reads = any(n.stage == "preprocess" and n.pattern == "*" for n in stage.inputs)
    return reads or stage.name == "preprocess" or stage.expects is not None


def _scaled_memory(peak_mib, ratio):
    if peak_mib is None or ratio <= 1:  # the libraries do not shrink with the data
        return peak_mib
    return max(peak_mib, BASE_MIB + (peak_mib - BASE_MIB) * ratio)


def _whole(expected):
    """The size of all subjects together, from what a stage expects of a study."""
    if not expected:
        return {}
    together = {k: v for k, v in expected.items() if k != "subjects"}
    return together | {"trials": expected["subjects"] * expected["trials"]}


def _indexed(artifact, each=None):
    """Trials of one subject, or of all, from the lines of the index's table."""
    path = artifact.folder / (f"{each}/trials.tsv" if each else "trials.tsv")
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8") as lines:
        return {"trials": sum(1 for _ in lines) - 1}


def _measured(artifact):
    """Trials and channels of one subject, from the table and the size of the responses."""
    size = _indexed(artifact)
    values = artifact.files.get("responses.npy", {}).get("size", 0) / 4  # float32
    return size | ({"channels": values / size["trials"]} if values and size.get("trials") else {})


def _together(sizes):
    """Trials and raw files add up, channels are a mean; what one does not tell is left out."""
    out = {}
    for name in ("trials", "raw"):
        if sizes and all(name in s for s in sizes):
            out[name] = sum(s[name] for s in sizes)
    if sizes and all("channels" in s for s in sizes):
        out["channels"] = sum(s["channels"] for s in sizes) / len(sizes)
    return out


def _on(artifact):
    hardware = artifact.manifest["hardware"]
    return " on " + ", ".join(f"{name} {value}" for name, value in sorted(hardware.items()))


def _as_written(fields):
    """A configuration as its manifest holds it."""
    return json.loads(json.dumps(fields, default=str))


def _leaves(node, name=""):
    if not isinstance(node, dict):
        return {name: node}
    return {k: v for key, value in node.items() for k, v in _leaves(value, f"{name}.{key}").items()}


def disk_mib(artifact):
    """Size of an artifact's files, in MiB."""
    return sum(f["size"] for f in artifact.files.values()) / MIB


def duration(seconds):
    """A duration in words; – where it is not known."""
    if seconds is None:
        return "–"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            n = seconds / length
            return f"{n:.1f} {unit}" if n < 9.95 else f"{n:.0f} {unit}"
    if seconds < 0.1:
        return "< 0.1 s"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"


def space(mib):
    """A number of MiB in words; – where it is not known."""
    if mib is None:
        return "–"
    if mib >= 1024:
        return f"{mib / 1024:.1f} GiB"
    return f"{mib:.0f} MiB" if mib >= 1 else "< 1 MiB"
