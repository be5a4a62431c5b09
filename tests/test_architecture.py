"""The packages may only import in one direction (docs/decisions/0015-packages.md)."""

import ast
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOUNDATION = {"domain", "infrastructure"}
FEATURES = {"backups", "commands", "projections", "event_stream", "notary", "webhook_dispatcher"}
MAY_IMPORT = {
    "domain": set(),
    "infrastructure": {"domain"},
    "backups": FOUNDATION,
    "commands": FOUNDATION,
    "projections": FOUNDATION,
    "event_stream": FOUNDATION,
    "notary": FOUNDATION,
    "webhook_dispatcher": FOUNDATION | {"event_stream", "commands"},
    "api": FOUNDATION | FEATURES,
    "pages": FOUNDATION | FEATURES | {"api"},
    "server": FOUNDATION | {"projections", "api", "pages"},
    "cli": FOUNDATION | FEATURES | {"api", "server"},
}
DOMAIN_LIBRARIES = {"msgspec"}
# For each folder the folders of the same package that it may import.
FOLDERS_MAY_IMPORT = {
    "api/http": set(),
    "api/v1": {"http"},
    "api/oauth": {"http"},
    "api/monitoring": {"http"},
    "pages/common": set(),
    "pages/panel": {"common"},
}

# The files that start threads, and how the end of each thread is noticed.
THREADS = {
    "infrastructure/process/threads.py": "watched: an error ends the process",
    "infrastructure/storage/postgres.py": "psycopg's pool, whose threads log errors and go on",
    "infrastructure/process/loop_server.py": "a watched thread accepts requests; an error ends one answer",
    "infrastructure/process/metrics.py": "answers requests for metrics; an error ends one answer",
    "api/monitoring/health.py": "each request waits for the check and raises its error",
    "cli/stopping.py": "a timer that ends the process",
    "cli/verify.py": "the result is waited for",
    "projections/bulk_fill.py": "the results are waited for",
    "projections/verification.py": "the result is waited for",
    "webhook_dispatcher/address_guard.py": "each look-up is waited for by the post",
    "webhook_dispatcher/delivery.py": "the result is waited for",
    "webhook_dispatcher/dispatcher.py": "waits for the watched threads to end",
}
STARTS_THREADS = {
    "ThreadingHTTPServer",
    "Thread",
    "Timer",
    "ThreadPoolExecutor",
    "ConnectionPool",
    "start_http_server",
    "to_thread",
}


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
        imported = imported_names(path) & MAY_IMPORT.keys()
        assert imported <= MAY_IMPORT[package] | {package}, path


@pytest.mark.parametrize("folder", FOLDERS_MAY_IMPORT)
def test_folders_of_a_package_import_one_another_in_one_direction(folder):
    package, _, name = folder.partition("/")
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.parent.name
        for path in (ROOT / package).glob("*/*.py")
    }
    for path in (ROOT / folder).rglob("*.py"):
        imported = {modules[module] for module in imported_modules(path, modules)}
        assert imported <= FOLDERS_MAY_IMPORT[folder] | {name}, path


def imported_modules(path: Path, modules: Collection[str]) -> set[str]:
    """Those of `modules` that a file imports, including imports inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & set(modules)


def test_imports_form_no_cycle():
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
    }
    assert len(paths) > 100
    imports = {module: imported_modules(path, paths) for module, path in paths.items()}

    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules


def test_the_domain_imports_no_library_but_msgspec():
    import sys

    for path in (ROOT / "domain").rglob("*.py"):
        foreign = imported_names(path) - set(sys.stdlib_module_names) - {"domain"}
        assert foreign <= DOMAIN_LIBRARIES, path


def starts_threads(path: Path) -> bool:
    """Whether the file calls one of STARTS_THREADS or derives a class from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        used = [node.func] if isinstance(node, ast.Call) else getattr(node, "bases", [])
        for name in used:
            name = name.value if isinstance(name, ast.Subscript) else name
            if getattr(name, "attr", getattr(name, "id", None)) in STARTS_THREADS:
                return True
    return False


def test_threads_are_started_only_where_their_end_is_noticed():
    files = [path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")]

    assert {str(path.relative_to(ROOT)) for path in files if starts_threads(path)} == THREADS.keys()


def test_only_one_module_connects_to_postgresql_because_it_limits_waits():
    """By default, psycopg waits for a frozen server without a limit."""
    unlimited = ("psycopg.connect(", "Connection.connect(", "ConnectionPool(")
    found = {
        str(path.relative_to(ROOT))
        for package in MAY_IMPORT
        for path in (ROOT / package).rglob("*.py")
        if any(call in path.read_text() for call in unlimited)
    }
    assert found == {"infrastructure/storage/postgres.py"}


def test_no_file_has_more_than_400_lines():
    too_long = {
        str(path.relative_to(ROOT)): lines
        for folder in (*MAY_IMPORT, "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert too_long == {}


def test_every_advisory_lock_has_a_unique_number():
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
