"""What a `_target_`, or a stage by its module, may name: files of others must not run code.

Configurations, recipes, run folders and artifacts are data, and may come from anybody. A dotted
path in them is called, so it may lead only to what is meant as a choice:

- the package's own classes in `ROOMS`, and its `FUNCTIONS`;
- modules in the folder where the command runs, or in a folder of ``--config-dir``;
- packages that the user names: ``trust=[mylab]``, or NEURODECODE_TRUST=mylab,other in the shell.

Of what somebody else ran (`foreign`) the second do not count. Nothing is imported to find out.
"""

import importlib.machinery
import inspect
import os
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurodecode.core.errors import ConfigError

PACKAGE = "neurodecode"
ROOMS = (
    "align",
    "contrastive",
    "data.layouts",
    "diffusion",
    "metrics",
    "models",
    "preprocess",
    "rigour",
    "signal",
    "world",
)
WRITES = "world"  # writes a study where it is told: only for who runs a pipeline
FUNCTIONS = {
    "neurodecode.diffusion.latent_prior.pretrained",
    "neurodecode.metrics.low_level.low_level_features",
    "neurodecode.signal.glm.lsa",
    "neurodecode.signal.glm.lss",
    "neurodecode.world.eeg_study.simulate_eeg_study",
    "neurodecode.world.study.simulate_study",
}
STAGES = "stages"
INSTALLED = {"site-packages", "dist-packages"}
START = Path.cwd()


@dataclass(frozen=True)
class Trust:
    """Whose code may run: packages by name, and what lies in folders of the user's own."""

    packages: frozenset = frozenset()
    folders: tuple = ()
    own: bool = True
    """Whether modules where the command runs count; not for what somebody else ran."""


_now = None  # until somebody says more, what `_trust` finds


def trust(packages=(), folders=()):
    """Trust packages, and modules in folders, from now on in this process.

    Parameters
    ----------
    packages : list of str
        Top-level names, such as ``["mylab"]``: the key ``trust`` of the configuration.
    folders : iterable of path
        Given by ``--config-dir``; the folder where the command runs counts anyhow.
    """
    global _now
    _now = Trust(_names(packages), tuple(Path(f).absolute() for f in folders))


@contextmanager
def foreign(packages=()):
    """Within this, what lies where the command runs is not trusted, only the packages named."""
    global _now
    before, _now = _now, Trust(_names(packages), own=False)
    try:
        yield
    finally:
        _now = before


def trusted():
    """Return the packages that are trusted now, by name."""
    return _trust().packages


def check_module(module, where, path=None):
    """Refuse a module whose code may not run, without importing it.

    Parameters
    ----------
    module : str
    where : str
        The key, for the message.
    path : str, optional
        The dotted path that is looked for there.

    Raises
    ------
    ConfigError
        Saying what may be named.
    """
    top, _, inside = str(module).partition(".")
    if not all(part.isidentifier() for part in str(module).split(".")):
        raise ConfigError(f"{where}: {module!r} is not the dotted path of a module")
    now = _trust()
    if top in now.packages or (now.own and (top == "__main__" or _is_own(top))):
        return
    rooms = [r for r in ROOMS if now.own or r != WRITES] + [STAGES]
    if top == PACKAGE and any(inside == r or inside.startswith(f"{r}.") for r in rooms):
        return
    if top != PACKAGE and _spec(top) is None:
        raise ConfigError(f"{where}: cannot find {path or module!r} (No module named {top!r})")
    if top == PACKAGE:
        raise ConfigError(
            f"{where}: {module} is no place of choices: they lie in {PACKAGE}."
            f"{{{', '.join(ROOMS)}}}"
        )
    raise ConfigError(f"{where}: {module} is not trusted, and was not imported: {_advice(top)}")


def check_object(path, found, where):
    """Refuse what a trusted module only borrowed, and what is no class or function.

    Parameters
    ----------
    path : str
        The dotted path that led to it.
    found : object
    where : str
        The key, for the message.
    """
    module, _, name = path.rpartition(".")
    home = getattr(found, "__module__", None)
    if not (inspect.isclass(found) or inspect.isroutine(found)) or not isinstance(home, str):
        raise ConfigError(f"{where}: {path} is {type(found).__name__}, not a class or a function")
    top = module.partition(".")[0]
    if home.partition(".")[0] != top:
        raise ConfigError(
            f"{where}: {path} is {home}.{name}, only imported there: name a class or a function "
            f"that {top} defines itself"
        )
    if top != PACKAGE:
        return
    check_module(home, where)
    chosen = path in FUNCTIONS if inspect.isroutine(found) else not issubclass(found, Exception)
    if name.startswith("_") or not chosen:
        raise ConfigError(f"{where}: {path} is not meant as a choice of a configuration")


def is_trusted(module):
    """Say whether the code of a module may run."""
    try:
        check_module(module, "")
    except ConfigError:
        return False
    return True


def _trust():
    return Trust(_names(())) if _now is None else _now


def _names(packages):
    wrong = [p for p in packages if not (isinstance(p, str) and p.isidentifier())]
    if isinstance(packages, str) or wrong:
        raise ConfigError(f"trust: expected names of packages such as [mylab], got {packages!r}")
    always = os.environ.get("NEURODECODE_TRUST", "").replace(",", " ").split()
    return frozenset(packages) | frozenset(always)


def _is_own(top):
    """Whether a module lies in a folder of the user's own, and not among what is installed."""
    place = _place(top)
    if place is None or place.is_relative_to(Path(__file__).parents[1]):
        return False
    roots = {START.resolve(), Path.cwd().resolve(), *(f.resolve() for f in _trust().folders)}
    paths = sysconfig.get_paths()
    installed = [Path(paths[k]).resolve() for k in ("stdlib", "platstdlib", "purelib", "platlib")]
    if any(place.is_relative_to(folder) for folder in installed):
        return False
    below = (place.relative_to(root) for root in roots if place.is_relative_to(root))
    return any(not INSTALLED & set(parts.parts) for parts in below)


def _place(top):
    """The file or folder of a top-level module, found as an import would, without importing it."""
    spec = None if top in sys.stdlib_module_names else _spec(top)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec.has_location else (places[0] if places else None)
    return Path(origin).resolve() if origin else None


def _spec(top):
    if top in sys.builtin_module_names:
        return importlib.machinery.BuiltinImporter.find_spec(top)
    loaded = getattr(sys.modules.get(top), "__spec__", None)
    return loaded or importlib.machinery.PathFinder.find_spec(top)


def _advice(top):
    if _trust().own:
        return (
            f"a _target_ may lead to {PACKAGE}, to a module in the folder where you run the "
            f"command, or to a package that you trust, trust=[{top}]"
        )
    return (
        "what others ran may name only what the package has. Look at that code first; then say "
        f"that it may run, trust=[{top}]"
    )
