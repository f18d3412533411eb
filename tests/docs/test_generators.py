"""docs/generators.md lists every generator of conf/, with the ids that its YAML names."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONF = sorted((ROOT / "conf" / "generator").glob("*.yaml"))
TABLE = (ROOT / "docs" / "generators.md").read_text(encoding="utf-8")
LINES = {
    found.group(1): line
    for line in TABLE.splitlines()
    if (found := re.match(r"\| `(\w+)` \|", line))
}
KEYS = ("path", "adapter", "adapter_file", "encoder", "controlnet")
SHARED = {"ip_adapter_plus_sdxl": {"path", "adapter"}}  # "as above"


def test_the_table_has_a_line_for_each_generator():
    assert set(LINES) == {path.stem for path in CONF}


def test_a_line_names_the_weights_that_the_yaml_names():
    for path in CONF:
        node = yaml.safe_load(path.read_text())
        keys = set(KEYS) - SHARED.get(path.stem, set())
        named = [node[key] for key in keys if isinstance(node.get(key), str)]
        remote = [name for name in named if not name.startswith(("shipped:", "./"))]
        missing = [name for name in remote if f"`{name}`" not in LINES[path.stem]]
        assert not missing, f"docs/generators.md: {path.stem} does not name {missing}"


def test_every_line_has_all_columns():
    columns = {name: line.count(" | ") for name, line in LINES.items()}
    assert set(columns.values()) == {7}, columns


def test_the_embeddings_that_a_line_names_are_there():
    known = {path.stem for path in (ROOT / "conf" / "embed").glob("*.yaml")}
    named = {name: re.findall(r"embed=(\w+)", line) for name, line in LINES.items()}
    assert sum(map(len, named.values())) >= 9
    assert {choice for choices in named.values() for choice in choices} <= known
