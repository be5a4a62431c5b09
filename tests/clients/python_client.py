"""Writes the generated modules of clients/python: `python -m tests.clients.python_client`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from tests.unit.test_openapi_schemas import DOCUMENT

FOLDER = Path("clients") / "python"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


def main() -> None:
    for name, text in generator.generate(DOCUMENT).items():
        (FOLDER / "ticketing_client" / name).write_text(text)


if __name__ == "__main__":
    main()
