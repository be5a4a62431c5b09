"""Editing and removing comments, and removing files: who may, until when, and what is recorded."""

from datetime import timedelta

import pytest

from commands.comments import CommentChanges, edit_comment, remove_comment, remove_file
from commands.tickets import attach_file
from commands.values import ValidValues
from domain.access import TIME_TO_TAKE_BACK
from domain.attachment import Attachment
from domain.errors import Forbidden, NotFound, PreconditionFailed
from domain.ticket import (
    Ticket,
    TicketCommented,
    TicketCommentEdited,
    TicketCommentRemoved,
    TicketFileRemoved,
)
from infrastructure.storage.comment_log import CommentPlace, find_comment
from infrastructure.storage.event_store import EventStore
from tests.unit.builders import NOON, TICKET_FIELDS, caller, context

AUTHOR = caller("staff", user_id="u-author", reach=["p1"])
OTHER = caller("staff", user_id="u-other", reach=["p1"])
MANAGER = caller("manager", user_id="u-manager", reach=["p1"])
FOREIGN_MANAGER = caller("manager", user_id="u-foreign", reach=["p2"])
DEMOTED = caller("guest", user_id="u-author")
IN_TIME = NOON + TIME_TO_TAKE_BACK
TOO_LATE = IN_TIME + timedelta(microseconds=1)


@pytest.fixture
def store():
    """A store with a ticket that has a comment and a file."""
    store = EventStore()
    ticket = Ticket.open("t1", context(), **TICKET_FIELDS)
    ticket.comment("c1", "Hello", "public", context(AUTHOR))
    store.save(ticket)
    attach_file(store, "t1", Attachment("a1", "leak.jpg", "image/jpeg", 10, "00", NOON), context(AUTHOR))
    return store


def edit(store, by, at=NOON, text="Bye", comment_id="c1", **more):
    values = ValidValues(CommentChanges(text=text))
    return edit_comment(
        store, "t1", comment_id, values, context(by, at=at, **more), locate=lambda: CommentPlace()
    )


def remove(store, by, at=NOON):
    return remove_comment(store, "t1", "c1", context(by, at=at), locate=lambda: CommentPlace())


def take_file_away(store, by, at=NOON):
    return remove_file(store, "t1", "a1", context(by, at=at))


ACTIONS = [edit, remove, take_file_away]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("by", "at", "refusal"),
    [
        (AUTHOR, IN_TIME, None),
        (AUTHOR, TOO_LATE, Forbidden),
        (OTHER, NOON, Forbidden),
        (MANAGER, TOO_LATE, None),
        (FOREIGN_MANAGER, NOON, NotFound),
        (DEMOTED, NOON, NotFound),  # a guest sees only the tickets that they requested
    ],
)
def test_authors_take_back_within_an_hour_and_managers_always(store, action, by, at, refusal):
    if refusal is None:
        assert action(store, by, at).version == 4
    else:
        with pytest.raises(refusal):
            action(store, by, at)
        assert store.load(Ticket, "t1").version == 3


def test_the_events_name_the_version_with_the_former_text(store):
    edit(store, AUTHOR, text="One")
    edit(store, AUTHOR, text="Two")
    remove(store, MANAGER)
    take_file_away(store, MANAGER)

    added, _, first, second, removed, file_removed = store.history(Ticket, "t1")[1:]
    assert [type(event) for event in (added, first, second, removed, file_removed)] == [
        TicketCommented,
        TicketCommentEdited,
        TicketCommentEdited,
        TicketCommentRemoved,
        TicketFileRemoved,
    ]
    assert [event.replaced_version for event in (first, second, removed)] == [2, 4, 5]
    assert {event.author_id for event in (first, second, removed)} == {"u-author"}
    assert first.commented_at == added.occurred_at
    ticket = store.load(Ticket, "t1")
    assert (ticket.comments_count, ticket.attachments) == (0, ())


def test_the_same_text_again_records_nothing(store):
    assert edit(store, AUTHOR, text="Hello").version == 3


@pytest.mark.parametrize("action", [edit, remove])
def test_a_removed_comment_is_not_found(store, action):
    remove(store, AUTHOR)

    with pytest.raises(NotFound, match="comment"):
        action(store, MANAGER)


def test_a_file_is_removed_once(store):
    take_file_away(store, AUTHOR)

    with pytest.raises(NotFound, match="file"):
        take_file_away(store, MANAGER)


def test_another_version_is_refused(store):
    with pytest.raises(PreconditionFailed):
        remove_file(store, "t1", "a1", context(AUTHOR), frozenset({2}))


@pytest.mark.parametrize(
    "place",
    [
        CommentPlace(),  # the read tables do not have the ticket
        CommentPlace(1),  # nor the comment
        CommentPlace(2, 2, 2),  # nor its edits
        CommentPlace(4, 2, 4),  # nor its last edit
        CommentPlace(5, 2, 5),
        CommentPlace(9, 2, 5),  # they are ahead of the ticket as it was loaded
    ],
)
def test_a_comment_is_found_however_far_the_read_tables_are(store, place):
    edit(store, AUTHOR, text="One")
    ticket = edit(store, AUTHOR, text="Two")

    comment = find_comment(store, ticket, "c1", place)

    assert (comment.text, comment.text_version, comment.created_at) == ("Two", 5, NOON)
    removed = remove(store, AUTHOR)
    known = CommentPlace(6) if place.read_version > 5 else place
    assert find_comment(store, removed, "c1", known) is None
