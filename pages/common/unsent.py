"""Forms that failed because the session had ended or an error occurred, and that can be sent again.

The pages contain the form in hidden fields; the server stores nothing.
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
_SECRETS = ("password", "again", "current", "secret")  # a form with one of these is not offered again
_HIDDEN = frozenset(("command_id", "version", "step", TOKEN_FIELD))  # fields that people do not fill in


class Unsent(msgspec.Struct, frozen=True):
    """The path to which the form was sent, and its fields without the token."""

    path: str
    fields: list[tuple[str, str]]

    @property
    def typed(self) -> list[tuple[str, str]]:
        """The fields that a person filled in or chose."""
        return [pair for pair in self.fields if pair[0] not in _HIDDEN and pair[1].strip()]

    @property
    def as_hidden(self) -> list[tuple[str, str]]:
        """The hidden fields that contain this form in another one."""
        return [(_PATH_FIELD, self.path), *((_PREFIX + name, value) for name, value in self.fields)]


def unsent_form(req: falcon.Request, services: Services, form: Form) -> Unsent | None:
    """The form to offer again. None if it has no text, contains a secret, or may come from another site: the
    user may not have filled it in."""
    if not is_from_own_page(req, services) or any(form.value(name) for name in _SECRETS):
        return None
    unsent = Unsent(req.path, [pair for pair in form.pairs() if pair[0] != TOKEN_FIELD])
    return unsent if unsent.typed else None


def render_failure(services: Services, req: falcon.Request, resp: falcon.Response, failure: Failure) -> None:
    """Answer an error with a page. It contains the form that was sent, so that it can be sent again."""
    pages.render_failure(req, resp, failure, unsent=_form_that_failed(req, services))


def _form_that_failed(req: falcon.Request, services: Services) -> Unsent | None:
    """The form that this request sent to the panel, with its token; None if it is not offered again."""
    if req.method != "POST" or not req.path.startswith(_PANEL) or not is_from_own_page(req, services):
        return None
    try:
        form: Form = getattr(req.context, "form", None) or read_form(req)
    except Exception:  # the form may be the reason for the error that is shown
        return None
    kept = unsent_form(req, services, form)
    return None if kept is None else Unsent(kept.path, [*kept.fields, (TOKEN_FIELD, form.value(TOKEN_FIELD))])


def carried_form(form: Form) -> Unsent | None:
    """The form in the hidden fields of a form to sign in. The caller must check the token of that form."""
    path = form.value(_PATH_FIELD)
    fields = [(name[len(_PREFIX) :], text) for name, text in form.pairs() if name.startswith(_PREFIX)]
    return Unsent(path, fields) if path else None


def show_unsent(
    req: falcon.Request, resp: falcon.Response, unsent: Unsent, back: str, csrf_token: str, *, status: int
) -> None:
    """Ask whether to send the form now, in this session. `back` is the page with the form."""
    pages.render(req, resp, "unsent.html", status=status, unsent=unsent, back=back, csrf_token=csrf_token)
