"""A log from before `ticket.resolved` and `ticket.reopened` gives the same rows as a log of today."""

from datetime import timedelta

from domain.property import Property
from domain.ticket import Ticket, TicketReopened, TicketResolved, TicketStatusChanged
from notary.blocks import sql
from notary.follower import sign_log
from notary.verification import verify_log
from projections.runner import catch_up, connect_projector
from projections.verification import verify
from tests.support.history import append
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.vault import VAULT
from tests.unit.builders import NOON, OCEAN_DRIVE, TICKET_FIELDS, context

OLD = [(TicketStatusChanged, {"status": status}) for status in ("closed", "open", "closed")]
TODAY = [(TicketResolved, {}), (TicketReopened, {"status": "open"}), (TicketResolved, {})]


def events_of(ticket_id, changes):
    ticket = Ticket.open(ticket_id, context(), **TICKET_FIELDS)
    for seconds, (event_type, facts) in enumerate(changes, start=1):
        ticket.record(event_type, context(at=NOON + timedelta(seconds=seconds)), **facts)
    return ticket.collect_events()


def test_old_changes_of_the_status_are_projected_like_those_of_today(store, database, conn):
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    append(store, [place.collect_events(), events_of("old", OLD), events_of("today", TODAY)])

    with connect_projector(database) as projector:
        while catch_up(projector, VAULT, 2):
            pass

    rows = stored_rows(conn)
    assert rows == folded_rows(conn)
    old, today = rows["tickets"]["old"], rows["tickets"]["today"]
    assert old | {"number": today["number"], "position": today["position"]} == today
    assert rows["tickets"]["old"]["status"] == "closed"
    assert rows["ticket_counts"]["p1/*/*"]["tickets"][:8] == [0] * 8
    past = "SELECT version, status FROM read.past_tickets WHERE ticket_id = %s ORDER BY version"
    (old, today) = (conn.execute(past, [key]).fetchall() for key in ("old", "today"))
    assert old == today == [(1, "open"), (2, "closed"), (3, "open")]


def test_a_log_with_old_changes_of_the_status_is_verified(store, database, conn):
    place = Property.register("p1", context(), name="Seaside", address=OCEAN_DRIVE)
    append(store, [place.collect_events(), events_of("old", OLD)])
    with connect_projector(database) as projector:
        while catch_up(projector, VAULT, 2):
            pass

    sign_log(conn, VAULT)

    lines = [line for _, line in conn.execute(sql["statements_after"], {"number": 0, "limit": None})]
    report = verify_log(conn, {"copy": lines}, ignore_progress)
    assert (report.findings, report.events) == ([], 5)
    assert verify(database, VAULT, ignore_progress).count == 0


def ignore_progress(done, total):
    """Report no progress."""
