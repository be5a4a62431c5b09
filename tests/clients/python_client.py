"""Writes the generated modules of clients/python: `python -m tests.clients.python_client`."""

from __future__ import annotations

from tests.unit.test_python_client import DOCUMENT, FOLDER, generator


def main() -> None:
    for name, text in generator.generate(DOCUMENT).items():
        (FOLDER / "ticketing_client" / name).write_text(text)


if __name__ == "__main__":
    main()
