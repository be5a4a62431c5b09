"""Garbage collection is rare inside the block, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from infrastructure.process.garbage import OBJECTS, rare_garbage_collection


def test_the_threshold_is_high_inside_the_block_and_restored_afterwards() -> None:
    before = gc.get_threshold()
    with rare_garbage_collection():
        assert gc.get_threshold() == (OBJECTS, *before[1:])
    assert gc.get_threshold() == before


def test_the_threshold_is_restored_after_an_error() -> None:
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError), rare_garbage_collection():
        _ = 1 / 0
    assert gc.get_threshold() == before
