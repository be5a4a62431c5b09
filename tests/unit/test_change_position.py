"""The positions of clients that follow changes, as texts."""

from __future__ import annotations

import re

import pytest

from projections.change_position import PATTERN, ChangePosition, Gained


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0", ChangePosition(0, None)),
        ("42", ChangePosition(42, 42)),
        ("42.50", ChangePosition(42, 50)),
        ("0.50", ChangePosition(0, 50)),
        ("42.40.7.0", ChangePosition(42, 40, Gained(7, 0))),
        ("42.42.7.12", ChangePosition(42, 42, Gained(7, 12))),
    ],
)
def test_a_position_and_its_text_stand_for_each_other(text, position):
    assert ChangePosition.parse(text) == position
    assert str(position) == text


@pytest.mark.parametrize("text", ["", "-1", "1.", "1.2.3", "1.2.3.4.5", "a", "9" * 19])
def test_other_texts_are_refused(text):
    assert re.search(PATTERN, text) is None


def test_a_client_that_knows_the_rights_at_its_position_needs_no_second_number():
    assert str(ChangePosition.at(42, 7)) == "42"
    assert str(ChangePosition.at(42, 50)) == "42.50"
