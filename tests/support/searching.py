"""Opens, changes and searches tickets in the tests of the search."""

from __future__ import annotations

from datetime import timedelta

from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket, delete_ticket, restore_ticket
from commands.values import ValidValues
from domain.ticket import Ticket
from infrastructure.storage.event_store import EventStore
from projections.runner import catch_up, connect_projector
from projections.ticket_query import TicketQuery
from projections.tickets import list_tickets
from tests.support.arrange import change_ticket, comment_on_ticket, register_property
from tests.support.vault import VAULT
from tests.unit.builders import NOON, caller, context

ADMIN = caller("admin")


class Tickets:
    """Opens and changes tickets, one second after another, and searches them."""

    def __init__(self, dsn, pool):
        self._dsn = dsn
        self._pool = pool
        self.store = EventStore(pool, VAULT)
        self._at = NOON
        register_property(self.store, "p1", context(ADMIN))

    def open(self, title, description="", *, by=ADMIN, **others):
        values = NewTicket(**{"title": title, "description": description, "property_id": "p1", **others})
        return open_ticket(self.store, ValidValues(values), self._next(by)).id

    def change(self, ticket_id, **changes):
        change_ticket(self.store, ticket_id, self._next(), **changes)

    def comment(self, ticket_id, text, visibility="public"):
        return comment_on_ticket(self.store, ticket_id, self._next(), text=text, visibility=visibility)

    def alter(self, ticket_id, change):
        ticket = self.store.load(Ticket, ticket_id)
        change(ticket, self._next())
        self.store.save(ticket)

    def delete(self, ticket_id):
        delete_ticket(self.store, ticket_id, self._next())

    def restore(self, ticket_id):
        restore_ticket(self.store, ticket_id, self._next())

    @property
    def now(self):
        return self._at

    def search(self, q, by=ADMIN, **others):
        """The ids of the tickets found, oldest first unless another order is given."""
        self.project()
        page = list_tickets(self._pool, by, TicketQuery(**{"q": q, "order": "asc", "limit": 100, **others}))
        assert page.total == len(page.items)
        return [ticket.id for ticket in page.items]

    def project(self):
        with connect_projector(self._dsn) as conn:
            while catch_up(conn, VAULT, 7):
                pass

    def _next(self, by=ADMIN):
        self._at += timedelta(seconds=1)
        return context(by, at=self._at)
