"""Stores deliveries of events: one for each webhook that is subscribed to the event and may receive it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from commands.comments import REMOVED_TEXT, remove_file_name, replace_text
from domain.access import Imported
from domain.aggregate import DomainEvent
from domain.property import Property
from domain.ticket import (
    TicketCommented,
    TicketCommentEdited,
    TicketCommentRemoved,
    TicketEvent,
    TicketFileAttached,
    TicketFileRemoved,
)
from domain.user import User
from domain.webhook_filter import Facts
from infrastructure.process import tracing
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import Connection, Statement
from webhook_dispatcher.histories import Histories, LoggedEvent, Wanted, sql
from webhook_dispatcher.owners import Endpoint, may_receive
from webhook_dispatcher.payloads import (
    Message,
    TicketGroup,
    TicketStep,
    event_names,
    ids_to_name,
    is_internal,
    is_subscribed,
    make_message,
)
from webhook_dispatcher.payloads_v2 import (
    PAYLOADS,
    Readable,
    facts_of,
    group_names,
    make_group_message,
    other_ids_of_group,
    other_ids_of_step,
)

Subscribed = tuple[Endpoint, frozenset[str], Callable[[Endpoint, int], bool]]  # the last: whether it is due

_encode = msgspec.json.Encoder().encode


class Addressed(NamedTuple):
    """A message with the ids of its webhooks. `other_ids` are those of the messages about the same event in
    other payload versions and payloads."""

    message: Message
    endpoint_ids: list[str]
    other_ids: list[str]


class Enqueuer:
    """Writes messages and deliveries in the caller's transaction. Unique keys prevent duplicates.

    `store` provides names that the read tables do not have yet. Messages have addresses below `base_url`.
    """

    def __init__(self, store: EventStore, base_url: str = "") -> None:
        self._store = store
        self._base_url = base_url
        self._histories = Histories()

    def enqueue(self, conn: Connection, events: Sequence[LoggedEvent]) -> int:
        """Enqueue the events for the webhooks that were registered before them. Returns the number of new
        deliveries."""
        return self._enqueue(conn, events, select_endpoints(conn), _is_due)

    def enqueue_for(self, conn: Connection, events: Sequence[LoggedEvent], endpoint_id: str) -> int:
        """Enqueue the events for one webhook, also those from before its registration. Locks the webhook, so
        that none of its deliveries is purged before the transaction ends."""
        conn.execute(sql["hold_endpoint"], {"id": endpoint_id})
        endpoints = select_endpoints(conn, [endpoint_id])
        return self._enqueue(conn, events, endpoints, _is_after_purge)

    def _enqueue(
        self,
        conn: Connection,
        events: Sequence[LoggedEvent],
        endpoints: Sequence[Endpoint],
        is_due: Callable[[Endpoint, int], bool],
    ) -> int:
        """Enqueue the events. Replaces the texts of edited and removed comments, and the names of removed
        files, in the messages about earlier events, which this process may have created after the edit was
        stored."""
        texts = _present_texts(conn, events)
        enqueued = self._enqueue_wanted(conn, events, endpoints, is_due, texts)
        for _, event in events:
            for statement, parameters in _replacements(event, texts):
                conn.execute(statement, parameters)
        return enqueued

    def _enqueue_wanted(
        self,
        conn: Connection,
        events: Sequence[LoggedEvent],
        endpoints: Sequence[Endpoint],
        is_due: Callable[[Endpoint, int], bool],
        texts: Mapping[str, str],
    ) -> int:
        subscribed = [(endpoint, frozenset(endpoint.event_names)) for endpoint in endpoints]
        wanted = [
            Wanted(position, event)
            for position, event in events
            if isinstance(event, TicketEvent)
            and not _is_silent(event)
            and any(
                is_due(endpoint, position) and is_subscribed(names, name)
                for name in event_names(event)
                for endpoint, names in subscribed
            )
        ]
        if not wanted:
            return 0
        groups = self._histories.groups(conn, wanted)
        steps = [step for group in groups for step in group.steps]
        shown = Readable(self._names(conn, steps), texts, _removed_files(conn, steps), self._base_url)
        due = [(endpoint, names, is_due) for endpoint, names in subscribed]
        versions = {(each.event.originator_id, each.event.originator_version) for each in wanted}
        messages: list[Addressed] = []
        for group in groups:
            for step in group.steps:
                if (step.after.id, step.after.version) in versions:
                    messages += _messages_of_step(group, step, shown, due)
            messages += _messages_of_group(group, shown, due)
        changed = {endpoint.id for endpoint in endpoints if endpoint.was_changed}
        sent = _sent_otherwise(conn, messages, changed)
        traceparents = tracing.traceparents_of(conn, (step.event for step in steps))
        return insert(
            conn,
            [
                (message._replace(traceparent=traceparents.get(message.event_id)), ids)
                for message, ids in _without(messages, sent)
                if ids
            ],
        )

    def _names(self, conn: Connection, steps: Sequence[TicketStep]) -> dict[str, str]:
        """The current names by id, from the read tables, or else from the aggregates."""
        ids: set[str] = set()
        units: set[tuple[str, str]] = set()
        for step in steps:
            some, unit = ids_to_name(step)
            ids |= some
            units |= {unit} if unit else set()
        parameters = {
            "ids": list(ids),
            "unit_properties": [property_id for property_id, _ in units],
            "unit_ids": [unit_id for _, unit_id in units],
        }
        names: dict[str, str] = dict(conn.execute(sql["select_names"], parameters).fetchall())
        for property_id, unit_id in units:
            if f"{property_id}/{unit_id}" not in names:
                owner = self._store.find(Property, property_id)
                if owner is not None and unit_id in owner.units:
                    names[f"{property_id}/{unit_id}"] = owner.units[unit_id]
        for missing_id in ids - names.keys():
            known = self._store.find(Property, missing_id) or self._store.find(User, missing_id)
            if known is not None:
                names[missing_id] = known.name
        return names


def _is_silent(event: DomainEvent) -> bool:
    """Whether the event was imported without messages."""
    return isinstance(event.imported, Imported) and not event.imported.notify


def _messages_of_step(
    group: TicketGroup, step: TicketStep, shown: Readable, subscribed: Sequence[Subscribed]
) -> Iterator[Addressed]:
    """The messages of version 1 about one event, with the ids of their webhooks."""
    event_names_of_step = event_names(step.event)
    receivers = _receivers(1, [step], event_names_of_step, subscribed)
    for name in event_names_of_step:
        ids = [endpoint.id for endpoint, names in receivers if is_subscribed(names, name)]
        if ids:
            message = make_message(step, name, shown.names, shown.texts, shown.removed_files)
            yield Addressed(message, ids, other_ids_of_step(group, name))


def _messages_of_group(
    group: TicketGroup, shown: Readable, subscribed: Sequence[Subscribed]
) -> Iterator[Addressed]:
    """The messages of version 2 about the events of a request, with the ids of their webhooks."""
    event_names_of_group = group_names(group)
    receivers = _receivers(2, group.steps, event_names_of_group, subscribed)
    for payload in PAYLOADS if receivers else ():
        for name in event_names_of_group:
            ids = [
                endpoint.id
                for endpoint, names in receivers
                if endpoint.payload == payload and is_subscribed(names, name)
            ]
            if ids:
                message = make_group_message(group, name, payload, shown)
                yield Addressed(message, ids, other_ids_of_group(group, name, payload))


def _sent_otherwise(
    conn: Connection, messages: Sequence[Addressed], changed: Collection[str]
) -> set[tuple[str, str]]:
    """The pairs (webhook, message) of deliveries about the same events that exist in another payload version
    or payload. They are from before a change of the webhook, so only `changed` webhooks are looked up."""
    pairs = [
        (endpoint_id, other_id)
        for each in messages
        for endpoint_id in each.endpoint_ids
        if endpoint_id in changed
        for other_id in each.other_ids
    ]
    if not pairs:
        return set()
    parameters = {"endpoint_ids": [one for one, _ in pairs], "message_ids": [other for _, other in pairs]}
    return set(conn.execute(sql["select_existing"], parameters).fetchall())


def _without(
    messages: Sequence[Addressed], sent: Container[tuple[str, str]]
) -> Iterator[tuple[Message, list[str]]]:
    """The messages with those webhooks that have no delivery of them in another form."""
    for message, endpoint_ids, other_ids in messages:
        yield (
            message,
            [each for each in endpoint_ids if not any((each, other) in sent for other in other_ids)],
        )


def _receivers(
    payload_version: int,
    steps: Sequence[TicketStep],
    event_names: Sequence[str],
    subscribed: Sequence[Subscribed],
) -> list[tuple[Endpoint, frozenset[str]]]:
    """The webhooks of this version that subscribe to one of the events, may receive a message about these
    steps, and whose filters accept it."""
    facts: Facts | None = None
    found = []
    for endpoint, names, is_due in subscribed:
        if (
            endpoint.payload_version == payload_version
            and is_due(endpoint, steps[-1].position)
            and any(is_subscribed(names, name) for name in event_names)
            and all(_may_receive(endpoint, step) for step in steps)
        ):
            if (condition := endpoint.filter) is not None:
                facts = facts or facts_of(steps)
                if not condition.accepts(facts):
                    continue
            found.append((endpoint, names))
    return found


def _replacements(event: DomainEvent, texts: Mapping[str, str]) -> list[Statement]:
    """The statements that change messages about earlier events. `texts` are those of _present_texts: an
    edited text that was replaced since must not return."""
    if isinstance(event, TicketCommentEdited):
        return replace_text(event.comment_id, texts.get(event.comment_id, event.text))
    if isinstance(event, TicketCommentRemoved):
        return replace_text(event.comment_id, REMOVED_TEXT)
    return remove_file_name(event.attachment_id) if isinstance(event, TicketFileRemoved) else []


def _present_texts(conn: Connection, events: Sequence[LoggedEvent]) -> dict[str, str]:
    """The texts of the comments that were edited or removed after these events, by id."""
    commented = [
        (event.comment_id, event)
        for _, event in events
        if isinstance(event, TicketCommented | TicketCommentEdited)
    ]
    rows = _rows_of(conn, "select_later_texts", commented)
    return {comment_id: REMOVED_TEXT if text is None else text for comment_id, text in rows}


def _removed_files(conn: Connection, steps: Sequence[TicketStep]) -> set[str]:
    """The ids of the files that were attached in these steps and removed later."""
    events = [step.event for step in steps]
    attached = [(event.attachment_id, event) for event in events if isinstance(event, TicketFileAttached)]
    return {attachment_id for (attachment_id,) in _rows_of(conn, "select_removed_files", attached)}


def _rows_of(conn: Connection, statement: str, parts: Sequence[tuple[str, DomainEvent]]) -> list[Any]:
    """The rows of a statement about comments or files; each is given with the event that has its text or
    name."""
    if not parts:
        return []
    parameters = {
        "ids": [part_id for part_id, _ in parts],
        "ticket_ids": [event.originator_id for _, event in parts],
        "versions": [event.originator_version for _, event in parts],
    }
    return conn.execute(sql[statement], parameters).fetchall()


def select_endpoints(conn: Connection, ids: Sequence[str] | None = None) -> list[Endpoint]:
    """The webhooks that may get new messages, or those with these ids, with the rights of their owners."""
    parameters = {"ids": None if ids is None else list(ids)}
    return [Endpoint(*row) for row in conn.execute(sql["select_endpoints"], parameters)]


def insert(conn: Connection, wanted: Sequence[tuple[Message, Sequence[str]]]) -> int:
    """Insert the messages, each with a delivery for each of its webhook ids, unless they exist. Returns the
    number of new deliveries."""
    if not wanted:
        return 0
    columns: dict[str, list[Any]] = {
        name: [getattr(message, name) for message, _ in wanted] for name in Message._fields
    }
    conn.execute(sql["insert_messages"], columns)
    rows = [
        {
            "id": message.id,
            "aggregate_id": message.aggregate_id,
            "version": message.version,
            "endpoint_ids": endpoint_ids,
        }
        for message, endpoint_ids in wanted
    ]
    return conn.execute(sql["insert_deliveries"], {"messages": _encode(rows).decode()}).rowcount


def _is_due(endpoint: Endpoint, position: int) -> bool:
    return position > endpoint.registered_position and _is_after_purge(endpoint, position)


def _is_after_purge(endpoint: Endpoint, position: int) -> bool:
    """Whether the position is after the position up to which deliveries of this webhook were purged."""
    return position > endpoint.purged_position


def _may_receive(endpoint: Endpoint, step: TicketStep) -> bool:
    """Whether the owner may read the event now. Checked again at each attempt, because rights change."""
    verdict = may_receive(
        endpoint,
        property_id=step.after.property_id,
        requester_id=step.after.requester_id,
        is_internal=is_internal(step.event),
    )
    return verdict != "withheld"
