"""Webhook bodies: the bytes of version 1, and the size of version 2 for random large tickets."""

import json
import random
from copy import copy

import pytest

from domain.attachment import Attachment
from domain.changes import CHANGE_NAMES
from domain.comments import CommentEvent
from domain.ticket import Ticket
from tests.golden.webhook_bodies import stored_bodies, version_1_bodies
from tests.support.webhook_bodies import problems_of
from tests.unit.builders import NOON, TICKET_FIELDS, context
from webhook_dispatcher.payloads import TicketGroup, TicketStep, event_names, make_message
from webhook_dispatcher.payloads_v2 import Readable, facts_of, group_names, make_group_message

LETTERS = ["x", "é", "漏", "🚿", "\x01", '"', "\\", "\u2028", "\n"]
BASE_URL = "https://tickets.properties.example.com"


def random_text(rng, most):
    letters = rng.sample(LETTERS, rng.randint(1, 3))
    return "".join(rng.choices(letters, k=rng.choice([1, rng.randint(1, most), most])))


def random_ids(rng):
    return {f"source-{number}": random_text(rng, 255) for number in range(rng.choice([0, 3, 20]))}


def random_tags(rng):
    return tuple(f"{number:03}".ljust(50, "x") for number in rng.sample(range(100), rng.choice([0, 5, 50])))


def steps_of(ticket, before=None):
    """The pending events of the ticket, and the ticket before and after each."""
    steps = []
    for event in ticket.pending:
        after = Ticket.fold(copy(before), [event])
        steps.append(TicketStep(event.originator_version + 1_000_000, event, before, copy(after)))
        before = after
    ticket.pending.clear()
    return steps


def random_groups(rng):
    """A new ticket with large fields, and a request that changes many of them, and comments or attaches."""
    long_id = "i" * 64
    fields = {"title": random_text(rng, 255), "description": random_text(rng, 65_535), "category": "c" * 50}
    fields |= {"tags": random_tags(rng), "external_ids": random_ids(rng)}
    fields |= {"property_id": long_id, "unit_id": long_id, "requester_id": long_id}
    ticket = Ticket.open("t" * 64, context(command_id="c" * 64), **{**TICKET_FIELDS, **fields})
    first = steps_of(ticket)
    changes = {
        "title": random_text(rng, 255),
        "description": random_text(rng, 65_535),
        "category": "roof",
        "priority": "low",
        "status": "closed",
        "assignee_id": "a" * 64,
        "unit_id": None,
        "tags": random_tags(rng),
        "external_ids": random_ids(rng),
    }
    command = context(command_id="d" * 64)
    ticket.change({name: changes[name] for name in rng.sample(list(changes), rng.randint(0, 9))}, command)
    if rng.random() < 0.5:
        ticket.comment("k" * 64, random_text(rng, 65_535), "public", command)
    else:
        name = random_text(rng, 255)
        ticket.attach(Attachment("f" * 64, name, "image/jpeg", 2**40, "0" * 64, NOON), command)
    second = steps_of(ticket, first[-1].after)
    return [TicketGroup(first, 1_000_000), TicketGroup(second, 1_000_000)]


def texts_of(group):
    """The texts of a body that is not shortened, and the ticket."""
    ticket = group.steps[-1].after
    texts = {"title": ticket.title, "description": ticket.description}
    for step in group.steps:
        if isinstance(step.event, CommentEvent):
            texts["text"] = step.event.text
    return texts, ticket


def test_bodies_of_version_1_are_byte_for_byte_those_from_before_version_2():
    assert version_1_bodies() == stored_bodies()


def data_of(group):
    shown = Readable({}, {}, (), BASE_URL)
    return json.loads(make_group_message(group, "ticket.created", "full", shown).body)["data"]


@pytest.mark.parametrize("seed", range(100))
def test_every_body_is_at_most_20_kb_and_says_when_it_is_shortened(seed):
    rng = random.Random(seed)
    names = {each * 64: random_text(rng, 255) for each in "ia"}
    names[f"{'i' * 64}/{'i' * 64}"] = random_text(rng, 255)
    shown = Readable(names, {}, (), BASE_URL)
    for group in random_groups(rng):
        for name in group_names(group):
            thin = make_group_message(group, name, "thin", shown).body
            body = make_group_message(group, name, "full", shown).body

            assert problems_of(thin) == problems_of(body) == []
            assert len(thin) <= 2_000
            assert len(body) <= 20_000
            texts, ticket = texts_of(group)
            data = json.loads(body)["data"]
            assert data["url"] == f"{BASE_URL}/v1/tickets/{ticket.id}"
            has = {**data, **data.get("comment", {})}
            is_whole = all(has[field] == text for field, text in texts.items()) and "external_ids" in data
            assert data["truncated"] or is_whole
            # Ids are whole.
            assert (data["id"], data["property"]["id"]) == (ticket.id, ticket.property_id)
            assert data["requester"]["id"] == ticket.requester_id
            assert data["category"] == ticket.category
            assert data.get("tags", list(ticket.tags)) == list(ticket.tags)
            assert data.get("external_ids", ticket.external_ids) == ticket.external_ids
            assert all(has[field][:-1] == text[: len(has[field]) - 1] for field, text in texts.items())


def test_a_small_body_is_whole():
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS, tags=("a",), external_ids={"sap": "1"})
    group = TicketGroup(steps_of(ticket), 1)

    data = data_of(group)

    assert (data["truncated"], data["tags"], data["external_ids"]) == (False, ["a"], {"sap": "1"})
    assert data["changes"]["title"] == {"from": None, "to": "Leak"}


def test_names_of_changed_fields_stay_when_the_values_are_left_out():
    ids = {f"source-{number}": "\x01x" * 100 for number in range(20)}
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS, external_ids=ids)
    group = TicketGroup(steps_of(ticket), 1)

    data = data_of(group)

    assert data["truncated"] is True
    assert data["changes"]["external_ids"] == {"from": None, "to": None}
    assert data["changes"]["priority"] == {"from": None, "to": "high"}


def test_a_filter_accepts_exactly_the_names_that_changes_can_have():
    found = set()
    for seed in range(60):
        for group in random_groups(random.Random(seed)):
            found |= set(facts_of(group.steps)["changed_field"])
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    first = steps_of(ticket)
    ticket.delete(context())
    found |= set(facts_of(steps_of(ticket, first[-1].after))["changed_field"])

    assert found == set(CHANGE_NAMES)


def test_a_new_requester_is_a_change_and_decides_which_guest_may_read_the_message():
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    first = steps_of(ticket)
    ticket.change({"requester_id": "u2"}, context())
    (step,) = steps_of(ticket, first[-1].after)
    shown = Readable({}, {}, (), BASE_URL)

    bodies = [
        make_message(step, "ticket.updated", {}),
        make_group_message(TicketGroup([step], 1), "ticket.updated", "full", shown),
    ]

    assert event_names(step.event) == ("ticket.updated",)
    for message in bodies:
        data = json.loads(message.body)["data"]
        assert problems_of(message.body) == []
        assert message.requester_id == data["requester"]["id"] == "u2"
        assert data["changes"] == {"requester_id": {"from": "u1", "to": "u2"}}
