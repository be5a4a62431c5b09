"""The size of records: Kafka accepts every event that a request can cause."""

from typing import get_args

from domain.text import CommentText, Description, Title
from domain.ticket import Ticket
from event_stream.envelope import to_record
from infrastructure.ids import new_id
from infrastructure.storage.event_store import encode
from infrastructure.storage.kafka_topics import LARGEST_RECORD_BYTES
from infrastructure.storage.recorder import StoredRow
from tests.unit.builders import TICKET_FIELDS, context

WIDEST = "\N{FACE WITH TEARS OF JOY}"  # four bytes in UTF-8; no character takes more in JSON


def longest(annotated):
    (_, meta) = get_args(annotated)
    return meta.max_length


def size_of_record(event):
    row = StoredRow(2**63 - 1, event.originator_id, event.originator_version, event.tag, encode(event))
    record = to_record(row, source="https://" + "a" * 200)
    return len(record.key) + len(record.value) + sum(len(name) + len(value) for name, value in record.headers)


def test_the_largest_events_take_less_than_half_of_what_a_topic_must_accept():
    title, description = WIDEST * longest(Title), WIDEST * longest(Description)
    ticket = Ticket.open(new_id(), context(), **{**TICKET_FIELDS, "title": title, "description": description})
    text = WIDEST * longest(CommentText)
    ticket.comment(new_id(), text, "public", context())
    sizes = {event.tag: size_of_record(event) for event in ticket.collect_events()}

    assert sizes.keys() == {"ticket.opened", "ticket.commented"}
    assert min(sizes.values()) > 4 * longest(Description) - 1
    assert max(sizes.values()) < LARGEST_RECORD_BYTES / 2
