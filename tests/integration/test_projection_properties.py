"""For random commands and random batch sizes, the read tables are the fold of the log; so are lists."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands import ticket_opening, tickets
from commands.values import ValidValues
from domain.attachment import Attachment
from domain.errors import DomainError
from domain.ticket import PRIORITIES, STATUSES
from domain.user import Notifications, Preferences
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from projections.runner import catch_up, connect_projector
from tests.support import arrange
from tests.support.history import append
from tests.support.log import events_after
from tests.support.postgres import cloned_database
from tests.support.read_tables import folded_rows, stored_rows
from tests.support.ticket_lists import check_list, random_caller, random_query
from tests.support.vault import VAULT
from tests.unit.builders import NOON, caller, context

EXAMPLES = 30
LISTS = 10  # for each example
SMALL = st.integers(0, 2)  # few ids, so that commands concern the same aggregates
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
PROPERTY = SMALL.map("p{}".format)
USER = SMALL.map("u{}".format)
UNIT = st.one_of(st.none(), SMALL.map("unit{}".format))
TICKET = SMALL.map("t{}".format)
ABSENT = st.just(msgspec.UNSET)


def command_of(kind, carry_out, **fields):
    return st.tuples(st.just(carry_out), st.builds(kind, **fields))


def call_of(carry_out, **arguments):
    return st.tuples(st.just(accept_arguments(carry_out)), st.fixed_dictionaries(arguments))


def accept_arguments(carry_out):
    return lambda store, arguments, context: carry_out(store, context=context, **arguments)


def open_ticket(store, fields, context):
    return ticket_opening.open_ticket(store, ValidValues(tickets.NewTicket(**fields)), context)


OPENING = command_of(
    dict,
    open_ticket,
    title=TEXT,
    description=TEXT,
    priority=st.sampled_from(PRIORITIES),
    category=st.just("general"),
    property_id=PROPERTY,
    unit_id=UNIT,
    requester_id=ABSENT | USER,
)
CHANGE = call_of(
    arrange.change_ticket,
    ticket_id=TICKET,
    title=ABSENT | TEXT,
    description=ABSENT | TEXT,
    status=ABSENT | st.sampled_from(STATUSES),
    priority=ABSENT | st.sampled_from(PRIORITIES),
    category=ABSENT | st.sampled_from(["general", "plumbing"]),
    assigned_to=ABSENT | st.none() | USER,
    property_id=ABSENT | PROPERTY,
    unit_id=ABSENT | UNIT,
    requester_id=ABSENT | USER,
)
COMMENT = call_of(
    arrange.comment_on_ticket,
    ticket_id=TICKET,
    text=TEXT,
    visibility=st.sampled_from(["public", "internal"]),
)
FILE = call_of(
    tickets.attach_file,
    ticket_id=TICKET,
    attachment=st.builds(
        Attachment,
        id=st.uuids().map(str),
        filename=TEXT,
        content_type=st.just("text/plain"),
        size_bytes=st.integers(0, 100),
        sha256=st.just("00" * 32),
        created_at=st.just(NOON),
    ),
)
DELETION = call_of(tickets.delete_ticket, ticket_id=TICKET)
RESTORATION = call_of(tickets.restore_ticket, ticket_id=TICKET)
ADDRESS = st.builds(lambda text: msgspec.structs.replace(arrange.ADDRESS, street=text), TEXT)
PLACE = call_of(
    arrange.register_property,
    property_id=PROPERTY,
    name=TEXT,
)
PLACE_CHANGE = call_of(
    arrange.change_property,
    property_id=PROPERTY,
    name=ABSENT | TEXT,
    address=ABSENT | ADDRESS,
)
NEW_UNIT = call_of(
    arrange.add_unit,
    property_id=PROPERTY,
    unit_id=SMALL.map("unit{}".format),
    name=TEXT,
)
ROLE = st.sampled_from(["admin", "manager", "staff", "guest"])
PLACES = st.lists(PROPERTY, max_size=3).map(tuple)
PERSON = call_of(
    arrange.register_user,
    user_id=USER,
    name=TEXT,
    email=st.just("someone@example.com"),
    phone=st.none() | st.just("555-123-4567"),
    role=ROLE,
    property_ids=PLACES,
)
PERSON_CHANGE = call_of(
    arrange.change_user,
    user_id=USER,
    name=ABSENT | TEXT,
    email=ABSENT | st.just("other@example.com"),
    phone=ABSENT | st.none() | st.just("555-765-4321"),
    role=ABSENT | ROLE,
    property_ids=ABSENT | PLACES,
    preferences=ABSENT
    | st.builds(lambda sms: Preferences(notifications=Notifications(sms=sms)), st.booleans()),
)
COMMANDS = st.one_of(
    *(OPENING, OPENING, CHANGE, CHANGE, CHANGE, COMMENT, FILE, DELETION, RESTORATION),
    *(PLACE, PLACE_CHANGE, NEW_UNIT, PERSON, PERSON_CHANGE),
)
FIRST = [
    (accept_arguments(arrange.register_property), {"property_id": "p0"}),
    (accept_arguments(arrange.register_user), {"user_id": "u0", "role": "admin"}),
]


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(commands=st.lists(COMMANDS, min_size=10, max_size=60), batch_size=st.integers(1, 20))
def test_the_read_tables_are_the_fold_of_the_log(postgres, template, commands, batch_size):
    events = events_of([*FIRST, *commands])

    with cloned_database(postgres, template) as dsn, make_pool(dsn, application="tests", max_size=1) as pool:
        append(EventStore(pool, VAULT), [events])
        with connect_projector(dsn) as projector:
            while catch_up(projector, VAULT, batch_size):
                pass
        with pool.connection() as conn:
            assert stored_rows(conn) == folded_rows(conn)
            for number in range(LISTS):
                chance = random.Random(number)
                check_list(conn, random_caller(chance), random_query(chance), chance)
            assert conn.execute("SELECT count(*) FROM read.parked_events").fetchone() == (0,)


def events_of(commands):
    """The events of the commands, one second apart, without refused commands. Tickets are t0, t1, ..."""
    store = EventStore()
    opened = 0
    for number, (carry_out, command) in enumerate(commands):
        is_opening = carry_out is open_ticket
        command_id = f"t{opened}" if is_opening else f"c{number}"
        at = NOON + timedelta(seconds=number)
        with suppress(DomainError):
            carry_out(store, command, context(caller(), at=at, command_id=command_id))
            opened += is_opening
    return [recorded.event for recorded in events_after(store, 0, 10_000)]
