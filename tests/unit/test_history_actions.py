"""The histories of properties and people have words for every event."""

from typing import get_args

from domain.property import PropertyEvent
from domain.user import UserEvent
from pages.panel.object_history import ACTIONS


def test_every_event_of_a_property_or_person_has_words():
    kinds = (*get_args(PropertyEvent), *get_args(UserEvent))
    assert {kind.__struct_config__.tag for kind in kinds} == ACTIONS.keys()
