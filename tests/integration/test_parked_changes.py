"""A change that was parked is returned to clients that have already read everything else."""

from __future__ import annotations

from msgspec.structs import replace

from domain.ticket import Ticket
from projections.changes import ChangesQuery, read_changes
from projections.parked_events import retry_parked_events
from projections.runner import catch_up, connect_projector
from tests.support.history import append
from tests.support.keys import make_key
from tests.support.tampering import unprotect
from tests.support.vault import VAULT
from tests.unit.builders import TICKET_FIELDS, caller, context

SET_STATE = "UPDATE es.stored_events SET state = %s WHERE notification_id = %s RETURNING notification_id"


def open_ticket(store, ticket_id):
    return append(store, [Ticket.open(ticket_id, context(), **TICKET_FIELDS).collect_events()])


def test_a_change_that_was_parked_follows_what_clients_have_read(store, conn, pool, database):
    key_id = make_key(store).api_key.id
    reader = replace(caller(user_id=None), credential_id=key_id, principal_id=key_id)
    unprotect(conn)
    position = open_ticket(store, "t1")
    select = "SELECT state FROM es.stored_events WHERE notification_id = %s"
    (state,) = conn.execute(select, [position]).fetchone()
    conn.execute(SET_STATE, [b"not json", position])
    open_ticket(store, "t2")
    with connect_projector(database) as projector:

        def project():
            while catch_up(projector, VAULT):
                pass

        project()
        first = read_changes(pool, reader, ChangesQuery())
        conn.execute(SET_STATE, [state, position])
        retry_parked_events(projector, VAULT)
        open_ticket(store, "t3")
        project()
    later = read_changes(pool, reader, ChangesQuery(after=first.position))

    assert [item.ticket_id for item in first.items] == ["t2"]
    assert [item.ticket_id for item in later.items] == ["t1", "t3"]
