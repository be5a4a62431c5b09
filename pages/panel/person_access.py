"""Pages about one person's access: password, one-time link, deactivation, erasure."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.redirects import redirect
from commands.erasure import erase_user
from commands.one_time_links import issue_link
from commands.passwords import change_password
from commands.users import UserChanges, change_user
from commands.values import ValidValues
from infrastructure.keys.passwords import HashingBusy
from pages.common.page_operation import PageOperation
from pages.common.passwords import BUSY, require_same
from pages.common.shown_form import ShownForm, Values
from pages.panel import own_password
from pages.panel.editing import details_of
from pages.panel.invitations import invite, show_link
from pages.panel.page import REFUSALS, page_of, status_of
from pages.panel.people import PersonPage

NEW_PASSWORD: Values = {"password": "", "again": ""}


class PersonPassword(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Choose a password for a person"),
        "POST": page_of("admin", "Set a person's password"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        if not self._is_own(req, resp, user_id):
            self.show(req, resp, "person_password.html", person=person, form=ShownForm(NEW_PASSWORD))

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        if self._is_own(req, resp, user_id):
            return
        try:
            password = require_same(req.context.form)
            change_password(self.services.store, user_id, password, self.command(req))
        except (*REFUSALS, HashingBusy) as error:
            refusal = BUSY if isinstance(error, HashingBusy) else error
            form = ShownForm(NEW_PASSWORD, errors=details_of(refusal))  # passwords are never shown again
            status = status_of(refusal)
            self.show(req, resp, "person_password.html", status=status, person=person, form=form)
            return
        self.go(resp, f"/admin/users/{user_id}", "password-set")

    def _is_own(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> bool:
        """Whether this is the caller's password: then redirect to the page that asks for the current one."""
        is_own: bool = user_id == req.context.caller.user_id
        if is_own:
            redirect(resp, own_password.PATH)
        return is_own


class PersonLink(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before a one-time link is made"),
        "POST": page_of("manager", "Make a one-time link"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        self.ask(
            req,
            resp,
            title="Make a one-time link?",
            name=person.name,
            consequence="The person opens the link and chooses a password. The link is shown once, on the"
            " next page. It is valid for 24 hours and for one use, and makes earlier links invalid.",
            action="Make link",
            back=f"/admin/users/{user_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        issued = issue_link(self.services.store, user_id, self.command(req))
        show_link(self, req, resp, issued, "person_link.html", person.name)


class PersonInvitation(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before an invitation link is made"),
        "POST": page_of("manager", "Make an invitation link"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        self.ask(
            req,
            resp,
            title="Make an invitation link?",
            name=person.name,
            consequence="The person opens the link and chooses their first password. The link is shown once,"
            " on the next page. It is valid for 7 days and for one use, and makes earlier links invalid.",
            action="Make invitation link",
            back=f"/admin/users/{user_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        self.visible(req, user_id)
        invite(self, req, resp, user_id, self.command(req))


class PersonDeactivation(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before a person is deactivated"),
        "POST": page_of("manager", "Deactivate a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        self.ask(
            req,
            resp,
            title="Deactivate this person?",
            name=person.name,
            consequence="Sign-ins, API keys and applications of the person are refused from now on, and no"
            " ticket can be assigned to them. The name stays. The list of tickets has a filter for their open"
            " tickets. You can reactivate the person later.",
            action="Deactivate",
            back=f"/admin/users/{user_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        set_active(self, req, resp, user_id, False)


class PersonReactivation(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Ask before a person is reactivated"),
        "POST": page_of("manager", "Reactivate a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        self.ask(
            req,
            resp,
            title="Reactivate this person?",
            name=person.name,
            consequence="The person can sign in and work on tickets again. Their password, API keys and"
            " applications are valid again.",
            action="Reactivate",
            back=f"/admin/users/{user_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        set_active(self, req, resp, user_id, True)


class PersonErasure(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Ask before a person is erased"),
        "POST": page_of("admin", "Erase a person"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        person = self.visible(req, user_id).detail
        self.ask(
            req,
            resp,
            title="Erase this person?",
            name=person.name,
            consequence="Name, e-mail address and phone become unreadable everywhere, also in the log and in"
            " backups. API keys are revoked and sessions end. Actions stay under the person's id. This"
            " cannot be undone.",
            action="Erase person",
            back=f"/admin/users/{user_id}",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        user = erase_user(self.services.store, user_id, self.command(req))
        self.go(resp, "/admin/users", "user-erased", after=user)


def set_active(
    page: PersonPage, req: falcon.Request, resp: falcon.Response, user_id: str, active: bool
) -> None:
    """Deactivate or reactivate the person, and return to their page."""
    changes = ValidValues(UserChanges(active=active))
    user = change_user(page.services.store, user_id, changes, page.command(req))
    done = "user-reactivated" if active else "user-deactivated"
    page.go(resp, f"/admin/users/{user_id}", done, after=user)
