"""/admin/audit: searching the audit trail, and one event with its proof."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

import falcon
import msgspec

from api.http.paging import CursorQuery, PerPage, binding_of, encode_cursor, read_cursor
from api.v1.audit import KINDS, Action, expand_actions
from commands.email_addresses import hash_address
from domain.access import Caller
from domain.errors import Conflict, Invalid, NotFound
from domain.events import ACTIONS
from domain.text import SearchText, is_id
from notary.proofs import prove
from notary.statements import parse
from pages.common.page_operation import PageOperation
from pages.panel.audit_words import ShownEvent, action_words, shown_events
from pages.panel.checkpoints import ShownCheckpoint, shown_checkpoint
from pages.panel.choosing import resolve_property
from pages.panel.page import PER_PAGE, PanelPage, address_with, page_of, read_filters, typed_filters
from projections.audit import AuditQuery, get_audit_event, list_audit_events
from projections.audit_names import find_key_ids, find_ticket_id, names_of_entries
from projections.choices import find_person, property_choices
from projections.search_query import ticket_number
from projections.views import Page

ACTION_CHOICES = [
    *((f"{kind}.*", f"{action_words(kind)}: everything") for kind in KINDS),
    *((action, action_words(action)) for action in ACTIONS),
]
_UNKNOWN = "No {} has this id{}."


class AuditFilters(CursorQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filters of the search. `subject` is a ticket number or the id of any object."""

    per_page: PerPage = PER_PAGE
    action: Action | None = None
    actor: SearchText | None = None
    key: SearchText | None = None
    subject: SearchText | None = None
    property_id: SearchText | None = None
    first_day: date | None = None
    last_day: date | None = None


class AuditSearch(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Search the audit trail", is_recorded=True)
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        given: dict[str, Any] = {
            "properties": property_choices(self.services.pool, caller),
            "actions": ACTION_CHOICES,
        }
        try:
            filters = read_filters(req, AuditFilters)
            page = self._find(caller, filters)
        except Invalid as refusal:
            self.show_refused_filters(
                req, resp, "audit.html", AuditFilters, refusal, events=[], next=None, **given
            )
            return
        next_cursor = page.last_key and encode_cursor(
            page.last_key, self.services.signing_key, bound_to=binding_of(filters)
        )
        self.show(
            req,
            resp,
            "audit.html",
            events=self._shown(caller, page),
            filters=typed_filters(req, AuditFilters),
            first=address_with(req, cursor="") if filters.cursor else None,
            next=address_with(req, cursor=next_cursor) if next_cursor else None,
            **given,
        )

    def _find(self, caller: Caller, filters: AuditFilters) -> Page[Any]:
        """The events that match. Raises Invalid for a text that names nothing."""
        if filters.first_day and filters.last_day and filters.last_day < filters.first_day:
            raise Invalid({"last_day": ["The last day must not be before the first day."]})
        wanted = AuditQuery(
            actor=self._actor(filters.actor),
            key_id=self._keys(caller, filters.key),
            property_id=resolve_property(self.services.pool, caller, filters.property_id),
            actions=expand_actions((filters.action,)) if filters.action else (),
            subject_id=self._subject(filters.subject),
            since=_start_of(filters.first_day) if filters.first_day else None,
            until=_start_of_next(filters.last_day) if filters.last_day else None,
            limit=filters.limit,
            after=read_cursor(filters, self.services.signing_key),
        )
        return list_audit_events(self.services.pool, self.services.store, caller, wanted)

    def _shown(self, caller: Caller, page: Page[Any]) -> list[ShownEvent]:
        with_keys = caller.is_at_least("admin")
        return shown_events(page.items, names_of_entries(self.services.pool, page.items, with_keys=with_keys))

    def _actor(self, text: str | None) -> tuple[str, ...]:
        if not text:
            return ()
        found = find_person(self.services.pool, text, hash_address(self.services.store, text)) or text
        if not is_id(found):
            raise Invalid({"actor": [_UNKNOWN.format("person", " or e-mail address")]})
        return (found,)

    def _keys(self, caller: Caller, text: str | None) -> tuple[str, ...]:
        """The ids of the keys; only admins find keys by their names."""
        if not text:
            return ()
        found = find_key_ids(self.services.pool, text) if caller.is_at_least("admin") else ()
        if not found and not is_id(text):
            raise Invalid({"key": [_UNKNOWN.format("key", " or name")]})
        return found or (text,)

    def _subject(self, text: str | None) -> tuple[str, ...]:
        if not text:
            return ()
        number = ticket_number(text)
        found = find_ticket_id(self.services.pool, number) if number is not None else None
        if not found and not is_id(text):
            raise Invalid({"subject": ["Enter the number of a ticket, such as 1042, or an id."]})
        return (found or text,)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The proof of an event in words. `pending`: why there is none yet."""

    pending: str | None = None
    facts: dict[str, Any] = {}
    checkpoint: ShownCheckpoint | None = None


class AuditEvent(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Read an event and its proof", is_recorded=True)
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, position: str) -> None:
        caller, pool = req.context.caller, self.services.pool
        entry = get_audit_event(pool, self.services.store, caller, position_of(position))
        if entry is None:
            raise NotFound("event")
        names = names_of_entries(pool, [entry], with_keys=caller.is_at_least("admin"))
        (event,) = shown_events([entry], names)
        proof = self._proof(entry.id) if caller.is_full_admin else None
        self.show(req, resp, "audit_event.html", event=event, proof=proof)

    def _proof(self, event_id: str) -> Proof:
        try:
            with self.services.pool.connection() as conn:
                facts = prove(conn, event_id)
        except (NotFound, Conflict):
            return Proof(pending="The event is not signed yet. The notary signs new events within minutes.")
        return Proof(facts=facts, checkpoint=shown_checkpoint(parse(facts["checkpoint"])))


def position_of(text: str) -> int:
    """The position in an address. Raises NotFound for a text that is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise NotFound("event")
    return int(text)


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _start_of_next(day: date) -> datetime | None:
    """The start of the next day; None after the last day of the calendar."""
    return _start_of(day + timedelta(days=1)) if day < date.max else None
