"""`make bench` matches the code: its modules import what exists."""

from benchmarks.__main__ import PARTS


def test_every_part_of_the_benchmarks_can_be_imported():
    assert all(callable(measure) for measure in PARTS.values())
