"""Sessions of browsers: the cookie, the user of a session, and the access to pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import falcon
import msgspec

from api.http import read_only
from api.http.forms import MAX_FORM_BYTES, Form, read_form
from api.http.rate_limit import count_action
from api.http.redirects import redirect
from api.http.services import Services
from api.http.uploads import is_multipart, read_parts
from commands.sign_in import ABSOLUTE, IDLE
from domain.access import Caller, Role, effective_rights
from infrastructure.keys.tokens import FORM, SESSION, digest, has_form, make_token
from infrastructure.settings import Settings
from infrastructure.storage.postgres import Pool, named_queries
from pages.common import rendering as pages
from pages.common.csrf import has_token, is_from_own_page, require_own_form, token_for
from pages.common.page_operation import PageOperation
from pages.common.unsent import Unsent, show_unsent, unsent_form

_sql = named_queries(Path(__file__).parent / "sql" / "sessions.sql")

SIGN_IN_PATH = "/admin/sign-in"
HOME_PATH = "/admin"
MAX_NEXT_CHARACTERS = 6_000
FORMS_AN_HOUR = 1_000  # the same as the rate limit of a key
_TOO_MANY_FORMS = "You may send {} forms an hour."
_ENDED = "Your session has ended, and what you sent was not saved. "
_KEPT = "Sign in to send it again."
_KEPT_TEXT = "Sign in to send your text again, and attach the files afterwards."
_LOST = "Sign in and fill in the form again."
_LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")  # no backslash, space or control character
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class WebSession(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the session's id in the log; each form of the session contains `csrf_token`."""

    id: str
    started_at: datetime
    caller: Caller
    csrf_token: str


def admit(
    req: falcon.Request, resp: falcon.Response, services: Services, operation: PageOperation, page: str
) -> None:
    """Set the caller, session and form of a signed-in user. Without a session, ask to sign in instead.

    After signing in, the browser is redirected to `page`: this page, or the page with the form. With
    `keeps_form`, a form that was sent after the session had ended can be sent again. Raises Forbidden
    below the least role, Refused with 403 for a form that was not sent from our pages, and with 429 above the
    limit.
    """
    session = find_session(req, services, extends=not operation.is_background)
    is_form = req.method not in _SAFE_METHODS
    if session is None:
        resp.complete = True
        if is_form and is_from_own_page(req, services):
            _ask_after_form(req, resp, services, operation, page)
        else:
            redirect(resp, f"{SIGN_IN_PATH}?next={quote(page, safe='')}")
        return
    req.context.session = session
    req.context.caller = session.caller
    session.caller.require(operation.least_role, "use this page")
    if is_form:
        _admit_form(req, resp, services, operation, page)


def ask_to_sign_in(
    req: falcon.Request,
    resp: falcon.Response,
    services: Services,
    next_path: str,
    *,
    status: int = 200,
    account: str = "",
    complaint: str | None = None,
    unsent: Unsent | None = None,
) -> None:
    """Answer with the form to sign in, which contains `unsent` in hidden fields."""
    token = form_token(req, resp, services)
    pages.render(
        req,
        resp,
        "sign_in.html",
        status=status,
        session=None,
        csrf_token=token,
        next_path=next_path,
        account=account,
        complaint=complaint,
        unsent=unsent,
    )


def find_session(req: falcon.Request, services: Services, *, extends: bool = True) -> WebSession | None:
    """The session of the request's cookie, with the current rights of its user; None without a valid one.
    Unless it `extends` the session, the time of its last use stays."""
    secret = _secret(req, cookie_name(services.settings), SESSION)
    return _find(services.pool, secret, extends=extends) if secret else None


def set_session(resp: falcon.Response, services: Services, secret: str) -> None:
    """Set the cookie with the secret of the session, until the browser closes."""
    set_page_cookie(resp, services.settings, cookie_name(services.settings), secret)
    unset_page_cookie(resp, services.settings, form_cookie_name(services.settings))


def clear_session(resp: falcon.Response, services: Services) -> None:
    unset_page_cookie(resp, services.settings, cookie_name(services.settings))


def form_token(req: falcon.Request, resp: falcon.Response, services: Services) -> str:
    """The token for a form that is shown before sign-in; sets the cookie that it belongs to."""
    name = form_cookie_name(services.settings)
    secret = _secret(req, name, FORM)
    if secret is None:
        secret = make_token(FORM)
        set_page_cookie(resp, services.settings, name, secret)
    return token_for(secret)


def expected_form_token(req: falcon.Request, services: Services) -> str | None:
    """The token that a form sent before sign-in must contain; None if the browser sent no cookie."""
    secret = _secret(req, form_cookie_name(services.settings), FORM)
    return token_for(secret) if secret else None


def local_path(text: str) -> str:
    """`text` if it is a path on this site, otherwise HOME_PATH, to prevent redirects to other sites."""
    return text if len(text) <= MAX_NEXT_CHARACTERS and _LOCAL_PATH.fullmatch(text) else HOME_PATH


def cookie_name(settings: Settings) -> str:
    """The name of the session cookie. Other hosts of the domain cannot set cookies with the prefix `__Host-`;
    browsers accept them only over HTTPS."""
    return "__Host-ticketing" if _is_https(settings) else "ticketing"


def form_cookie_name(settings: Settings) -> str:
    return f"{cookie_name(settings)}-form"


def _ask_after_form(
    req: falcon.Request, resp: falcon.Response, services: Services, operation: PageOperation, page: str
) -> None:
    """Ask to sign in after a form without a session. The page states whether the form can be sent again."""
    form = _read_small_form(req, operation) if operation.keeps_form else None
    unsent = unsent_form(req, services, form) if form else None
    complaint = _ENDED + (_LOST if unsent is None else _KEPT_TEXT if req.context.uploads else _KEPT)
    ask_to_sign_in(req, resp, services, local_path(page), status=403, complaint=complaint, unsent=unsent)


def _admit_form(
    req: falcon.Request, resp: falcon.Response, services: Services, operation: PageOperation, page: str
) -> None:
    """Set `req.context.form`. For a form from an earlier session, ask whether to send it again instead."""
    session, form = req.context.session, _read_form(req, operation)
    if operation.keeps_form and not has_token(form, session.csrf_token):
        unsent = unsent_form(req, services, form)
        if unsent is not None:
            resp.complete = True
            show_unsent(req, resp, unsent, local_path(page), session.csrf_token, status=403)
            return
    require_own_form(req, services, form, session.csrf_token)
    req.context.form = form
    count_action(services.pool, f"form/{session.caller.user_id}", FORMS_AN_HOUR, _TOO_MANY_FORMS)


def _read_small_form(req: falcon.Request, operation: PageOperation) -> Form | None:
    """The fields of the form; None if it has more bytes than someone without a session may send."""
    if is_multipart(req) and not 0 < (req.content_length or 0) <= MAX_FORM_BYTES:
        return None
    return _read_form(req, operation)


def _read_form(req: falcon.Request, operation: PageOperation) -> Form:
    """The fields of the form; sets `req.context.uploads` to its files, without fields left empty."""
    if not operation.file_field or not is_multipart(req):
        return read_form(req)
    limit = operation.max_body_bytes
    parts = read_parts(req, operation.file_field, limit, max_text_bytes=MAX_FORM_BYTES)
    req.context.uploads = [upload for upload in parts.files if upload.filename]
    return Form(parts.fields)


class _Row(NamedTuple):
    """The columns of the statements in sessions.sql."""

    id: str
    secret_sha256: bytes
    started_at: datetime
    user_id: str
    name: str
    role: Role
    property_ids: list[str]
    synchronous_commit: str


def _find(pool: Pool, secret: str, *, extends: bool) -> WebSession | None:
    secret_sha256 = digest(secret)
    parameters = {"digest": secret_sha256, "idle": IDLE, "absolute": ABSOLUTE}
    with pool.connection() as conn:

        def find() -> Any:
            return conn.execute(_sql["find_session"], parameters).fetchone()

        def use() -> Any:
            return conn.execute(_sql["use_session"], parameters).fetchone()

        found = read_only.run_with_fallback(use, find) if extends else find()
    row = None if found is None else _Row(*found)
    if row is None or not compare_digest(row.secret_sha256, secret_sha256):
        return None
    rights = effective_rights((row.role, row.property_ids))
    caller = Caller(
        principal_id=row.user_id,
        name=row.name,
        role=rights.role,
        auth="session",
        credential_id=row.id,
        user_id=row.user_id,
        property_ids=rights.property_ids,
    )
    return WebSession(id=row.id, started_at=row.started_at, caller=caller, csrf_token=token_for(secret))


def _secret(req: falcon.Request, name: str, prefix: str) -> str | None:
    """The value of the cookie; None if it is missing, repeated or malformed."""
    values = req.get_cookie_values(name) or []
    return values[0] if len(values) == 1 and has_form(values[0], prefix) else None


def set_page_cookie(
    resp: falcon.Response, settings: Settings, name: str, value: str, *, seconds: int | None = None
) -> None:
    """Set a cookie for the pages, for `seconds` or until the browser closes."""
    resp.set_cookie(
        name,
        value,
        path="/",
        secure=_is_https(settings),
        http_only=True,
        same_site="Lax",
        max_age=seconds,
    )


def unset_page_cookie(resp: falcon.Response, settings: Settings, name: str) -> None:
    """Delete the cookie. For `__Host-` cookies, browsers require the attributes with which they were set."""
    resp.set_cookie(
        name, "", path="/", secure=_is_https(settings), http_only=True, same_site="Lax", expires=_LONG_AGO
    )


def _is_https(settings: Settings) -> bool:
    return settings.base_url.startswith("https://")
