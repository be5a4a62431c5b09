"""Counts the rows that the event store reads."""

from __future__ import annotations

from typing import Any

import pytest


def count_results(reader: Any, method: str, counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Append to `counts` the number of events that each call of the method returns.

    The method returns a list of them, or a tuple whose last member is that list.
    """
    read = getattr(reader, method)

    def read_and_count(*arguments: Any) -> Any:
        result = read(*arguments)
        counts.append(len(result[-1] if isinstance(result, tuple) else result))
        return result

    monkeypatch.setattr(reader, method, read_and_count)
