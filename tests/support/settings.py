"""What Settings reads from the environment, found by watching it read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infrastructure.settings import load_settings


class _Watched(Mapping[str, str]):
    """An empty environment that notes every name it is asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def names_read() -> set[str]:
    """The name of every environment variable that Settings takes."""
    environ = _Watched()
    load_settings(environ)
    return environ.asked
