"""Every event type is handled by a projector or listed as audited only."""

from typing import get_args

from domain.events import StoredDomainEvent
from projections.batch import AUDITED_ONLY, PROJECTED


def test_every_event_is_handled_by_a_projector_or_listed_as_audited_only():
    assert set(get_args(StoredDomainEvent)) == PROJECTED | AUDITED_ONLY


def test_no_event_that_a_projector_handles_is_listed_as_audited_only():
    assert not PROJECTED & AUDITED_ONLY
