"""/admin/tickets: the list of tickets, with its search, filters and views, and the list as a CSV file."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, ClassVar, NamedTuple

import falcon
import msgspec
from msgspec.structs import replace

from api.http.queries import convert_query
from api.v1.ticket_csv import CSV, respond_with_csv
from commands.email_addresses import hash_address
from domain.access import Caller
from domain.errors import Invalid
from domain.text import Category, Id, SearchText, Tag, is_id
from domain.ticket import PRIORITIES, STATUSES, Priority, Status
from pages.common.filters import words
from pages.common.page_operation import PageOperation
from pages.common.rendering import set_headers
from pages.common.shown_form import ShownForm, Values
from pages.panel.choosing import resolve_property
from pages.panel.openable import openable_names
from pages.panel.page import (
    ListQuery,
    PanelPage,
    address_with,
    page_of,
    pages_of,
    read_filters,
    typed_filters,
)
from pages.panel.saved_views import VIEW_NAME, kept_filters, query_of, views_of
from projections.change_watch import shown_position
from projections.choices import (
    Choices,
    assignee_choices,
    find_person,
    find_ticket_number,
    property_choices,
    unit_choices,
    worker_choices,
)
from projections.ticket_filters import Order, Sort, TicketQuery
from projections.tickets import list_tickets
from projections.views import Reference

# The form that changes several tickets. An empty field changes nothing.
SEVERAL: Values = {"set_status": "", "set_priority": "", "set_assigned_to": "", "add_tag": ""}
UNKNOWN_PERSON = "No person has this id or e-mail address."
NOT_FILTERS = ("q", "page", "per_page", "sort", "order")
LABELS = {
    "assigned_to": "Assignee",
    "property_id": "Property",
    "unit_id": "Unit",
    "opened_from": "Opened from",
    "opened_to": "Opened until",
}


class TicketFilters(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`requester` is an id or e-mail address. Both days of a span belong to it (UTC)."""

    status: tuple[Status, ...] = ()
    priority: tuple[Priority, ...] = ()
    assigned_to: tuple[Id, ...] = ()
    property_id: str | None = None
    unit_id: tuple[Id, ...] = ()
    category: tuple[Category, ...] = ()
    tag: tuple[Tag, ...] = ()
    requester: str | None = None
    opened_from: date | None = None
    opened_to: date | None = None
    q: SearchText | None = None
    sort: Sort = "created_at"
    order: Order = "desc"


class Heading(msgspec.Struct, frozen=True):
    """The link of a column's heading, and the order of the list by this column, as aria-sort names it."""

    address: str
    order: str


class Chip(NamedTuple):
    """A filter in force, as the list shows it, and the address of the list without it."""

    label: str
    value: str
    address: str


class TicketList(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("staff", "Find tickets")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, pool = req.context.caller, self.services.pool
        shown: dict[str, Any] = {
            "properties": property_choices(pool, caller),
            "workers": worker_choices(pool, caller),
            "views": views_of(pool, caller.principal_id),
            "saving": ShownForm(VIEW_NAME),
            "query": query_of(kept_filters(req.query_string)),
            "units": Choices([], is_cut=False),
            "position": shown_position(pool),
        }
        try:
            filters = read_filters(req, TicketFilters)
            query = self.query_of(caller, filters)
            page = list_tickets(pool, caller, query)
        except Invalid as refusal:
            self.show_refused_filters(
                req, resp, "tickets.html", TicketFilters, refusal, tickets=[], chips=[], **shown
            )
            return
        if len(query.property_id) == 1 and caller.reaches(query.property_id[0]):
            shown["units"] = unit_choices(pool, query.property_id[0])
        self.show(
            req,
            resp,
            "tickets.html",
            tickets=page.items,
            openable=openable_names(pool, caller, page.items),
            pages=pages_of(req, filters, page.total),
            filters=typed_filters(req, TicketFilters),
            chips=self._chips(req, filters, shown["properties"].items + shown["workers"].items),
            several=ShownForm(SEVERAL),
            address=req.relative_uri,
            headings={name: _heading(req, filters, name) for name in ("priority", "created_at")},
            statuses=STATUSES,
            priorities=PRIORITIES,
            assignees=self._assignees(caller, filters.property_id) or shown["workers"].items,
            **shown,
        )

    def query_of(self, caller: Caller, filters: TicketFilters) -> TicketQuery:
        """The query of the list with these filters. Raises Invalid for a person or property that cannot be
        found."""
        pool = self.services.pool
        number = find_ticket_number(pool, filters.q) if filters.q and is_id(filters.q) else None
        return convert_query(
            filters,
            TicketQuery,
            q=filters.q if number is None else f"#{number}",
            finds_names=True,
            assigned_to=tuple(caller.principal_id if to == "me" else to for to in filters.assigned_to),
            property_id=resolve_property(pool, caller, filters.property_id),
            requester_id=self._requester(caller, filters.requester),
            created_after=filters.opened_from and _start_of(filters.opened_from),
            created_before=filters.opened_to and _start_of(filters.opened_to + timedelta(days=1)),
        )

    def _assignees(self, caller: Caller, property_text: str | None) -> list[Reference]:
        """The people to whom the tickets of the chosen property may be assigned."""
        chosen = resolve_property(self.services.pool, caller, property_text)
        return assignee_choices(self.services.pool, caller, chosen[0]).items if chosen else []

    def _requester(self, caller: Caller, text: str | None) -> tuple[str, ...]:
        """The id of the person; an id that does not exist matches nothing. Raises Invalid for another
        text."""
        if not text:
            return ()
        if text == "me":
            return (caller.principal_id,)
        found = find_person(self.services.pool, text, hash_address(self.services.store, text)) or text
        if not is_id(found):
            raise Invalid({"requester": [UNKNOWN_PERSON]})
        return (found,)

    def _chips(self, req: falcon.Request, filters: TicketFilters, known: list[Reference]) -> list[Chip]:
        """The filters in force. `known` are the properties and people whose names they show."""
        names = {one.id: one.name for one in known}
        found = []
        for name in TicketFilters.__struct_fields__:
            if name in NOT_FILTERS or not (value := getattr(filters, name)):
                continue
            items = value if isinstance(value, tuple) else (value,)
            text = " or ".join(names.get(str(one), words(str(one))) for one in items)
            found.append(Chip(LABELS.get(name, words(name)), text, address_with(req, **{name: ""})))
        return found


class TicketCsv(TicketList):
    """The whole list with the same filters."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": replace(page_of("staff", "Download the list as a CSV file"), media_type=CSV)
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        query = self.query_of(caller, read_filters(req, TicketFilters))
        set_headers(resp)
        respond_with_csv(req, resp, query, (), partial(list_tickets, self.services.pool, caller))


def _heading(req: falcon.Request, filters: TicketFilters, sort: Sort) -> Heading:
    """The link of a column's heading: orders by it or, if the list has this order, in reverse."""
    is_current = filters.sort == sort
    reverse: Order = "asc" if is_current and filters.order == "desc" else "desc"
    order = {"asc": "ascending", "desc": "descending"}[filters.order] if is_current else ""
    return Heading(address_with(req, sort=sort, order=reverse), order)


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
