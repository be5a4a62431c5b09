"""The command ids of a request with several commands."""

from uuid import UUID

from api.http.context import RequestContext
from infrastructure.ids import derive_id, new_id
from tests.unit.builders import caller


def request_context(command_id):
    context = RequestContext()
    context.caller = caller()
    context.command_id = command_id
    return context


def test_each_item_of_a_request_has_its_own_command_id_and_a_retry_repeats_it():
    claimed = new_id()
    first, retry = request_context(claimed), request_context(claimed)

    ids = [first.command(number).command_id for number in range(3)]

    assert len({claimed, *ids}) == 4
    assert [retry.command(number).command_id for number in range(3)] == ids
    assert first.command().command_id == claimed


def test_items_share_the_time_and_the_caller_of_their_request():
    context = request_context(new_id())

    assert context.command(1).at == context.command().at
    assert context.command(1).caller is context.caller


def test_a_derived_id_is_a_uuid_of_version_7_with_the_time_of_its_base():
    base = new_id()
    derived = UUID(derive_id(base, "1"))

    assert (derived.version, derived.variant) == (7, UUID(base).variant)
    assert derived.int >> 80 == UUID(base).int >> 80
