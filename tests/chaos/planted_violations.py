"""Functions that plant one violation each in the evidence of a correct run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infrastructure.storage.topics import PARTITIONS
from tests.chaos.history_checker import ANSWER_SECONDS, ROUTES, Evidence
from tests.chaos.operations import Operation


def index_of_success(evidence: Evidence, **facts: Any) -> int:
    """The index of a successful operation with these fields, from the middle of the history."""
    found = [
        index
        for index, operation in enumerate(evidence.operations)
        if operation.outcome == "ok" and all(getattr(operation, name) == fact for name, fact in facts.items())
    ]
    return found[len(found) // 2]


def without(items: Any, index: int) -> list[Any]:
    return [*items[:index], *items[index + 1 :]]


def with_changed(items: Any, index: int, **facts: Any) -> list[Any]:
    return [*items[:index], items[index]._replace(**facts), *items[index + 1 :]]


def index_of_event(evidence: Evidence, operation: Operation) -> int:
    return next(i for i, event in enumerate(evidence.log) if event.marker == operation.key)


def lost_write(e: Evidence) -> Evidence:
    index = index_of_event(e, e.operations[index_of_success(e, kind="change")])
    return e._replace(log=without(e.log, index))


def write_stored_twice(e: Evidence) -> Evidence:
    index = index_of_event(e, e.operations[index_of_success(e, kind="comment")])
    again = e.log[index]._replace(position=e.log[-1].position + 1, event_id="again")
    return e._replace(log=[*e.log, again])


def wrong_version_answered(e: Evidence) -> Evidence:
    key = e.operations[index_of_success(e, kind="open")].key
    return e._replace(operations=[o._replace(version=2) if o.key == key else o for o in e.operations])


def refused_write_stored(e: Evidence) -> Evidence:
    key = e.operations[index_of_success(e, kind="comment")].key
    changed = [o._replace(outcome="fail", status=409) if o.key == key else o for o in e.operations]
    return e._replace(operations=changed)


def event_without_request(e: Evidence) -> Evidence:
    key = e.operations[index_of_success(e, kind="comment")].key
    return e._replace(operations=[o for o in e.operations if o.key != key])


def version_missing(e: Evidence) -> Evidence:
    return e._replace(log=with_changed(e.log, index_of_second_event(e), version=102))


def index_of_second_event(e: Evidence) -> int:
    """The index of a ticket's second event."""
    return next(i for i, event in enumerate(e.log) if event.version == 2)


def index_of_second_record(e: Evidence) -> int:
    position = e.log[index_of_second_event(e)].position
    return next(i for i, record in enumerate(e.records) if record.position == position)


def feed_skips_one(e: Evidence) -> Evidence:
    return e._replace(feed=without(e.feed, len(e.feed) // 2))


def feed_repeats_one(e: Evidence) -> Evidence:
    return e._replace(feed=[*e.feed, e.feed[-1]])


def stale_row(e: Evidence) -> Evidence:
    key = next(iter(e.rows["tickets"]))
    rows = {**e.rows, "tickets": {**e.rows["tickets"], key: {**e.rows["tickets"][key], "title": "stale"}}}
    return e._replace(rows=rows)


def row_missing(e: Evidence) -> Evidence:
    rows = {**e.rows, "comments": dict(list(e.rows["comments"].items())[1:])}
    return e._replace(rows=rows)


def record_lost(e: Evidence) -> Evidence:
    return e._replace(records=without(e.records, len(e.records) // 2))


def record_repeated(e: Evidence) -> Evidence:
    return e._replace(records=[*e.records, e.records[0]])


def records_swapped(e: Evidence) -> Evidence:
    index = index_of_second_record(e)
    moved = e.records[index]
    return e._replace(records=[moved, *without(e.records, index)])


def record_altered(e: Evidence) -> Evidence:
    return e._replace(records=with_changed(e.records, 0, state=b"{}"))


def record_in_another_partition(e: Evidence) -> Evidence:
    return e._replace(records=with_changed(e.records, index_of_second_record(e), partition=PARTITIONS))


def delivery_lost(e: Evidence) -> Evidence:
    missed = e.posts[len(e.posts) // 2]
    return e._replace(
        posts=[p for p in e.posts if (p.webhook, p.message_id) != (missed.webhook, missed.message_id)]
    )


def post_with_another_body(e: Evidence) -> Evidence:
    last = e.posts[-1]
    return e._replace(posts=[*e.posts, last._replace(body=b"another")])


def post_under_another_id(e: Evidence) -> Evidence:
    return e._replace(posts=[*e.posts, e.posts[-1]._replace(message_id="msg_other")])


def signature_wrong(e: Evidence) -> Evidence:
    return e._replace(posts=with_changed(e.posts, 0, is_signed=False))


def delivery_out_of_order(e: Evidence) -> Evidence:
    first = next(i for i, post in enumerate(e.posts) if post.version == 2)
    return e._replace(posts=[e.posts[first], *without(e.posts, first)])


def stale_read(e: Evidence) -> Evidence:
    """A client's read does not show its own last write."""
    write = e.operations[index_of_success(e, kind="change")]
    title = next(v.marker for v in e.log if (v.ticket_id, v.version) == (write.ticket_id, 1))
    later = max(o.returned_at for o in e.operations) + 1
    read = write._replace(
        kind="read", key="read-x", marker=title, version=1, invoked_at=later, returned_at=later + 1
    )
    return e._replace(operations=[*e.operations, read])


def read_of_another_title(e: Evidence) -> Evidence:
    index = index_of_success(e, kind="read")
    return e._replace(operations=with_changed(e.operations, index, marker="something else"))


def read_before_the_write(e: Evidence) -> Evidence:
    """A version is read before the write that made it was sent."""
    write = e.operations[index_of_success(e, kind="change")]
    read = write._replace(kind="read", key="read-x", marker=write.key, invoked_at=0.0, returned_at=0.1)
    return e._replace(operations=[*e.operations, read])


def key_answered_differently(e: Evidence) -> Evidence:
    write = e.operations[index_of_success(e, kind="change")]
    return e._replace(operations=[*e.operations, write._replace(version=write.version + 1)])


def key_applied_twice(e: Evidence) -> Evidence:
    return write_stored_twice(e)


def lost_update(e: Evidence) -> Evidence:
    """The answers to two clients report a change of the same version."""
    write = e.operations[
        next(i for i, o in enumerate(e.operations) if o.expected_version and o.outcome == "ok")
    ]
    rival = write._replace(key="change-x", marker="change-x")
    return e._replace(operations=[*e.operations, rival])


def condition_ignored(e: Evidence) -> Evidence:
    index = next(i for i, o in enumerate(e.operations) if o.expected_version and o.outcome == "ok")
    operation = e.operations[index]
    changed = with_changed(e.operations, index, expected_version=operation.expected_version + 5)
    return e._replace(operations=changed)


def answers_not_counted(e: Evidence) -> Evidence:
    assert e.counted is not None
    return e._replace(counted={**e.counted, ROUTES["open"]: 0})


def with_answer(e: Evidence, **facts: Any) -> Evidence:
    """The evidence of a run without faults of nginx, in which a read was answered otherwise."""
    changed = with_changed(e.operations, index_of_success(e, kind="read"), outcome="unknown", **facts)
    return e._replace(operations=changed, may_break=False)


def server_error(e: Evidence) -> Evidence:
    return with_answer(e, status=500, retry_after="1")


def unavailable_without_retry_after(e: Evidence) -> Evidence:
    return with_answer(e, status=503, retry_after=None)


def gateway_timeout(e: Evidence) -> Evidence:
    return with_answer(e, status=504, retry_after=None)


def no_answer(e: Evidence) -> Evidence:
    return with_answer(e, status=None)


def late_answer(e: Evidence) -> Evidence:
    read = e.operations[index_of_success(e, kind="read")]
    return with_answer(e, returned_at=read.invoked_at + ANSWER_SECONDS + 0.1, late_seconds=0.0)


def copy_behind(e: Evidence) -> Evidence:
    ticket_id = e.log[index_of_second_event(e)].ticket_id
    return e._replace(copy={**e.copy, ticket_id: e.copy[ticket_id] - 1})


def copy_with_an_unknown_ticket(e: Evidence) -> Evidence:
    return e._replace(copy={**e.copy, "unknown": 1})


def copy_went_back(e: Evidence) -> Evidence:
    return e._replace(setbacks=["a ticket went back"])


def post_of_a_filtered_ticket(e: Evidence) -> Evidence:
    """A webhook receives an event of a ticket that its filter leaves out."""
    event = next(event for event in e.log if event.ticket_id in e.not_posted)
    post = e.posts[0]._replace(
        message_id="msg_x", position=event.position, ticket_id=event.ticket_id, version=1
    )
    return e._replace(posts=[*e.posts, post])


def file_lost(e: Evidence) -> Evidence:
    key = e.operations[index_of_success(e, kind="upload")].key
    return e._replace(files={**e.files, key: None})


def file_altered(e: Evidence) -> Evidence:
    key = e.operations[index_of_success(e, kind="upload")].key
    return e._replace(files={**e.files, key: b"another"})


def difference_found_by_verify(e: Evidence) -> Evidence:
    return e._replace(differences=["a row differs"])


def no_recovery(e: Evidence) -> Evidence:
    return e._replace(problems=["no recovery"])


PLANTED: list[tuple[Callable[[Evidence], Evidence], str]] = [
    (lost_write, "acknowledged_writes_are_stored_once"),
    (write_stored_twice, "acknowledged_writes_are_stored_once"),
    (wrong_version_answered, "acknowledged_writes_are_stored_once"),
    (refused_write_stored, "refused_writes_are_not_stored"),
    (event_without_request, "refused_writes_are_not_stored"),
    (version_missing, "versions_have_no_gaps"),
    (feed_skips_one, "feed_is_the_log"),
    (feed_repeats_one, "feed_is_the_log"),
    (stale_row, "tables_are_the_fold"),
    (row_missing, "tables_are_the_fold"),
    (record_lost, "stream_is_the_log"),
    (record_repeated, "stream_is_the_log"),
    (records_swapped, "stream_is_the_log"),
    (record_altered, "stream_is_the_log"),
    (record_in_another_partition, "stream_is_the_log"),
    (delivery_lost, "webhooks_receive_the_log"),
    (post_with_another_body, "webhooks_receive_the_log"),
    (post_under_another_id, "webhooks_receive_the_log"),
    (signature_wrong, "webhooks_receive_the_log"),
    (delivery_out_of_order, "webhooks_receive_the_log"),
    (stale_read, "versions_are_linearizable"),
    (read_of_another_title, "versions_are_linearizable"),
    (read_before_the_write, "versions_are_linearizable"),
    (key_answered_differently, "keys_apply_once"),
    (key_applied_twice, "keys_apply_once"),
    (lost_update, "conditions_have_one_winner"),
    (condition_ignored, "conditions_have_one_winner"),
    (answers_not_counted, "counters_agree"),
    (post_of_a_filtered_ticket, "webhooks_receive_the_log"),
    (server_error, "answers_are_proper"),
    (unavailable_without_retry_after, "answers_are_proper"),
    (gateway_timeout, "answers_are_proper"),
    (no_answer, "answers_are_proper"),
    (late_answer, "answers_are_proper"),
    (copy_behind, "copies_are_the_log"),
    (copy_with_an_unknown_ticket, "copies_are_the_log"),
    (copy_went_back, "copies_are_the_log"),
    (file_lost, "files_are_whole"),
    (file_altered, "files_are_whole"),
    (difference_found_by_verify, "nothing_else_went_wrong"),
    (no_recovery, "nothing_else_went_wrong"),
]
