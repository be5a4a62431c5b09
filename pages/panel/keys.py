"""/admin/keys: issuing and revoking API keys."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

import falcon

from api.http.forms import Form
from api.http.scopes import SCOPE_LABELS
from commands.api_keys import IssueKey, issue_key, revoke_key
from commands.email_addresses import hash_address
from domain.access import ROLES, Scope
from domain.errors import Details, Invalid, NotFound
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel.choosing import chosen_properties
from pages.panel.page import (
    REFUSALS,
    ListQuery,
    PanelPage,
    missing_fields,
    page_of,
    pages_of,
    read_filters,
)
from projections.api_keys import get_key, list_keys
from projections.choices import find_person, people_choices, property_choices

DEFAULT_RATE_LIMIT = 1_000
PROPOSED_SCOPES: tuple[Scope, ...] = ("tickets:read", "users:read", "properties:read")
PROPOSED_LIFETIME = timedelta(days=90)


class KeyList(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("admin", "List API keys")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = read_filters(req, ListQuery)
        page = list_keys(self.services.pool, query.limit, query.offset)
        self.show(req, resp, "keys.html", keys=page.items, pages=pages_of(req, query, page.total))


class KeyCreation(PanelPage):
    """The answer to the form shows the key, which cannot be shown later."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Show the form for a new API key"),
        "POST": page_of("admin", "Create an API key"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "key_new.html", form=ShownForm(new_key()), **self._choices(req))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            command = self._read(req)
            issued = issue_key(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_refused(req, resp, "key_new.html", new_key(), refusal, **self._choices(req))
            return
        self.show(
            req,
            resp,
            "key_created.html",
            key=issued.key,
            api_key=issued.api_key,
            base_url=self.services.settings.base_url,
        )

    def _read(self, req: falcon.Request) -> IssueKey:
        """The command of the form. Raises Invalid, which names every bad field."""
        form: Form = req.context.form
        pool, store = self.services.pool, self.services.store
        details = missing_fields(form, "property_ids")
        sent = sent_values(new_key(), form)
        person = form.text("user")
        user_id = find_person(pool, person, hash_address(store, person)) if person else None
        if person and user_id is None:
            details["user"] = ["No person, or more than one, has this e-mail address or id."]
        if form.value("role") not in ROLES:
            details["role"] = ["Choose a role."]
        scopes = tuple(form.lines("scopes"))
        if not scopes:
            details["scopes"] = ["Choose at least one scope; a key without scopes may do nothing."]
        rate_limit = rate_limit_of(str(sent["rate_limit"]).strip(), details)
        expires_at = _midnight(str(sent["expires_at"]).strip(), details)
        command = IssueKey(
            name=form.text("name"),
            role=form.value("role"),  # type: ignore[arg-type]
            user_id=user_id,
            property_ids=tuple(chosen_properties(self, req, form.lines("property_ids"), details)),
            scopes=scopes,
            rate_limit=rate_limit,
            expires_at=expires_at,
        )
        if not command.name:
            details["name"] = ["Give the key a name."]
        if details:
            raise Invalid(details)
        return command

    def _choices(self, req: falcon.Request) -> dict[str, Any]:
        return {
            "people": people_choices(self.services.pool),
            "properties": property_choices(self.services.pool, req.context.caller),
            "roles": ROLES,
            "scopes": SCOPE_LABELS,
            "tomorrow": date.fromordinal(datetime.now(UTC).toordinal() + 1),
        }


class KeyRevocation(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Ask before an API key is revoked"),
        "POST": page_of("admin", "Revoke an API key"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, key_id: str) -> None:
        key = get_key(self.services.pool, key_id)
        if key is None:
            raise NotFound("API key")
        self.ask(
            req,
            resp,
            title="Revoke this key?",
            name=f"{key.name} (ends in {key.hint})",
            consequence="Requests with this key are refused from now on. This cannot be undone.",
            action="Revoke key",
            back="/admin/keys",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, key_id: str) -> None:
        revoke_key(self.services.store, key_id, self.command(req))
        self.go(resp, "/admin/keys", "key-revoked")


def new_key() -> Values:
    """The form of a new key: it proposes to read only, and to expire."""
    return {
        "name": "",
        "user": "",
        "role": "staff",
        "scopes": list(PROPOSED_SCOPES),
        "property_ids": [],
        "rate_limit": str(DEFAULT_RATE_LIMIT),
        "expires_at": (datetime.now(UTC).date() + PROPOSED_LIFETIME).isoformat(),
    }


def rate_limit_of(text: str, details: Details) -> int | None:
    """The requests per hour; None (no limit) for an empty field."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 10:
        details["rate_limit"] = ["Enter a whole number, or nothing for no limit."]
        return None
    return int(text)


def _midnight(text: str, details: Details) -> datetime | None:
    """The start (UTC) of the given day; None for an empty field."""
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        details["expires_at"] = ["Enter a date such as 2030-01-31."]
        return None
