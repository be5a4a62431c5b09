"""The effect of an attempt on its delivery, and on other deliveries to the same receiver."""

import pytest

from tests.unit.builders import NOON
from webhook_dispatcher.outcomes import Done
from webhook_dispatcher.owners import Endpoint
from webhook_dispatcher.poster import Outcome
from webhook_dispatcher.schedule import JITTER

SCHEDULE = (5.0, 300.0)
ENDPOINT = Endpoint(
    id="w1",
    url="https://example.com/hook",
    event_names=["ticket.*"],
    registered_position=1,
    purged_position=0,
    failures=0,
    owner_role="admin",
    owner_auth="cli",
    owner_user_id=None,
    owner_credential_id=None,
    credential_role=None,
    credential_property_ids=None,
    has_access=True,
    user_role=None,
    user_property_ids=None,
    encrypted_secrets=[],
)


def make_done(status, *, retry_after=None, failures=0):
    outcome = Outcome(NOON, status, b"", None, 1, retry_after)
    return Done.of_attempt(1, ENDPOINT, 1, failures, headers={}, outcome=outcome, schedule=SCHEDULE)


@pytest.mark.parametrize(
    ("status", "retry_after", "least", "pause"),
    [
        (500, None, 5.0, 0.0),
        (None, None, 5.0, 0.0),
        (500, 60.0, 60.0, 0.0),
        (500, 1.0, 5.0, 0.0),
        (429, 60.0, 60.0, 60.0),
        (503, 1.0, 5.0, 1.0),
    ],
)
def test_a_failed_delivery_waits_for_the_schedule_and_for_retry_after(status, retry_after, least, pause):
    done = make_done(status, retry_after=retry_after)

    assert (done.status, done.failures, done.pause_seconds) == ("pending", 1, pause)
    assert least <= done.delay_seconds <= max(least, SCHEDULE[0] * (1 + JITTER))


def test_a_delivery_follows_the_schedule_until_it_is_delivered_or_dead():
    assert SCHEDULE[1] <= make_done(500, failures=1).delay_seconds <= SCHEDULE[1] * (1 + JITTER)
    assert make_done(500, failures=2).status == "dead"
    assert make_done(410).status == "dead"
    assert make_done(204, failures=2).status == "delivered"
