"""Garbage collection is rare inside the block, as before afterwards, and spares the objects of a start."""

from __future__ import annotations

import gc

import pytest

from infrastructure.process.garbage import (
    OBJECTS,
    OBJECTS_OF_REQUESTS,
    rare_garbage_collection,
    spare_present_objects,
)


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


def test_present_objects_are_excluded_and_new_ones_are_collected() -> None:
    before, excluded = gc.get_threshold(), gc.get_freeze_count()
    try:
        spare_present_objects()
        assert gc.get_freeze_count() > excluded
        assert gc.get_threshold() == (OBJECTS_OF_REQUESTS, *before[1:])
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() == 1
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
