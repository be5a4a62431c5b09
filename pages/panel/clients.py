"""/admin/clients: the applications that may act for people through OAuth 2.0."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon

from api.http.forms import Form
from api.http.scopes import SCOPE_LABELS
from api.oauth.clients import ListedClient, list_clients
from commands.oauth_clients import (
    RegisterClient,
    RegisteredClient,
    register_client,
    revoke_client,
    rotate_client_secret,
)
from domain.access import ROLES
from domain.errors import Invalid, NotFound
from domain.oauth_client import CLIENT_KINDS, GRANT_TYPES
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel.choosing import chosen_properties
from pages.panel.keys import DEFAULT_RATE_LIMIT, rate_limit_of
from pages.panel.page import REFUSALS, PanelPage, missing_fields, page_of
from projections.choices import property_choices

GRANT_WORDS = {
    "authorization_code": "Act for people who allow it",
    "refresh_token": "Keep this access for longer than an hour",
    "client_credentials": "Act for itself",
}
KIND_WORDS = {
    "confidential": "Runs on a server and keeps a secret",
    "public": "Runs on people's devices, without a secret",
}
NEW_CLIENT: Values = {
    "name": "",
    "client_kind": "confidential",
    "grant_types": ["authorization_code", "refresh_token"],
    "redirect_uris": "",
    "origins": "",
    "scopes": ["tickets:read"],
    "role": "staff",
    "property_ids": [],
    "rate_limit": str(DEFAULT_RATE_LIMIT),
    "requires_pkce": [],
}


class ClientList(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("admin", "List applications")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        clients = list_clients(self.services.pool)
        clients.sort(key=lambda client: client.revoked_at is not None)
        self.show(req, resp, "clients.html", clients=clients)


class ClientRegistration(PanelPage):
    """The answer to the form shows the secret, which cannot be shown later."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Show the form for a new application"),
        "POST": page_of("admin", "Register an application"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.show(req, resp, "client_new.html", form=ShownForm(NEW_CLIENT), **self._choices(req))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        try:
            command = _read(self, req)
            registered = register_client(self.services.store, command, self.command(req))
        except REFUSALS as refusal:
            self.show_refused(req, resp, "client_new.html", NEW_CLIENT, refusal, **self._choices(req))
            return
        show_secret(self, req, resp, registered, "is registered")

    def _choices(self, req: falcon.Request) -> dict[str, Any]:
        return {
            "kinds": KIND_WORDS,
            "grants": GRANT_WORDS,
            "scopes": SCOPE_LABELS,
            "roles": ROLES,
            "properties": property_choices(self.services.pool, req.context.caller),
        }


class ClientRotation(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Ask before rotating the secret of an application"),
        "POST": page_of("admin", "Rotate the secret of an application"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, client_id: str) -> None:
        client = find(self, client_id)
        self.ask(
            req,
            resp,
            title="Rotate the secret?",
            name=client.name,
            consequence="The old secret becomes invalid. The new secret is shown once, on the next page.",
            action="Make a new secret",
            back="/admin/clients",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, client_id: str) -> None:
        registered = rotate_client_secret(self.services.store, client_id, self.command(req))
        show_secret(self, req, resp, registered, "has a new secret")


class ClientRevocation(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Ask before revoking an application"),
        "POST": page_of("admin", "Revoke an application"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, client_id: str) -> None:
        client = find(self, client_id)
        self.ask(
            req,
            resp,
            title="Revoke this application?",
            name=client.name,
            consequence="All its tokens become invalid, for everyone who allowed it. This cannot be undone.",
            action="Revoke application",
            back="/admin/clients",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, client_id: str) -> None:
        revoke_client(self.services.store, client_id, self.command(req))
        self.go(resp, "/admin/clients", "client-revoked")


def show_secret(
    page: PanelPage, req: falcon.Request, resp: falcon.Response, registered: RegisteredClient, what: str
) -> None:
    """Show the id and the secret of the application. The secret cannot be shown later."""
    page.show(
        req,
        resp,
        "client_secret.html",
        client=registered.client,
        secret=registered.secret,
        what=what,
        base_url=page.services.settings.base_url,
    )


def find(page: PanelPage, client_id: str) -> ListedClient:
    """The client of that id. Raises NotFound."""
    for client in list_clients(page.services.pool):
        if client.client_id == client_id:
            return client
    raise NotFound("application")


def _read(page: PanelPage, req: falcon.Request) -> RegisterClient:
    """The command of the form. Raises Invalid, which names every bad field."""
    form: Form = req.context.form
    details = missing_fields(form, "property_ids")
    limit = str(sent_values(NEW_CLIENT, form)["rate_limit"])
    if form.value("role") not in ROLES:
        details["role"] = ["Choose a role."]
    if form.value("client_kind") not in CLIENT_KINDS:
        details["client_kind"] = ["Choose the kind of the application."]
    if not set(form.lines("grant_types")) <= set(GRANT_TYPES):
        details["grant_types"] = ["Choose from the list."]
    rate_limit = rate_limit_of(limit.strip(), details)
    property_ids = tuple(chosen_properties(page, req, form.lines("property_ids"), details))
    if details:
        raise Invalid(details)
    return RegisterClient(
        name=form.text("name"),
        client_kind=form.value("client_kind"),  # type: ignore[arg-type]
        scopes=tuple(form.lines("scopes")),
        role=form.value("role"),  # type: ignore[arg-type]
        redirect_uris=tuple(form.prose("redirect_uris").split()),
        grant_types=tuple(form.lines("grant_types")),  # type: ignore[arg-type]
        requires_pkce=bool(form.lines("requires_pkce")),
        property_ids=property_ids,
        rate_limit=rate_limit,
        origins=tuple(form.prose("origins").split()),
    )
