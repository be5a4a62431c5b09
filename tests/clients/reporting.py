"""Runs the operations of a Python client and prints the result of each."""

from __future__ import annotations

from collections.abc import Callable

OPERATIONS = (
    "list by page",
    "list by cursor",
    "create",
    "change",
    "comment",
    "upload",
    "webhook",
    "422",
    "receive",
)


def report(*uses: Callable[[], None]) -> None:
    """Call the functions, one for each of OPERATIONS in the same order."""
    for operation, use in zip(OPERATIONS, uses, strict=True):
        try:
            use()
        except Exception as error:  # the next operations run anyway
            print(f"failed: {operation}: {type(error).__name__}: {error}".replace("\n", " "))
        else:
            print(f"ok: {operation}")
