"""Code counts: a digest per module that a stage can reach, comments and docstrings stripped."""

import ast
import functools
import hashlib
import importlib.util
import sys
from pathlib import Path

from neurodecode.core.key import digest
from neurodecode.core.trust import is_trusted

PACKAGE = "neurodecode"
ROOT = Path(__file__).parents[1]
# The kernel's plumbing moves files about; of core only these decide numbers.
NUMERIC_CORE = tuple(f"neurodecode.core.{n}" for n in ("documents", "lazy", "seeds", "views"))
ASSETS = {".html", ".css", ".js", ".json", ".j2"}


def fingerprint(module, targets=()):
    """Digest the code that a stage can reach.

    Parameters
    ----------
    module : str
        The stage's module, e.g. ``neurodecode.stages.train``.
    targets : sequence of str
        Dotted paths of the `_target_`s its configuration names.

    Returns
    -------
    modules : dict of str to str
        Twelve hex digits per module of the closure, sorted by name. Lazy imports inside functions
        count. A target outside the package counts with its own module only.
    """
    todo, seen = [module, *NUMERIC_CORE, *(t.rpartition(".")[0] for t in targets)], {}
    while todo:
        name = todo.pop()
        if name not in seen and _may_be_found(name) and (path := _source(name)) is not None:
            code, imports = _digest_and_imports(path, path.stat().st_mtime_ns)
            seen[name] = code
            todo += [i for i in imports if not i.startswith(f"{PACKAGE}.core")]
    return dict(sorted(seen.items()))


def code_digest(node):
    """Digest the code of a `_target_`: whoever runs later what it fitted is computed anew."""
    return digest(fingerprint(node["_target_"].rpartition(".")[0]))


def moved(old, new):
    """Return the names of the modules that differ between two fingerprints."""
    return sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))


def _may_be_found(name):
    """Whether finding a module imports nothing that is not trusted (the packages above it)."""
    return name.split(".")[0] == PACKAGE or name in sys.modules or is_trusted(name)


@functools.cache
def _source(name):
    """Return the file of a module without importing it (or its parents, which may be heavy)."""
    package, *parts = name.split(".")
    if package == PACKAGE:
        stem = ROOT.joinpath(*parts)
        places = (Path(f"{stem}.py"), stem / "__init__.py")
        return next((p for p in places if p.is_file()), None)
    try:
        spec = importlib.util.find_spec(name)  # a target of somebody else's: imported already
    except (ImportError, ValueError):
        return None
    is_python = spec is not None and spec.origin and spec.origin.endswith(".py")
    return Path(spec.origin) if is_python else None


@functools.cache
def _digest_and_imports(path, mtime_ns):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = sorted(set(_package_imports(tree)))
    hasher = hashlib.sha256(ast.unparse(_strip(tree)).encode())
    if path.name == "__init__.py":
        for asset in sorted(p for p in path.parent.rglob("*") if p.suffix in ASSETS):
            hasher.update(asset.read_bytes())
    return hasher.hexdigest()[:12], imports


def _package_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        else:
            continue
        for name in (n for n in names if n.split(".")[0] == PACKAGE):
            parts = name.split(".")
            yield from (".".join(parts[:k]) for k in range(2, len(parts) + 1))


def _strip(tree):
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
