"""Brings properties, units, people and tickets of another system in, with their times and authors.

Each object has an external id, by which a repeated import recognises it: what exists is not changed. The
events of a batch are appended in one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import psycopg

from commands.deciding import MAX_DECISIONS, TOO_MANY_CHANGES
from commands.email_addresses import EmailTaken, claim_address
from commands.external_ids import unit_key
from commands.import_items import (
    ImportedProperty,
    ImportedTicket,
    ImportedUnit,
    ImportedUser,
    Importer,
    Item,
    Kind,
)
from commands.tickets import NOT_ASSIGNABLE, UNKNOWN_UNIT
from commands.values import Values
from domain.access import Caller, Context, Imported
from domain.aggregate import Aggregate
from domain.errors import Conflict, Details, DomainError, Invalid
from domain.property import Address, Property
from domain.ticket import Ticket
from domain.user import Preferences, User
from infrastructure.ids import derive_id, new_id
from infrastructure.storage.event_store import EventStore, VersionConflict
from infrastructure.storage.postgres import Statement, named_queries
from infrastructure.storage.recorder import RowExists

A = TypeVar("A", bound=Aggregate)

Result = Literal["created", "unchanged"]

IN_THE_FUTURE = "The time is in the future."
NOT_IMPORTED = "There is no {} with this id in the source, nor here."
_sql = named_queries(Path(__file__).parent / "sql" / "external_ids.sql")


def require_importer(caller: Caller) -> None:
    """Raise Forbidden unless the caller may import."""
    caller.require("admin", "import")
    caller.require_full_reach("import")


def import_items(
    store: EventStore, items: Sequence[Item], importer: Importer
) -> tuple[list[Result | DomainError], int]:
    """Import the items in order, in one commit. Returns the result of each, and the position of the last
    event; a refused item does not affect the others.

    What an item names is read from the log, as other commands read it. If others change what the items
    change, the items are decided again; in the end each is imported in a commit of its own.
    """
    for _ in range(MAX_DECISIONS):
        batch = _Batch(store, importer, items)
        results = [batch.take(item) for item in items]
        try:
            return results, batch.save()
        except VersionConflict:
            continue
        except (RowExists, psycopg.errors.LockNotAvailable):
            break
    outcomes = [_import_one(store, item, importer) for item in items]
    return [result for result, _ in outcomes], max((position for _, position in outcomes), default=0)


def _import_one(store: EventStore, item: Item, importer: Importer) -> tuple[Result | DomainError, int]:
    """Import an item in a commit of its own. After a collision it takes turns with the other commands."""
    refusal: DomainError = Conflict(TOO_MANY_CHANGES)
    collided: str | None = None
    for _ in range(MAX_DECISIONS):
        try:
            with store.serialize_after_collision(collided) if collided else nullcontext():
                batch = _Batch(store, importer, [item])
                result = batch.take(item)
                return result, batch.save()
        except VersionConflict:
            (collided,) = batch.changed
            store.note_collision(collided)
        except RowExists as error:
            if error.table == "email_addresses":
                refusal = EmailTaken()
        except psycopg.errors.LockNotAvailable:
            break
    return refusal, 0


class _Batch:
    """The objects of one commit. `changed` are the aggregates that it creates or changes, by id."""

    def __init__(self, store: EventStore, importer: Importer, items: Sequence[Item]) -> None:
        self._store = store
        self._importer = importer
        self._known = _known_ids(store, importer.source, items)
        self._aggregates: dict[str, Aggregate] = {}
        self.changed: dict[str, Aggregate] = {}
        self._claims: dict[tuple[Kind, str], Statement] = {}
        self._addresses: list[Statement] = []

    def take(self, item: Item) -> Result | DomainError:
        """Create the object unless it exists."""
        external_id = item.values.fields.get("external_id")
        if isinstance(external_id, str) and (item.kind, external_id) in self._known:
            return "unchanged"
        create: dict[Kind, Callable[[Values[Any]], None]] = {
            "property": self._create_property,
            "unit": self._create_unit,
            "user": self._create_user,
            "ticket": self._create_ticket,
        }
        try:
            create[item.kind](item.values)
        except DomainError as refusal:
            return refusal
        return "created"

    def save(self) -> int:
        """Append all events. Returns the position of the last one."""
        # In one order, so that two imports do not wait for each other.
        claims = [claim for _, claim in sorted(self._claims.items(), key=itemgetter(0))]
        self._store.save(*self.changed.values(), statements=[*claims, *self._addresses])
        return max((aggregate.position for aggregate in self.changed.values()), default=0)

    def _create_property(self, values: Values[ImportedProperty]) -> None:
        new = values.read(self._problems)
        address = Address(**msgspec.structs.asdict(new.address))
        place = Property.register(
            new_id(),
            self._context(new.created_at),
            name=new.name,
            address=address,
            external_ids=self._own_id(new.external_id),
        )
        self._add("property", new.external_id, place.id, place)

    def _create_unit(self, values: Values[ImportedUnit]) -> None:
        new = values.read(lambda given: self._problems(given, property="property"))
        place = self._find(Property, self._id("property", new.property))
        unit_id = new_id()
        place.add_unit(unit_id, new.name, self._context(new.created_at), self._own_id(new.external_id))
        self._add("unit", new.external_id, unit_key(place.id, unit_id), place)

    def _create_user(self, values: Values[ImportedUser]) -> None:
        new = values.read(lambda given: self._problems(given, properties="property"))
        user = User.register(
            new_id(),
            self._context(new.created_at),
            name=new.name,
            email=new.email,
            phone=new.phone,
            role=new.role,
            property_ids=tuple(self._id("property", each) for each in new.properties),
            preferences=Preferences(),
            external_ids=self._own_id(new.external_id),
        )
        self._addresses += claim_address(self._store, user)
        self._add("user", new.external_id, user.id, user)

    def _create_ticket(self, values: Values[ImportedTicket]) -> None:
        new = values.read(self._ticket_problems)
        property_id = self._id("property", new.property)
        author = self._person(new.author or new.requester)
        ticket = Ticket.open(
            new_id(),
            self._context(new.created_at, author),
            title=new.title,
            description=new.description,
            priority=new.priority,
            category=new.category,
            property_id=property_id,
            unit_id=None if new.unit is None else self._unit_id(property_id, new.unit),
            requester_id=self._id("user", new.requester),
            tags=new.tags,
            external_ids=self._own_id(new.external_id),
        )
        if new.assigned_to is not None:
            assignee_id = self._id("user", new.assigned_to)
            ticket.change({"assignee_id": assignee_id}, self._context(new.created_at, author))
        for number, comment in enumerate(sorted(new.comments, key=lambda one: one.created_at)):
            context = self._context(comment.created_at, self._person(comment.author))
            ticket.comment(derive_id(ticket.id, str(number)), comment.text, comment.visibility, context)
        if new.status != "open":
            assignee = new.assigned_to or new.author or new.requester
            at = new.closed_at or ticket.updated_at
            ticket.change({"status": new.status}, self._context(at, self._person(assignee)))
        self._add("ticket", new.external_id, ticket.id, ticket)

    def _ticket_problems(self, given: Mapping[str, Any]) -> Details:
        details = self._problems(
            given, property="property", requester="user", author="user", assigned_to="user"
        )
        for number, comment in enumerate(given.get("comments", ())):
            inner = self._problems(comment, author="user")
            details |= {f"comments.{number}.{name}": messages for name, messages in inner.items()}
        if details or "property" not in given:
            return details
        property_id = self._id("property", given["property"])
        unit, assignee = given.get("unit"), given.get("assigned_to")
        if (
            unit is not None
            and self._unit_id(property_id, unit) not in self._find(Property, property_id).units
        ):
            details["unit"] = [UNKNOWN_UNIT]
        if assignee is not None and not self._person(assignee).may_work_on(property_id):
            details["assigned_to"] = [NOT_ASSIGNABLE]
        return details

    def _problems(self, given: Mapping[str, Any], **kinds: Kind) -> Details:
        """The fields with a time later than the import, and those that name an object that does not exist.
        `kinds` has the kind of object that each field names."""
        now, details = self._importer.context.at, Details()
        for name in ("created_at", "closed_at"):
            at = given.get(name)
            if at is not None and msgspec.convert(at, datetime) > now:
                details[name] = [IN_THE_FUTURE]
        for name, kind in kinds.items():
            named = given.get(name)
            for each in named if isinstance(named, list | tuple) else [named]:
                if each is not None and not self._exists(kind, each):
                    details[name] = [NOT_IMPORTED.format("person" if kind == "user" else kind)]
        return details

    def _exists(self, kind: Kind, external_id: str) -> bool:
        if (kind, external_id) in self._known:
            return True
        aggregate_kind: type[Property | User] = Property if kind == "property" else User
        return self._look_up(aggregate_kind, external_id) is not None

    def _id(self, kind: Kind, external_id: str) -> str:
        """The id of the object with this id in the source, or else the id itself."""
        return self._known.get((kind, external_id), external_id)

    def _unit_id(self, property_id: str, external_id: str) -> str:
        found = self._known.get(("unit", external_id), "")
        own_property_id, _, unit_id = found.partition("/")
        return unit_id if own_property_id == property_id else external_id

    def _person(self, external_id: str) -> User:
        return self._find(User, self._id("user", external_id))

    def _find(self, kind: type[A], aggregate_id: str) -> A:
        found = self._look_up(kind, aggregate_id)
        if found is None:
            raise Invalid({"external_id": [f"The {kind.kind} {aggregate_id} has been removed."]})
        return found

    def _look_up(self, kind: type[A], aggregate_id: str) -> A | None:
        if aggregate_id not in self._aggregates:
            found = self._store.find(kind, aggregate_id)
            if found is None:
                return None
            self._aggregates[aggregate_id] = found
        aggregate = self._aggregates[aggregate_id]
        return aggregate if isinstance(aggregate, kind) else None

    def _own_id(self, external_id: str) -> dict[str, str]:
        return {self._importer.source: external_id}

    def _context(self, at: datetime | None, author: User | None = None) -> Context:
        """The context of an event that happened in the source at that time. Without an author the importer is
        its actor."""
        own = self._importer.context
        caller = own.caller
        if author is not None:
            caller = Caller(
                principal_id=author.id,
                name=author.name,
                role=author.role,
                auth=caller.auth,
                user_id=author.id,
            )
        by, source, notify = own.caller.actor, self._importer.source, self._importer.notify
        return msgspec.structs.replace(
            own,
            at=at or own.at,
            caller=caller,
            command_id=new_id(),
            imported=Imported(by=by, at=own.at, source=source, notify=notify),
        )

    def _add(self, kind: Kind, external_id: str, object_id: str, aggregate: Aggregate) -> None:
        self._aggregates[aggregate.id] = self.changed[aggregate.id] = aggregate
        self._known[kind, external_id] = object_id
        claim = {
            "kind": kind,
            "source": self._importer.source,
            "external_id": external_id,
            "id": object_id,
        }
        self._claims[kind, external_id] = (_sql["claim"], claim)


def _known_ids(store: EventStore, source: str, items: Iterable[Item]) -> dict[tuple[str, str], str]:
    """The objects that exist already, of those that the items are or name, by kind and external id."""
    named: set[tuple[str, str]] = set()
    for item in items:
        named |= _ids_in(item.kind, item.values.fields)
    kinds, external_ids = [kind for kind, _ in named], [external_id for _, external_id in named]
    parameters = {"source": source, "kinds": kinds, "external_ids": external_ids}
    return {
        (kind, external_id): object_id
        for kind, external_id, object_id in store.select(_sql["known"], parameters)
    }


def _ids_in(kind: Kind, fields: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The external ids in the fields of an item, which are not validated yet, with their kinds."""
    comments, properties = fields.get("comments"), fields.get("properties")
    authors = [
        comment.get("author")
        for comment in (comments if isinstance(comments, list) else ())
        if isinstance(comment, Mapping)
    ]
    given: dict[str, list[Any]] = {
        "property": [fields.get("property"), *(properties if isinstance(properties, list | tuple) else ())],
        "unit": [fields.get("unit")],
        "user": [fields.get(name) for name in ("requester", "author", "assigned_to")] + authors,
    }
    given.setdefault(kind, []).append(fields.get("external_id"))
    return {(name, each) for name, ids in given.items() for each in ids if isinstance(each, str)}
