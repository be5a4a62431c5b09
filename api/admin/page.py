"""What the pages of the panel have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import falcon
import msgspec

from api.admin import flash
from api.bodies import validate
from api.paging import PageQuery, PerPage
from api.queries import pairs_of, parse_query
from api.resource import Operation, Resource
from api.web import pages
from api.web.forms import Form
from domain.access import Context, Role
from domain.aggregate import Aggregate
from domain.errors import Conflict, Details, DomainError, Forbidden, Invalid, PreconditionFailed
from infrastructure.ids import new_id

T = TypeVar("T")

PER_PAGE = 25
REFUSALS = (Invalid, Forbidden, Conflict, PreconditionFailed)  # what a form is shown again for
_STATUS = {Invalid: 422, Forbidden: 403, Conflict: 409, PreconditionFailed: 412}
_CHANGED_MEANWHILE = (
    "This was changed after you had opened the page, so nothing is saved yet. What is different now stands"
    " below each field: compare, and save again."
)
_NOT_TYPED = frozenset(("csrf_token", "command_id", "version", "step"))
_COMMAND_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class Section(msgspec.Struct, frozen=True):
    """An entry of the navigation, for those of `least_role` and above."""

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
    Section("/admin/keys", "API keys", "keys", "admin"),
    Section("/admin/clients", "Applications", "apps", "admin"),
    Section("/admin/checks", "Checks", "checks", "admin"),
)


class ListQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As the API's lists, with longer pages; a subclass adds filters."""

    per_page: PerPage = PER_PAGE


class Pages(msgspec.Struct, frozen=True):
    """Where a page of a list stands among the others, and the addresses of its neighbours."""

    number: int
    count: int
    total: int
    previous: str | None
    next: str | None


def page_of(least_role: Role, summary: str, *, form_page: str = "") -> Operation:
    """What a page's verb is declared as; with the page that has the form, where only that is sent here."""
    return Operation(
        summary=summary,
        session=True,
        least_role=least_role,
        form_page=form_page,
        keeps_form=True,
        media_type=falcon.MEDIA_HTML,
    )


class PanelPage(Resource):
    """Base of the panel's pages."""

    def show(
        self, req: falcon.Request, resp: falcon.Response, template: str, *, status: int = 200, **values: Any
    ) -> None:
        """Answer with a page of the panel. `values` the template has a default for may be left out."""
        caller = req.context.caller
        given = {
            "viewer": caller,
            "sections": [section for section in SECTIONS if caller.is_at_least(section.least_role)],
            "done": flash.take(req, resp, self.services),
            "command_id": new_id(),
            "values": filled(),
            "errors": {},
        }
        pages.render(req, resp, template, status=status, **{**given, **values})

    def show_again(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        template: str,
        refusal: DomainError,
        *,
        now: Form | None = None,
        called: Mapping[str, str] | None = None,
        **values: Any,
    ) -> None:
        """Show a form again as it was sent, with what was wrong beside its fields. When something has changed
        since it was shown, that is what its fields are `now`, and what those values are `called`."""
        form: Form = req.context.form
        status = next(status for kind, status in _STATUS.items() if isinstance(refusal, kind))
        errors = details_of(refusal)
        if isinstance(refusal, PreconditionFailed) and now is not None:
            errors = _beside_what_is(form, now, called or {})
        given = {
            "values": form,
            "errors": errors,
            "command_id": form.value("command_id") or new_id(),
        }
        self.show(req, resp, template, status=status, **{**given, **values})

    def go(self, resp: falcon.Response, path: str, done: str, *, after: Aggregate | None = None) -> None:
        """See Other after a change, with a word about it there; once the read tables show it `after` it."""
        if after is not None:
            self.services.visibility.wait_for(after.position)
        flash.leave(resp, self.services, done)
        pages.redirect(resp, path)

    def command(self, req: falcon.Request) -> Context:
        """The circumstances of the form's command. The form carries the command's id, so that one sent
        twice, by a double click or a reload, is carried out once."""
        given = req.context.form.value("command_id")
        if _COMMAND_ID.fullmatch(given):
            req.context.command_id = given
            req.context.is_retry = True
        context: Context = req.context.command()
        return context


def checked(given: dict[str, Any], kind: type[T], details: Details) -> T:
    """The fields as a `kind`; Invalid naming what is wrong with them and what `details` names already."""
    try:
        valid = validate(given, kind)
    except Invalid as refusal:
        raise Invalid({**refusal.details, **details}) from None
    if details:
        raise Invalid(details)
    return valid


def versions_of(form: Form) -> frozenset[int]:
    """The version the form was shown at; what is no version matches none."""
    version = form.value("version")
    return frozenset((int(version),)) if _VERSION.fullmatch(version) else frozenset()


def filled(**fields: str | Sequence[str] | None) -> Form:
    """A form as it is first shown: each field with its value, or its values."""
    pairs = []
    for name, value in fields.items():
        texts = [value] if isinstance(value, str) else value or ()
        pairs += [(name, text) for text in texts]
    return Form(pairs)


def details_of(refusal: DomainError) -> Details:
    """What was wrong by field; under "" what concerns none of them."""
    return refusal.details if isinstance(refusal, Invalid) else {"": [str(refusal)]}


def _beside_what_is(form: Form, now: Form, called: Mapping[str, str]) -> Details:
    """For a form shown at an older version: what is `now`, beside each field that would change it when it is
    sent again. Values are shown as they are `called`."""
    details: Details = {"": [_CHANGED_MEANWHILE]}
    for name in dict([*now.pairs(), *form.pairs()]).keys() - _NOT_TYPED:
        present = _lines(now, name)
        if sorted(_lines(form, name)) != sorted(present):
            shown = ", ".join(called.get(line, line) for line in present)
            details[name] = [f"Now it is: {shown or 'empty'}."]
    return details


def _lines(form: Form, name: str) -> list[str]:
    lines = [line.strip() for value in form.values(name) for line in value.splitlines()]
    return [line for line in lines if line]


def read_filters(req: falcon.Request, kind: type[T]) -> T:
    """The query of a list. Forms send fields that were left empty; those count as not given."""
    return parse_query(urlencode(_given(req)), kind)


def typed_filters(req: falcon.Request) -> Form:
    """The query of a list as it was typed, for showing its form again."""
    return Form(_given(req))


def pages_of(req: falcon.Request, query: PageQuery, total: int | None) -> Pages:
    """The neighbours of this page of a list, under the same filters."""
    number, size = query.page, query.limit
    count = max(1, -(-(total or 0) // size))
    others = [pair for pair in _given(req) if pair[0] != "page"]

    def address(page: int) -> str:
        return f"{req.path}?{urlencode([*others, ('page', str(page))])}"

    return Pages(
        number=number,
        count=count,
        total=total or 0,
        previous=address(min(number - 1, count)) if number > 1 else None,
        next=address(number + 1) if number < count else None,
    )


def _given(req: falcon.Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs_of(req.query_string) if value.strip()]
