"""The house keeps its rules: who may import whom, and what `--help` may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import neurodecode

ROOT = Path(neurodecode.__file__).parent
NUMERICS = {
    "signal",
    "align",
    "models",
    "contrastive",
    "diffusion",
    "encoding",
    "metrics",
    "rigour",
}
ALLOWED = (
    {room: {"core", "weights"} for room in NUMERICS}
    | {"core": set(), "weights": {"core"}}
    | {"data": {"core"}, "report": {"core"}}
    | {"zoo": {"core", "data", "weights", *NUMERICS}}
    | {"world": {"core", *NUMERICS}}
    | {"preprocess": {"core", "data", "signal"}}
    | {"stages": {"core", "data", "preprocess", "world", "report", "weights", *NUMERICS}}
    | {"api": {"core", "data", "preprocess", "stages", "report", "weights", *NUMERICS}}
    | {"cli": {"api", "core", "data", "stages", "report", "world", "weights", "zoo", *NUMERICS}}
)
HEAVY = {"torch", "torchvision", "diffusers", "transformers", "open_clip", "nilearn", "mne"}
HEAVY |= {"sklearn", "matplotlib", "himalaya", "pandas", "nibabel", "scipy"}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts != ("__init__",) else None


def imported_modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            if node.module == "neurodecode":
                yield from (f"neurodecode.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_the_rooms_it_may(path):
    room = room_of(path)
    for module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
        parts = module.split(".")
        if parts[0] == "neurodecode" and len(parts) > 1 and parts[1] not in ("__version__", room):
            assert parts[1] in ALLOWED.get(room, set()), f"{room} may not import {module}"
        if parts[0] == "hydra":
            assert room == "cli", "only the command line knows Hydra"


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.stem)
def test_importing_a_stage_is_cheap(path):
    top = ast.Module(ast.parse(path.read_text(encoding="utf-8")).body, [])
    names = [n for n in top.body if isinstance(n, ast.Import | ast.ImportFrom)]
    roots = {m.split(".")[0] for m in imported_modules(ast.Module(names, []))}
    assert not roots & HEAVY, f"import {roots & HEAVY} inside the functions of {path.name}"


def test_help_loads_no_numeric_library():
    code = (
        "import sys; from neurodecode.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stderr.strip().splitlines()[-1]))
    assert not loaded & (HEAVY | {"numpy", "hydra"}), loaded & HEAVY
    assert "experiment" in done.stdout


def test_nothing_is_unpickled():
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert "pickle" not in {m.split(".")[0] for m in imported_modules(tree)}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}"
