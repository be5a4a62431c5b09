"""Searches the log, with the table `audit_events` as the index."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import sql as composing

from domain.access import Caller
from domain.aggregate import DomainEvent
from domain.times import whole_seconds
from infrastructure.storage.event_store import EventStore, decode
from infrastructure.storage.postgres import Pool, named_queries
from projections.filters import id_filter, id_parameters
from projections.history_entries import actor_of, auth_of, import_of, people_in
from projections.project_audit import key_of, subject_of
from projections.rows import compose
from projections.ticket_filters import Order
from projections.tickets import author_names
from projections.views import ActorView, AuthView, ImportView, Page

_sql = named_queries(Path(__file__).parent / "sql" / "audit.sql")
_ENVELOPE = frozenset((*DomainEvent.__struct_fields__, "type"))
_FILTERS: dict[str, LiteralString] = {
    "reach": "string_to_array(property_ids, ' ') && %(reach)s",
    "actor": "(actor_id = ANY(%(actor)s) OR key_id = ANY(%(actor)s))",
    "key_id": "key_id = ANY(%(key_id)s)",
    "property_id": "string_to_array(property_ids, ' ') && %(property_id)s",
    "actions": "action = ANY(%(actions)s)",
    **id_filter("subject_key", "subject_key"),
    **id_filter("request_key", "request_key"),
    "since": "occurred_at >= %(since)s",
    "until": "occurred_at < %(until)s",
}
_AFTER: dict[Order, LiteralString] = {"asc": "position > %(after)s", "desc": "position < %(after)s"}
_ORDER: dict[Order, LiteralString] = {"asc": "ASC", "desc": "DESC"}


class _Found(NamedTuple):
    """The columns of list_audit_events."""

    position: int
    property_ids: str
    state: bytes


class AuditEntry(msgspec.Struct, kw_only=True):
    """One event of the log. `position` is its place in the log, `version` its place in its aggregate.

    `subject_id` is the object that it concerns, `property_ids` are the properties within the reader's reach
    that it concerns, and `facts` are its own fields. `imported` is present if the event was imported: `time`
    and `actor` are then those of the other system.
    """

    id: str
    position: int
    version: int
    time: datetime
    exact_time: datetime
    action: str
    subject_id: str
    property_ids: list[str]
    actor: ActorView
    auth: AuthView
    request_id: str
    address_prefix: str | None
    facts: dict[str, Any]
    imported: ImportView | UnsetType = UNSET


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of events, by position. Filters combine with AND, the items of one with OR.

    `until` is excluded. An `actor` is a user, a key, `cli` or `system`. `after` is the `last_key` of the page
    before.
    """

    actor: tuple[str, ...] = ()
    key_id: tuple[str, ...] = ()
    property_id: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    subject_id: tuple[str, ...] = ()
    request_id: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    order: Order = "desc"
    limit: int = 100
    after: tuple[str | int, str] | None = None


def list_audit_events(pool: Pool, store: EventStore, caller: Caller, query: AuditQuery) -> Page[AuditEntry]:
    """The events that match. A caller with a limited reach gets those that concern a property within it."""
    if query.property_id and not any(map(caller.reaches, query.property_id)):
        return Page(items=[], total=None)
    parameters = _filters(caller, query)
    statement = _statement(tuple(parameters), query.order, query.after is not None)
    if query.after:
        parameters["after"] = int(query.after[0])
    with pool.connection() as conn:
        # Not prepared: the values decide whether the index of terms or the order of positions is faster, and
        # PostgreSQL may plan a prepared statement without them after five executions.
        found = conn.execute(statement, {**parameters, "limit": query.limit + 1}, prepare=False).fetchall()
    rows = [_Found(*row) for row in found[: query.limit]]
    events = store.decrypt([decode(bytes(row.state)) for row in rows])
    pairs = [pair for pair in zip(rows, events, strict=True) if _has_ids(pair[1], query)]
    names = author_names(pool, people_in(events))
    entries = [_entry(caller, row, event, names) for row, event in pairs]
    last_key = (rows[-1].position, "") if len(found) > len(rows) else None
    return Page(items=entries, total=None, last_key=last_key)


def get_audit_event(pool: Pool, store: EventStore, caller: Caller, position: int) -> AuditEntry | None:
    """The event at that position; None if there is none, or if it is not within the caller's reach."""
    query = AuditQuery(order="asc", limit=1, after=(position - 1, ""))
    found = list_audit_events(pool, store, caller, query).items
    return found[0] if found and found[0].position == position else None


def _filters(caller: Caller, query: AuditQuery) -> dict[str, Any]:
    """The parameters of the filters in force, each under the name of its fragment."""
    given: dict[str, Any] = {}
    if caller.property_ids is not None:
        given["reach"] = list(caller.property_ids)
    if query.property_id:
        given["property_id"] = [each for each in query.property_id if caller.reaches(each)]
    for name in ("actor", "key_id", "actions"):
        if values := getattr(query, name):
            given[name] = list(values)
    given |= id_parameters("subject_key", [key_of(each) for each in query.subject_id])
    given |= id_parameters("request_key", [key_of(each) for each in query.request_id])
    for name in ("since", "until"):
        if (value := getattr(query, name)) is not None:
            given[name] = value
    return given


@lru_cache(maxsize=256)
def _statement(names: tuple[str, ...], order: Order, after: bool) -> LiteralString:
    fragments = [_FILTERS[name] for name in names] + ([_AFTER[order]] if after else [])
    return compose(
        _sql["list_audit_events"],
        filters=composing.SQL(" AND ").join([composing.SQL(part) for part in fragments or ("true",)]),
        order=composing.SQL(_ORDER[order]),
    )


def _has_ids(event: DomainEvent, query: AuditQuery) -> bool:
    """Whether the event has the wanted ids. The index has only hashes of ids."""
    has_subject = not query.subject_id or subject_of(event) in query.subject_id
    return has_subject and (not query.request_id or event.request_id in query.request_id)


def _entry(caller: Caller, row: _Found, event: DomainEvent, names: dict[str, str]) -> AuditEntry:
    return AuditEntry(
        id=event.event_id,
        position=row.position,
        version=event.originator_version,
        time=whole_seconds(event.occurred_at),
        exact_time=event.occurred_at.astimezone(UTC),
        action=event.tag,
        subject_id=subject_of(event),
        property_ids=[each for each in row.property_ids.split() if caller.reaches(each)],
        actor=actor_of(event, names),
        auth=auth_of(event),
        request_id=event.request_id,
        address_prefix=event.source_prefix,
        facts=_facts(caller, event),
        imported=import_of(event, names),
    )


def _facts(caller: Caller, event: DomainEvent) -> dict[str, Any]:
    """The event's own fields. A list of properties contains only those within the caller's reach."""
    facts = {name: value for name, value in msgspec.to_builtins(event).items() if name not in _ENVELOPE}
    if "property_ids" in facts:
        facts["property_ids"] = [each for each in facts["property_ids"] if caller.reaches(each)]
    return facts
