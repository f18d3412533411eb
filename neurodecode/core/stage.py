"""A stage: a frozen config, named inputs, named outputs and one function."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from neurodecode.core.errors import ConfigError
from neurodecode.core.trust import check_module


@dataclass(frozen=True)
class Need:
    """One input of a stage: which stage, which of its files count in the key, is it optional."""

    stage: str
    pattern: str = "*"
    optional: bool = False

    @classmethod
    def parse(cls, text):
        """Read ``"split"``, ``"?simulate"`` (optional) or ``"index:{each}/*"`` (these files)."""
        optional, stage, pattern = re.fullmatch(r"(\??)([\w.]+)(?::(.+))?", text).groups()
        return cls(stage, pattern or "*", bool(optional))


@dataclass(frozen=True)
class Stage:
    """What the runner needs to know of a stage; made by :func:`stage`."""

    name: str
    run: Callable
    config: type
    inputs: tuple[Need, ...]
    each: str | None
    sealed: tuple[str, ...]
    opens_test: bool
    external: Callable | None
    applies: Callable
    module: str
    expects: Callable | None = None

    def __call__(self, config, inputs, out):
        return self.run(config, inputs, out)


def stage(
    name,
    *,
    config,
    inputs=(),
    each=None,
    sealed=(),
    opens_test=False,
    external=None,
    applies=lambda config: True,
    expects=None,
):
    """Declare the function below to be a stage of the pipeline.

    Parameters
    ----------
    name : str
        The name in an experiment's list of stages, and of the folder in the store.
    config : type
        A frozen dataclass; fields with ``metadata={"keyed": False}`` do not enter the key.
    inputs : tuple of str
        ``"split"``, ``"?simulate"`` (used if the experiment has it), ``"index:{each}/*"`` (only
        these files enter the key).
    each : {"subject", None}
        ``"subject"``: the stage runs once per subject and makes one artifact for each.
    sealed : tuple of str
        Output files that others read only row-wise, through ``inputs.responses``.
    opens_test : bool
        Whether the stage may read test rows.
    external : callable (config) -> list of path, optional
        Files or folders outside the store whose bytes enter the key.
    applies : callable (config) -> bool
        Whether there is anything to do; if not, the stage is left out of the run.
    expects : callable (config) -> dict, optional
        How large the study will be, where the configuration tells: ``subjects`` (their number),
        ``trials`` and, if known, ``channels`` (of one subject). Only forecasts ask for it.
    """

    def declare(run):
        needs = tuple(Need.parse(i) for i in inputs)
        flags = (each, tuple(sealed), opens_test, external, applies)
        return Stage(name, run, config, needs, *flags, run.__module__, expects)

    return declare


def load_stage(name):
    """Find a stage by name (``train``) or, for one of your own, by module (``mylab.mystage``)."""
    module = name if "." in name else f"neurodecode.stages.{name}"
    check_module(module, "stages")
    try:
        found = importlib.import_module(module).run
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConfigError(f"stages: there is no stage {name!r} (no module {module})") from error
    if not isinstance(found, Stage):
        raise ConfigError(f"stages: {module}.run is not declared with @stage")
    return found
