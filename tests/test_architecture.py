"""The packages may only import in one direction (docs/decisions/0001-house.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVERS = {"domain", "infrastructure"}
MAY_IMPORT = {
    "domain": set(),
    "infrastructure": {"domain"},
    "commands": SERVERS,
    "projections": SERVERS,
    "event_stream": SERVERS,
    "notary": SERVERS,
    "webhook_dispatcher": SERVERS | {"event_stream"},
    "api": SERVERS | {"commands", "projections", "event_stream", "notary", "webhook_dispatcher"},
    "cli": SERVERS | {"commands", "projections", "event_stream", "notary", "webhook_dispatcher", "api"},
}
DOMAIN_LIBRARIES = {"msgspec"}


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        ours = imported_names(path) & MAY_IMPORT.keys()
        assert ours <= MAY_IMPORT[package] | {package}, path


def test_the_domain_knows_no_library_but_msgspec():
    import sys

    for path in (ROOT / "domain").rglob("*.py"):
        foreign = imported_names(path) - set(sys.stdlib_module_names) - {"domain"}
        assert foreign <= DOMAIN_LIBRARIES, path


def test_no_file_grows_past_400_lines():
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in (*MAY_IMPORT, "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_two_parts_use_the_same_advisory_lock():
    numbers = [
        node.value.value
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and any(
            isinstance(name, ast.Name) and name.id.endswith(("_KEY", "_LOCK", "_CLASS"))
            for name in node.targets
        )
        and isinstance(node.value.value, int)
    ]
    assert len(numbers) >= 8
    assert len(numbers) == len(set(numbers))
