"""A form that could not be carried out, kept to be sent again: its session had ended, or an error came up.

It travels in the pages themselves, as hidden fields; the server stores nothing.
"""

from __future__ import annotations

import falcon
import msgspec

from api.http.errors import Failure
from api.http.forms import Form, read_form
from api.http.services import Services
from pages.common import rendering as pages
from pages.common.csrf import TOKEN_FIELD, is_from_own_page

_PATH_FIELD = "unsent"
_PREFIX = "unsent."
_PANEL = "/admin"
_SECRETS = ("password", "again", "secret")  # a form with one of these is filled in anew
_UNSEEN = frozenset(("command_id", "version", "step", TOKEN_FIELD))  # what the form says of itself


class Unsent(msgspec.Struct, frozen=True):
    """Where the form was sent, and its fields without the token."""

    path: str
    fields: list[tuple[str, str]]

    @property
    def typed(self) -> list[tuple[str, str]]:
        """What a person filled in or chose."""
        return [pair for pair in self.fields if pair[0] not in _UNSEEN and pair[1].strip()]

    @property
    def as_hidden(self) -> list[tuple[str, str]]:
        """The fields that carry it in another form."""
        return [(_PATH_FIELD, self.path), *((_PREFIX + name, value) for name, value in self.fields)]


def unsent_form(req: falcon.Request, services: Services, form: Form) -> Unsent | None:
    """What is worth keeping of the form; None of one without any text, with a secret, or that may come from
    another site: whoever is asked to send it again takes it for their own."""
    if not is_from_own_page(req, services) or any(form.value(name) for name in _SECRETS):
        return None
    unsent = Unsent(req.path, [pair for pair in form.pairs() if pair[0] != TOKEN_FIELD])
    return unsent if unsent.typed else None


def render_failure(services: Services, req: falcon.Request, resp: falcon.Response, failure: Failure) -> None:
    """An error as a page, with what the person typed, to be read and sent again."""
    pages.render_failure(req, resp, failure, unsent=_form_that_failed(req, services))


def _form_that_failed(req: falcon.Request, services: Services) -> Unsent | None:
    """The panel's form that this request sent, with its token; None when there is none to keep."""
    if req.method != "POST" or not req.path.startswith(_PANEL) or not is_from_own_page(req, services):
        return None
    try:
        form: Form = getattr(req.context, "form", None) or read_form(req)
    except Exception:  # the error that is being shown may be that the form cannot be read
        return None
    kept = unsent_form(req, services, form)
    return None if kept is None else Unsent(kept.path, [*kept.fields, (TOKEN_FIELD, form.value(TOKEN_FIELD))])


def carried_form(form: Form) -> Unsent | None:
    """The one that a form to sign in carries. Take it from forms of ours alone."""
    path = form.value(_PATH_FIELD)
    fields = [(name[len(_PREFIX) :], text) for name, text in form.pairs() if name.startswith(_PREFIX)]
    return Unsent(path, fields) if path else None


def show_unsent(
    req: falcon.Request, resp: falcon.Response, unsent: Unsent, back: str, csrf_token: str, *, status: int
) -> None:
    """Ask whether to send it now, under this session. `back` is the page the form stands on."""
    pages.render(req, resp, "unsent.html", status=status, unsent=unsent, back=back, csrf_token=csrf_token)
