"""Protection against cross-site request forgery (OWASP ASVS 5, 3.5.1).

Checks the origin that the browser sends, and the token in each form, which only pages shown to this browser
contain.
"""

from __future__ import annotations

import hmac
from hmac import compare_digest
from typing import NoReturn
from urllib.parse import urlsplit

import falcon

from api.http.errors import Refused
from api.http.forms import Form
from api.http.services import Services

TOKEN_FIELD = "csrf_token"  # noqa: S105 - the name of a field


def token_for(secret: str) -> str:
    """The form token for a secret in the browser's cookie. The token does not reveal the secret."""
    return hmac.new(secret.encode(), b"form token", "sha256").hexdigest()


def require_own_form(req: falcon.Request, services: Services, form: Form, token: str) -> None:
    """Raise Refused with 403 unless the form comes from one of our pages and contains this token."""
    _require_same_origin(req, services)
    if not has_token(form, token):
        _refuse()


def has_token(form: Form, token: str) -> bool:
    return compare_digest(form.value(TOKEN_FIELD).encode(), token.encode())


def is_from_own_page(req: falcon.Request, services: Services) -> bool:
    """Whether the browser's headers state that one of our pages sent the request. Without headers: False."""
    site, origin = req.get_header("Sec-Fetch-Site"), req.get_header("Origin")
    if site is not None:
        return site == "same-origin"
    return origin is not None and origin in _own_origins(req, services)


def _require_same_origin(req: falcon.Request, services: Services) -> None:
    """Refuse requests from other sites, by Sec-Fetch-Site or else Origin. A client that sends neither is not
    a browser; for it the token decides."""
    stated = req.get_header("Sec-Fetch-Site") or req.get_header("Origin")
    if stated is not None and not is_from_own_page(req, services):
        _refuse()


def _own_origins(req: falcon.Request, services: Services) -> set[str]:
    """The configured origin, and the one in the Host header, such as localhost instead of 127.0.0.1."""
    base = urlsplit(services.settings.base_url)
    return {f"{base.scheme}://{base.netloc}", f"{base.scheme}://{req.get_header('Host') or ''}"}


def _refuse() -> NoReturn:
    message = "This form has expired, or was not sent from a page of this site. Open the page again."
    raise Refused("forbidden", message)
