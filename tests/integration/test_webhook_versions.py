"""Webhook messages of payload version 2, thin ones, shortened ones, and filters."""

import json
import os
import random
import re

import msgspec
import pytest

from commands.comments import CommentChanges, edit_comment
from commands.values import ValidValues
from domain.access import ROLES, Caller, Context
from domain.attachment import Attachment
from domain.webhook_filter import WebhookFilter
from infrastructure.ids import new_id
from infrastructure.storage.comment_log import CommentPlace
from infrastructure.storage.event_store import decode
from infrastructure.storage.recorder import read_log
from tests.golden.webhook_bodies import NAMES, make_ticket, stored_bodies
from tests.support.arrange import (
    add_unit,
    change_webhook,
    comment_on_ticket,
    register_property,
    register_user,
)
from tests.support.webhook_bodies import problems_of
from tests.support.webhooks import open_ticket, register, system
from tests.unit.builders import NOON
from webhook_dispatcher.enqueue import Enqueuer
from webhook_dispatcher.histories import LoggedEvent

URL = "https://example.com/hook"
SIX_FIELDS = {
    "title": "Flood",
    "description": "Water everywhere",
    "category": "roof",
    "priority": "low",
    "status": "in_progress",
    "assignee_id": "u2",
}


def enqueue(conn, store, *, at_a_time=1_000):
    """Enqueue the log in batches of that size."""
    events = [LoggedEvent(row.position, decode(row.state)) for row in read_log(conn, 0, 100_000)]
    for start in range(0, len(events), at_a_time):
        Enqueuer(store, "https://api.example.com").enqueue(conn, events[start : start + at_a_time])


def bodies(conn, webhook):
    """The bodies for the webhook, in the order of the ticket's versions. All fit their schemas."""
    rows = conn.execute(
        "SELECT m.body FROM hook.deliveries d JOIN hook.messages m ON m.id = d.message_id"
        " WHERE d.endpoint_id = %s ORDER BY m.position, m.name",
        [webhook.id],
    ).fetchall()
    for (body,) in rows:
        assert problems_of(body) == []
    return [json.loads(body) for (body,) in rows]


def edit(store, ticket, comment_id, text):
    values = ValidValues(CommentChanges(text=text))
    edit_comment(store, ticket.id, comment_id, values, system(), locate=lambda: CommentPlace())


def change(store, ticket, values):
    ticket.change(values, system())
    store.save(ticket)


@pytest.mark.parametrize("at_a_time", [1, 3, 1_000])
def test_a_request_that_changes_six_fields_is_one_update_whatever_the_batches(conn, store, at_a_time):
    webhook = register(store, URL, payload_version=2)
    ticket = open_ticket(store)
    change(store, ticket, SIX_FIELDS)
    change(store, ticket, {"title": "Flood again"})

    enqueue(conn, store, at_a_time=at_a_time)

    created, assigned, updated, again = bodies(conn, webhook)
    assert [each["event"] for each in (created, assigned, updated, again)] == [
        "ticket.created",
        "ticket.assigned",
        "ticket.updated",
        "ticket.updated",
    ]
    assert set(updated["data"]["changes"]) == {*SIX_FIELDS, "assigned_to"} - {"assignee_id"}
    assert updated["data"]["changes"] == assigned["data"]["changes"]
    assert (created["from_version"], created["version"]) == (0, 1)
    assert (updated["from_version"], updated["version"]) == (1, 7)
    assert (again["from_version"], again["version"]) == (7, 8)
    assert {each["data"]["number"] for each in (created, updated, again)} == {created["sequence"]}


def test_webhooks_keep_version_1_until_they_are_changed(conn, store):
    old, new = register(store, URL, "ticket.updated"), register(store, URL, "ticket.updated")
    change_webhook(store, new.id, system(), payload_version=2)
    change(store, open_ticket(store), SIX_FIELDS)

    enqueue(conn, store)

    assert len(bodies(conn, old)) == 6
    assert list(bodies(conn, old)[0]) == ["event", "timestamp", "data", "id", "version", "sequence"]
    assert len(bodies(conn, new)) == 1


def test_a_webhook_with_version_1_gets_byte_for_byte_the_bodies_from_before_version_2(conn, store):
    webhook = register(store, URL, payload_version=1)
    register(store, URL, payload_version=2)
    register_property(store, "p1", system(), name=NAMES["p1"])
    add_unit(store, "p1", "u101", system(), name=NAMES["p1/u101"])
    for user_id in ("user1", "user2"):
        register_user(store, user_id, system(), name=NAMES[user_id])
    store.save(make_ticket())

    enqueue(conn, store)

    rows = conn.execute(
        "SELECT m.body FROM hook.deliveries d JOIN hook.messages m ON m.id = d.message_id"
        " WHERE d.endpoint_id = %s",
        [webhook.id],
    ).fetchall()
    assert len(rows) == len(stored_bodies())
    sent = {re.sub(rb'"sequence":\d+', b"", body) for (body,) in rows}
    for body in stored_bodies():  # the texts of edited comments and the names of removed files are replaced
        if b'"comment":' not in body and b'"attachments.' not in body:
            assert re.sub(rb'"sequence":\d+', b"", body) in sent


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"payload_version": 1}, {"payload_version": 2}),
        ({"payload_version": 1}, {"payload_version": 2, "payload": "thin"}),
        ({"payload_version": 2}, {"payload": "thin"}),
        ({"payload_version": 2, "payload": "thin"}, {"payload": "full"}),
        ({"payload_version": 2}, {"payload_version": 1}),
        ({"payload_version": 2, "payload": "thin"}, {"payload_version": 1, "payload": "full"}),
    ],
)
def test_events_that_were_sent_are_not_sent_again_after_a_change_of_the_payload(conn, store, before, after):
    webhook = register(store, URL, **before)
    ticket = open_ticket(store)
    change(store, ticket, SIX_FIELDS)
    comment_on_ticket(store, ticket.id, system(), text="On my way.")
    enqueue(conn, store)
    sent = bodies(conn, webhook)
    change_webhook(store, webhook.id, system(), **after)
    events = [LoggedEvent(row.position, decode(row.state)) for row in read_log(conn, 0, 100_000)]

    again = Enqueuer(store, "https://api.example.com").enqueue(conn, events)  # as from a topic that is reread
    replayed = Enqueuer(store, "https://api.example.com").enqueue_for(conn, events, webhook.id)

    assert (again, replayed) == (0, 0)
    assert bodies(conn, webhook) == sent
    comment_on_ticket(store, ticket.id, system(), text="Done.")
    enqueue(conn, store)
    assert len(bodies(conn, webhook)) == len(sent) + 1


def test_a_replay_after_a_change_of_the_payload_sends_what_was_missed(conn, store):
    webhook = register(store, URL)
    ticket = open_ticket(store)
    enqueue(conn, store)
    change_webhook(store, webhook.id, system(), enabled=False)
    change(store, ticket, SIX_FIELDS)
    enqueue(conn, store)
    change_webhook(store, webhook.id, system(), enabled=True, payload_version=2)
    events = [LoggedEvent(row.position, decode(row.state)) for row in read_log(conn, 0, 100_000)]

    Enqueuer(store, "https://api.example.com").enqueue_for(conn, events, webhook.id)

    found = [(each["event"], each.get("payload_version", 1)) for each in bodies(conn, webhook)]
    assert found == [("ticket.created", 1), ("ticket.assigned", 2), ("ticket.updated", 2)]


def test_a_thin_body_has_ids_and_the_names_of_fields_only(conn, store):
    webhook = register(store, URL, payload_version=2, payload="thin")
    ticket = open_ticket(store, title="Secret" * 40)
    change(store, ticket, {**SIX_FIELDS, "description": "Secret" * 10_000})
    comment_on_ticket(store, ticket.id, system(), text="Secret" * 10_000)

    enqueue(conn, store)

    *_, updated, commented = found = bodies(conn, webhook)
    assert all(len(json.dumps(each)) <= 2_000 and "Secret" not in json.dumps(each) for each in found)
    assert set(updated["data"]["changed"]) == {*SIX_FIELDS, "assigned_to"} - {"assignee_id"}
    assert updated["data"]["url"] == f"https://api.example.com/v1/tickets/{ticket.id}"
    assert commented["data"]["changed"] == ["comments"]
    assert commented["data"]["comment_id"]


@pytest.mark.parametrize("letter", ["x", "漏", "\x01"])
def test_a_large_body_is_shortened_and_names_the_address_of_the_whole(conn, store, letter):
    webhook = register(store, URL, payload_version=2)
    ticket = open_ticket(store, description=letter * 20_000)
    change(store, ticket, {"description": letter * 19_999, "title": "Flood"})
    comment_on_ticket(store, ticket.id, system(), text=letter * 30_000)

    enqueue(conn, store)

    for body in bodies(conn, webhook):
        assert len(msgspec.json.encode(body)) <= 20_000
        assert body["data"]["truncated"] is True
        assert body["data"]["url"] == f"https://api.example.com/v1/tickets/{ticket.id}"
        assert body["data"]["title"] in ("Flood", "Water leak in bathroom")


@pytest.mark.parametrize("letter", ["x", "漏", "\x01", "\\", '"'])
def test_the_body_of_an_edited_comment_stays_below_the_limit(conn, store, letter):
    webhook = register(store, URL, payload_version=2)
    ticket = open_ticket(store, description="x" * 6_000)
    comment_on_ticket(store, ticket.id, context := system(), text="first")
    enqueue(conn, store)

    edit(store, ticket, context.command_id, letter * 60_000)
    stored = bodies(conn, webhook)[1]
    enqueue(conn, store)
    _, commented, updated = bodies(conn, webhook)
    edit(store, ticket, context.command_id, "now short")

    assert stored["data"]["comment"]["text"] == letter * 199 + "…"
    for body in (stored, commented, updated):
        assert body["data"]["truncated"] is True
        assert len(msgspec.json.encode(body)) <= 20_000
    assert [each["data"]["comment"]["text"] for each in bodies(conn, webhook)[1:]] == ["now short"] * 2


def test_two_files_of_one_request_are_two_messages(conn, store):
    webhook = register(store, URL, payload_version=2)
    ticket, context = open_ticket(store), system()
    for name in ("a1", "a2"):
        ticket.attach(Attachment(name, f"{name}.jpg", "image/jpeg", 10, "00", NOON), context)
    store.save(ticket)

    enqueue(conn, store)

    _, one, two = bodies(conn, webhook)
    assert list(one["data"]["changes"]) == ["attachments.a1"]
    assert list(two["data"]["changes"]) == ["attachments.a2"]


def random_filter(rng):
    values = {
        "property_id": ["p1", "p2", "p3"],
        "category": ["plumbing", "roof", "heating"],
        "priority": ["low", "medium", "high"],
        "changed_field": ["title", "status", "priority", "comments", "category"],
        "actor_role": list(ROLES),
    }
    chosen = rng.sample(list(values), rng.choice([0, 1, 1, 2]))
    return {
        name: {
            part: rng.sample(values[name], rng.randint(1, 2))
            for part in rng.choice([["in"], ["not"], ["in", "not"]])
        }
        for name in chosen
    }


def is_wanted(conditions, facts):
    """The rule of the documents, written plainly."""
    for name, condition in conditions.items():
        have = set(facts[name])
        if "in" in condition and not have & set(condition["in"]):
            return False
        if "not" in condition and have & set(condition["not"]):
            return False
    return True


def random_command(rng, store, tickets):
    """Store the events of a random command. Returns the id, the version, and what filters compare."""
    role = rng.choice(ROLES)
    caller = Caller(principal_id="u1", name="u1", user_id="u1", role=role, auth="session")
    context = Context(caller=caller, command_id=new_id(), request_id="r1", at=NOON)
    ticket = rng.choice(tickets)
    before = ticket.version
    if rng.random() < 0.2:
        ticket.comment(new_id(), "On my way.", "public", context)
        changed = {"comments"}
    else:
        wanted = {
            "title": rng.choice(["One", "Two"]),
            "status": rng.choice(["open", "in_progress"]),
            "priority": rng.choice(["low", "medium", "high"]),
            "category": rng.choice(["plumbing", "roof", "heating"]),
        }
        wanted = {name: wanted[name] for name in rng.sample(list(wanted), rng.randint(1, 4))}
        changed = {name for name, value in wanted.items() if getattr(ticket, name) != value}
        ticket.change(wanted, context)
    if ticket.version == before:
        return None
    store.save(ticket)
    facts = {name: [getattr(ticket, name)] for name in ("property_id", "category", "priority")}
    return (ticket.id, ticket.version), {**facts, "changed_field": changed, "actor_role": [role]}


@pytest.mark.faults
def test_random_commands_reach_the_webhooks_whose_filters_accept_them(conn, store):
    full = bool(os.environ.get("FAULTS_FULL"))
    commands, filters = (10_000, 200) if full else (60, 20)
    rng = random.Random(int(os.environ.get("SEED", "1")))
    given = [random_filter(rng) for _ in range(filters)]
    webhooks = [
        register(store, URL, payload_version=2, filter=msgspec.convert(each, WebhookFilter)) for each in given
    ]
    tickets = [open_ticket(store, property_id=rng.choice(["p1", "p2", "p3"])) for _ in range(20)]
    made = [done for _ in range(commands) if (done := random_command(rng, store, tickets))]

    enqueue(conn, store)

    for webhook, conditions in zip(webhooks, given, strict=True):
        rows = conn.execute(
            "SELECT DISTINCT aggregate_id, version FROM hook.deliveries WHERE endpoint_id = %s"
            " AND version > 1",
            [webhook.id],
        ).fetchall()
        assert set(rows) == {key for key, facts in made if is_wanted(conditions, facts)}, conditions
