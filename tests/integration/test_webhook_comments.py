"""Webhook messages about edited and removed comments and about removed files: none has a former text, or the
name of a removed file."""

import json

import pytest

from commands.comments import REMOVED_TEXT, CommentChanges, edit_comment, remove_comment, remove_file
from commands.tickets import attach_file
from commands.values import ValidValues
from domain.attachment import Attachment
from infrastructure.storage.comment_log import CommentPlace
from infrastructure.storage.event_store import decode
from infrastructure.storage.recorder import read_log
from tests.support.arrange import comment_on_ticket
from tests.support.webhooks import open_ticket, register, system
from tests.unit.builders import NOON
from webhook_dispatcher.enqueue import Enqueuer
from webhook_dispatcher.histories import LoggedEvent

TEXTS = [
    "plain",
    'a "quoted" \\ text, \\1 \\& \\\\ $1 { } ( and more',
    '","text":"another',
    "漏水 🚿 \u2028 \x01 \t\n",
    "x" * 65_535,
]
URL = "https://example.com/hook"


@pytest.fixture
def webhook(store):
    return register(store, URL, "ticket.*")


@pytest.fixture
def ticket(store, webhook):
    return open_ticket(store)


def comment(store, ticket, text, visibility="public"):
    context = system()
    comment_on_ticket(store, ticket.id, context, text=text, visibility=visibility)
    return context.command_id


def edit(store, ticket, comment_id, text):
    values = ValidValues(CommentChanges(text=text))
    edit_comment(store, ticket.id, comment_id, values, system(), locate=lambda: CommentPlace())


def remove(store, ticket, comment_id):
    remove_comment(store, ticket.id, comment_id, system(), locate=lambda: CommentPlace())


def attach(store, ticket, name, attachment_id="a1"):
    file = Attachment(attachment_id, name, "image/jpeg", 10, "00", NOON)
    attach_file(store, ticket.id, file, system())


def enqueue(conn, store, endpoint_id=None, *, without_last=0):
    """Enqueue the log, as a dispatcher does or, with `endpoint_id`, as a replay does."""
    events = [LoggedEvent(row.position, decode(row.state)) for row in read_log(conn, 0, 1_000)]
    events = events[: len(events) - without_last]
    if endpoint_id is None:
        Enqueuer(store).enqueue(conn, events)
    else:
        Enqueuer(store).enqueue_for(conn, events, endpoint_id)


def messages(conn):
    """The stored messages by event name and version."""
    rows = conn.execute("SELECT name, version, body FROM hook.messages ORDER BY position").fetchall()
    return {(name, version): json.loads(body) for name, version, body in rows}


def texts(conn):
    """The texts of comments in the stored messages, by version."""
    found = messages(conn).items()
    return {
        version: body["data"]["comment"]["text"] for (_, version), body in found if "comment" in body["data"]
    }


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:8])
def test_the_stored_messages_change_with_the_commit_of_the_edit(conn, store, ticket, text):
    comment_id = comment(store, ticket, text)
    other_id = comment(store, ticket, text)
    enqueue(conn, store)
    before = messages(conn)

    for new in (*TEXTS, text):
        edit(store, ticket, comment_id, new)
        assert texts(conn) == {2: new, 3: text}

    assert messages(conn) == before  # nothing but the text had changed
    remove(store, ticket, comment_id)
    assert texts(conn) == {2: REMOVED_TEXT, 3: text}
    assert comment_id != other_id


def test_a_dispatcher_that_is_behind_stores_no_former_text(conn, store, ticket):
    """The read tables are behind as well, so it learns of the edit only from the later event."""
    edited, removed = comment(store, ticket, "former"), comment(store, ticket, "former too")
    edit(store, ticket, edited, "present")
    remove(store, ticket, removed)

    enqueue(conn, store)

    assert texts(conn) == {2: "present", 3: REMOVED_TEXT, 4: "present"}


@pytest.mark.parametrize("is_replay", [False, True])
def test_an_edit_does_not_bring_back_a_text_that_was_replaced_since(
    conn, store, ticket, webhook, catch_up, is_replay
):
    edited, removed = comment(store, ticket, "former"), comment(store, ticket, "former too")
    edit(store, ticket, edited, "between")
    edit(store, ticket, removed, "between too")
    edit(store, ticket, edited, "present")
    remove(store, ticket, removed)
    catch_up()

    enqueue(conn, store, webhook.id if is_replay else None, without_last=2)

    assert texts(conn) == {2: "present", 3: REMOVED_TEXT, 4: "present", 5: REMOVED_TEXT}


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_replay_sends_no_former_text(conn, store, ticket, webhook, catch_up, is_behind):
    """Also while the read tables are behind."""
    edited, removed = comment(store, ticket, "former"), comment(store, ticket, "former too")
    edit(store, ticket, edited, "between")
    edit(store, ticket, edited, "present")
    remove(store, ticket, removed)
    if not is_behind:
        catch_up()

    enqueue(conn, store, webhook.id)

    assert texts(conn) == {2: "present", 3: REMOVED_TEXT, 4: "present", 5: "present"}


def test_receivers_learn_of_edits_and_removals(conn, store, ticket):
    comment_id = comment(store, ticket, "former", "internal")
    edit(store, ticket, comment_id, "present")
    remove(store, ticket, comment_id)
    attach(store, ticket, "passport.jpg")
    remove_file(store, ticket.id, "a1", system())

    enqueue(conn, store)

    found = messages(conn)
    edited, removed, file = (found["ticket.updated", version]["data"] for version in (3, 4, 6))
    commented = found["ticket.commented", 2]["data"]
    assert edited["comment"] == {**commented["comment"], "text": REMOVED_TEXT}  # removed meanwhile
    assert edited["changes"] == {}
    (change,) = removed["changes"].values()
    assert list(removed["changes"]) == [f"comments.{comment_id}"]
    assert change == {"from": {"text": None, "visibility": "internal", "user_id": "cli"}, "to": None}
    assert "comment" not in removed
    assert file["changes"]["attachments.a1"]["from"]["filename"] is None
    internal = conn.execute("SELECT version FROM hook.messages WHERE is_internal ORDER BY 1").fetchall()
    assert internal == [(2,), (3,), (4,)]


def names(conn):
    """The names of attached files in the stored messages, by version."""
    return {
        version: change["to"]["filename"]
        for (_, version), body in messages(conn).items()
        for change in body["data"]["changes"].values()
        if version > 1 and change["to"] is not None
    }


def test_the_stored_message_loses_the_name_with_the_commit_of_the_removal(conn, store, ticket):
    name = 'a "quoted" \\ name 漏水","filename":"x.jpg'
    attach(store, ticket, name, "a1")
    attach(store, ticket, name, "a2")
    enqueue(conn, store)
    assert names(conn) == {2: name, 3: name}

    remove_file(store, ticket.id, "a1", system())

    assert names(conn) == {2: None, 3: name}


def test_a_dispatcher_that_is_behind_stores_no_name_of_a_removed_file(conn, store, ticket):
    attach(store, ticket, "passport.jpg")
    remove_file(store, ticket.id, "a1", system())

    enqueue(conn, store)

    assert names(conn) == {2: None}


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_replay_sends_no_name_of_a_removed_file(conn, store, ticket, webhook, catch_up, is_behind):
    attach(store, ticket, "passport.jpg", "a1")
    attach(store, ticket, "leak.jpg", "a2")
    remove_file(store, ticket.id, "a1", system())
    if not is_behind:
        catch_up()

    enqueue(conn, store, webhook.id)

    assert names(conn) == {2: None, 3: "leak.jpg"}
