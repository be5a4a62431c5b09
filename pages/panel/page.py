"""The base class of the panel's pages, and functions for their forms and lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import falcon
import msgspec

from api.http.forms import Form
from api.http.paging import PageQuery, PerPage
from api.http.queries import pairs_of, parse_query
from api.http.redirects import redirect
from api.http.resource import Verb
from domain.access import Context, Role
from domain.aggregate import Aggregate
from domain.errors import Conflict, Details, DomainError, Forbidden, Invalid, PreconditionFailed
from infrastructure.ids import derive_id
from pages.common import rendering as pages
from pages.common.page import Page
from pages.common.page_operation import PageOperation
from pages.common.shown_form import ShownForm, Values, sent_values
from pages.panel import flash
from pages.panel.editing import Edit, details_of, save_edit

T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)

PER_PAGE = 25
REFUSALS = (Invalid, Forbidden, Conflict, PreconditionFailed)  # after these, the form is shown again
_STATUS = {Invalid: 422, Forbidden: 403, Conflict: 409, PreconditionFailed: 412}
_COMMAND_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Section(msgspec.Struct, frozen=True):
    """An entry of the navigation, for users with `least_role` and above."""

    path: str
    name: str
    icon: str
    least_role: Role


SECTIONS = (
    Section("/admin", "Overview", "overview", "staff"),
    Section("/admin/tickets", "Tickets", "tickets", "staff"),
    Section("/admin/properties", "Properties", "properties", "manager"),
    Section("/admin/users", "People", "people", "manager"),
    Section("/admin/webhooks", "Webhooks", "webhooks", "manager"),
    Section("/admin/audit", "Audit", "audit", "manager"),
    Section("/admin/keys", "API keys", "keys", "admin"),
    Section("/admin/clients", "Applications", "apps", "admin"),
    Section("/admin/health", "Health", "health", "admin"),
    Section("/admin/checks", "Checks", "checks", "admin"),
)

# Tenants have these only.
OWN_SECTIONS = (Section("/admin/my", "My reports", "tickets", "guest"),)


class ListQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list, as in the API but with longer pages. A subclass adds filters."""

    per_page: PerPage = PER_PAGE


class Pages(msgspec.Struct, frozen=True):
    """The number of a page of a list, and the addresses of the pages before and after it."""

    number: int
    count: int
    total: int
    previous: str | None
    next: str | None


def page_of(
    least_role: Role, summary: str, *, form_page: str = "", is_recorded: bool = False
) -> PageOperation:
    """Declare a verb of a page of the panel."""
    return PageOperation(
        summary=summary,
        least_role=least_role,
        form_page=form_page,
        keeps_form=True,
        is_recorded=is_recorded,
    )


class PanelPage(Page):
    """Base of the panel's pages."""

    def admit(
        self, req: falcon.Request, resp: falcon.Response, verb: Verb, params: Mapping[str, Any]
    ) -> None:
        """Require a session, and wait for the person's last change if it was not shown in time."""
        super().admit(req, resp, verb, params)
        if not resp.complete and req.method in ("GET", "HEAD"):
            self.services.visibility.wait_for_others()
            req.context.may_lag = flash.wait_for_pending(req, resp, self.services)

    def show(
        self, req: falcon.Request, resp: falcon.Response, template: str, *, status: int = 200, **values: Any
    ) -> None:
        """Answer with a page of the panel.

        Each form with fields is a ShownForm among `values`. `blank` makes one for a form with only a button.
        """
        caller, done = req.context.caller, flash.take_message(req, resp, self.services)
        given = {
            "viewer": caller,
            "sections": [one for one in SECTIONS if caller.is_at_least(one.least_role)] or OWN_SECTIONS,
            "done": done,
            "outcome": _outcome(req, done, values.get("pages")),
            "may_lag": req.context.may_lag,
            "blank": ShownForm,
        }
        pages.render(req, resp, template, status=status, **{**given, **values})

    def show_refused(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        template: str,
        fields: Values,
        refusal: DomainError,
        **values: Any,
    ) -> None:
        """Show the page of a refused form again. `fields` are its fields with their first values."""
        form = refused_form(fields, req.context.form, refusal)
        self.show(req, resp, template, status=status_of(refusal), form=form, **values)

    def show_refused_filters(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        template: str,
        kind: type[msgspec.Struct],
        refusal: Invalid,
        **values: Any,
    ) -> None:
        """Show the page of a list without items, with the refused filters as they were sent."""
        filters = typed_filters(req, kind, refusal)
        self.show(req, resp, template, status=status_of(refusal), filters=filters, pages=None, **values)

    def ask(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        *,
        title: str,
        name: str,
        consequence: str,
        action: str,
        back: str,
    ) -> None:
        """Ask for confirmation. `action` is the label of the button, `back` the address for cancelling."""
        self.show(
            req,
            resp,
            "confirm.html",
            title=title,
            name=name,
            consequence=consequence,
            action=action,
            back=back,
        )

    def save(
        self,
        req: falcon.Request,
        kind: type[A],
        aggregate_id: str,
        read: Callable[[], Edit],
        change: Callable[[Edit], A],
    ) -> A:
        """Save the edit of the form (see save_edit) and return the aggregate.

        A form that was saved before and is sent again is not a conflict.
        """
        try:
            return save_edit(read, change)
        except PreconditionFailed:
            done = self.services.store.done_before(kind, aggregate_id, self.command(req))
            if done is None:
                raise
            return done

    def go(
        self,
        resp: falcon.Response,
        path: str,
        done: str,
        *,
        after: Aggregate | int = 0,
        subject_id: str = "",
    ) -> None:
        """Redirect (See Other) with the message `done`, once the read tables contain `after`, an aggregate or
        a position. The message offers to undo the action on the subject, if flash.UNDO knows how."""
        position = after if isinstance(after, int) else after.position
        if position and not self.services.visibility.wait_for(position):
            flash.set_pending(resp, self.services, position)
        flash.set_message(resp, self.services, done, subject_id)
        redirect(resp, path)

    def command(self, req: falcon.Request) -> Context:
        """The context of the form's command.

        A form that is sent twice, by a double click or a reload, is one command and is executed once.
        """
        form: Form = req.context.form
        if _COMMAND_ID.fullmatch(form.value("command_id")):
            req.context.command_id = _id_of(form)
            req.context.is_retry = True
        context: Context = req.context.command()
        return context


def status_of(refusal: DomainError) -> int:
    """The HTTP status of a page with a refused form."""
    return next(status for kind, status in _STATUS.items() if isinstance(refusal, kind))


def missing_fields(sent: Form, *names: str) -> Details:
    """A message for each of these fields that was not sent; without them the command would set no limit."""
    return {name: ["This field was not sent. Open the page again."] for name in names if not sent.has(name)}


def refused_form(fields: Values, sent: Form, refusal: DomainError) -> ShownForm:
    """The form to show again as it was sent, with the messages of the refusal at its fields.

    `fields` are the fields of the form with their first values.
    """
    errors = details_of(refusal)
    return ShownForm(sent_values(fields, sent), errors=errors, command_id=sent.value("command_id"))


def read_filters(req: falcon.Request, kind: type[T]) -> T:
    """The query of a list, without the empty fields that the forms of filters send."""
    return parse_query(urlencode(_given(req)), kind)


def typed_filters(
    req: falcon.Request, kind: type[msgspec.Struct], refusal: Invalid | None = None
) -> ShownForm:
    """The form of a list's filters with the values that were sent. Its fields are those of `kind`."""
    given = Form(_given(req))
    values: Values = {
        field.name: ",".join(given.values(field.name)) for field in msgspec.structs.fields(kind)
    }
    return ShownForm(values, errors=details_of(refusal) if refusal else {})


def pages_of(req: falcon.Request, query: PageQuery, total: int | None) -> Pages:
    """This page of a list, and the addresses of the pages before and after it with the same filters."""
    number, size = query.page, query.limit
    count = max(1, -(-(total or 0) // size))
    others = [pair for pair in _given(req) if pair[0] != "page"]

    def address(page: int) -> str:
        return f"{req.path}?{urlencode([*others, ('page', str(page))])}"

    return Pages(
        number=number,
        count=count,
        total=total or 0,
        previous=address(min(number - 1, count)) if number > 1 and total else None,
        next=address(number + 1) if number < count else None,
    )


def address_with(req: falcon.Request, **changes: str) -> str:
    """The address of this list from its first page on, with these parameters instead of those that were
    sent."""
    others = [pair for pair in _given(req) if pair[0] not in ("page", *changes)]
    return f"{req.path}?{urlencode([*others, *changes.items()])}"


def _outcome(req: falcon.Request, done: flash.Message | None, found: Pages | None) -> str:
    """The beginning of the page's title: what was done, or how much the filters of a list have found."""
    if done:
        return f"{done.text.partition('.')[0]}: "
    if found is None or not _given(req):
        return ""
    return f"({found.total:,} {'result' if found.total == 1 else 'results'}) "


def _id_of(form: Form) -> str:
    """The id of the command with these values.

    The same form with other values, sent after the browser's back button, is another command.
    """
    values = sorted(pair for pair in form.pairs() if pair[0] != "csrf_token")
    return derive_id(form.value("command_id"), repr(values))


def _given(req: falcon.Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs_of(req.query_string) if value.strip()]
