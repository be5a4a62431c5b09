"""Every field of an aggregate is stored in the read tables, and every column is shown to readers."""

from datetime import timedelta

import msgspec
import pytest

from domain.property import Property
from domain.ticket import Ticket
from domain.user import User
from projections.comparison import KEYS
from projections.project_past_tickets import duration_bits
from projections.rows import TABLES, PastTicketRow, PropertyRow, TicketRow, UserRow, shared_fields
from projections.views import Names, PropertyDetail, TicketDetail, TicketFields, UserDetail

NEVER_STORED = {"pending"}  # an aggregate has it only in memory
LISTS = {"attachments"}
COUNTS = {"comments_count", "internal_comments_count"}  # of a ticket; stored in their own tables


@pytest.mark.parametrize(
    ("aggregate", "row", "stored_elsewhere"),
    [
        (Ticket, TicketRow, LISTS),
        # The id is ticket_id, the priority is priority_rank, the texts are in past_texts; lists of past
        # tickets show no comments.
        (
            Ticket,
            PastTicketRow,
            {"id", "priority", "title", "description", "position", *COUNTS, *LISTS},
        ),
        (User, UserRow, {"is_erased"}),  # visible from the placeholders in other columns
        # In several columns, and in the table units.
        (Property, PropertyRow, {"address", "units", "unit_external_ids"}),
    ],
    ids=["tickets", "past_tickets", "users", "properties"],
)
def test_every_field_of_an_aggregate_is_a_column_or_is_stored_elsewhere(aggregate, row, stored_elsewhere):
    assert set(shared_fields(row, aggregate)) == (
        set(aggregate.__struct_fields__) - stored_elsewhere - NEVER_STORED
    )


@pytest.mark.parametrize(
    ("row", "view", "not_shown"),
    [
        (
            TicketRow,
            TicketDetail,
            {"version", "position", "priority_rank", "is_deleted", "internal_comments_count"}
            | {f"{reference}_id" for reference in ("property", "unit", "requester", "assignee")},
        ),
        (
            UserRow,
            UserDetail,
            {"version", "position", "property_ids", "is_active", "search", "name_position"},
        ),
        (
            PropertyRow,
            PropertyDetail,
            {"version", "position", "search", "name_position", "created_at", "updated_at"}
            | {"street", "city", "state", "zip", "country"},
        ),
    ],
    ids=["tickets", "users", "properties"],
)
def test_every_column_is_shown_under_its_name_or_listed_as_not_shown(row, view, not_shown):
    assert set(shared_fields(row, view)) == set(row.__struct_fields__) - not_shown


def test_every_field_of_a_ticket_in_a_list_is_a_column_or_a_reference():
    fields = {field.name for field in msgspec.structs.fields(TicketFields)}

    assert fields == set(shared_fields(TicketRow, TicketFields)) | set(Names._fields)


def test_the_columns_that_a_past_ticket_copies_come_last_and_in_the_order_of_the_copy():
    added = ("ticket_id", "priority_rank", "duration_bits", "ended_at")

    assert PastTicketRow.__struct_fields__ == (*added, *shared_fields(Ticket, PastTicketRow))


def test_every_read_table_is_compared_by_one_of_the_parts_of_a_verification():
    assert KEYS.keys() == TABLES.keys() - {"audit_events", "past_tickets"} | {"parked_events"}


@pytest.mark.parametrize(
    ("seconds", "bits"),
    [(0.999999, 0), (1, 1), (1.999999, 1), (2, 2), (7.999999, 3), (8, 4), (2**31 - 1, 31), (2**40, 32)],
)
def test_a_state_with_k_duration_bits_lasted_less_than_2_to_the_power_of_k_seconds(seconds, bits):
    assert duration_bits(timedelta(seconds=seconds)) == bits
