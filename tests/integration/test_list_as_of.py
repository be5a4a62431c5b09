"""A list as of any moment of a random history is the fold of the events up to that moment."""

import random
from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain.ticket import PRIORITIES, STATUSES, Ticket
from projections.rows import split_total
from projections.ticket_filters import TicketQuery
from projections.ticket_list_as_of import FEW
from projections.ticket_query import NamedTicketRow, build_list, sort_key
from tests.support.history import History, append
from tests.unit.builders import NOON, caller

STEPS = 400
LISTS = 50
SORTS = {
    "created_at": lambda ticket: ticket.created_at,
    "updated_at": lambda ticket: ticket.updated_at,
    "priority": lambda ticket: PRIORITIES.index(ticket.priority),
}
CALLERS = (
    caller("admin"),
    replace(caller("admin"), scopes=frozenset({"tickets:read"})),  # not an auditor
    caller("manager", reach=("p0",)),
    caller("staff", reach=("p0", "p1")),
    caller("guest", user_id="u0", reach=()),
)


class Filters:
    """Random filters as fields of a TicketQuery, and the same filters as a function of a ticket."""

    def __init__(self, chance: random.Random) -> None:
        chosen = {
            "status": chance.sample(STATUSES, k=2),
            "priority": chance.sample(PRIORITIES, k=2),
            "assigned_to": ["none"],
            "property_id": chance.choice((["p0"], ["p1", "p2"])),
            "requester_id": chance.choice((["u1"], ["u0", "key-1", "nobody"])),
            "tag": chance.choice((["urgent"], ["vip", "unused"])),
        }
        names = chance.sample(list(chosen), k=chance.choice((0, 0, 1, 1, 2)))
        self.fields = {name: tuple(chosen[name]) for name in names}

    def match(self, ticket):
        values = {"assigned_to": (ticket.assignee_id or "none",), "tag": ticket.tags}
        return all(
            not set(items).isdisjoint(values.get(name, (getattr(ticket, name, None),)))
            for name, items in self.fields.items()
        )


def expected(states, present, by, filters, query):
    """The tickets of the list in order: `states` are those of the moment, `present` the present ones."""
    shown = [
        ticket
        for ticket in states
        if not ticket.is_deleted
        and (by.is_auditor or not present[ticket.id].is_deleted)
        and by.may_see_ticket(ticket.property_id, ticket.requester_id)
        and filters.match(ticket)
    ]
    key = SORTS[query.sort]
    return sorted(shown, key=lambda one: (key(one), one.id), reverse=query.order == "desc")


@pytest.mark.parametrize("few", [0, FEW], ids=["in the order of the list", "gathered"])
def test_a_list_as_of_any_moment_is_the_fold_of_the_events_up_to_it(pool, store, catch_up, few):
    chance = random.Random(few)
    appends = History(few).grow(STEPS)
    append(store, appends)
    catch_up()
    events = [event for one in appends for event in one if event.tag.startswith("ticket.")]
    present = {one.id: one for one in states_at(events, events[-1].occurred_at)}
    found = 0

    for _ in range(LISTS):
        moment = chance.choice(
            (chance.choice(events).occurred_at, NOON + timedelta(seconds=chance.uniform(0, STEPS)))
        )
        by, filters = chance.choice(CALLERS), Filters(chance)
        query = TicketQuery(
            as_of=moment,
            sort=chance.choice(list(SORTS)),
            order=chance.choice(("asc", "desc")),
            limit=chance.choice((2, 5)),
            **filters.fields,
        )
        tickets = expected(states_at(events, moment), present, by, filters, query)
        for page in pages(pool, by, query, few):
            rows, total, offset = page
            wanted = tickets[offset : offset + query.limit + 1]
            assert total in (None, len(tickets))
            assert [row.id for row in rows] == [ticket.id for ticket in wanted], query
            for row, ticket in zip(rows, wanted, strict=True):
                state = {name: getattr(row, name) for name in STATE}
                assert (tuple(row.tags or ()), row.external_ids or {}) == (ticket.tags, ticket.external_ids)
                assert state == {name: getattr(ticket, name) for name in STATE}
            found += len(rows)
    assert found > LISTS


STATE = (
    "version",
    "title",
    "description",
    "status",
    "priority",
    "category",
    "property_id",
    "unit_id",
    "requester_id",
    "assignee_id",
    "created_at",
    "updated_at",
)


def states_at(events, moment):
    """The tickets with the events up to the moment."""
    streams = {}
    for event in events:
        if event.occurred_at <= moment:
            streams.setdefault(event.originator_id, []).append(event)
    return [Ticket.fold(None, stream) for stream in streams.values()]


def pages(pool, by, query, few):
    """Yield rows, total and offset of the first pages, by offset and then by cursor."""
    for number in range(3):
        one = replace(query, offset=number * query.limit)
        rows, total = split_total(NamedTicketRow, pool.fetch(*build_list(by, one, few=few)))
        yield rows, total, one.offset
    offset, after = 0, None
    while offset <= 3 * query.limit:
        one = replace(query, after=after, count=False)
        rows, total = split_total(NamedTicketRow, pool.fetch(*build_list(by, one, few=few)))
        yield rows, total, offset
        if len(rows) <= query.limit:
            return
        last = rows[query.limit - 1]
        offset, after = offset + query.limit, (sort_key(query.sort, last), last.id)
