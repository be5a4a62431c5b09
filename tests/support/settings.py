"""Finds the environment variables that Settings reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from infrastructure.settings import load_settings


class _RecordingEnvironment(Mapping[str, str]):
    """An empty environment that records every name looked up in it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def names_read() -> set[str]:
    """The names of all environment variables that Settings reads."""
    environ = _RecordingEnvironment()
    load_settings(environ)
    return environ.names
