"""Protection of forms against requests forged by another site (OWASP ASVS 5, 3.5.1).

The browser says where a request comes from, and every form carries a token that only pages shown to this
browser hold.
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
    """The token of every form shown under that secret of the browser's. It does not give the secret away."""
    return hmac.new(secret.encode(), b"form token", "sha256").hexdigest()


def require_own_form(req: falcon.Request, services: Services, form: Form, token: str) -> None:
    """Refused with 403 unless the request comes from a page of ours and carries the right token."""
    _require_same_origin(req, services)
    if not has_token(form, token):
        _refuse()


def has_token(form: Form, token: str) -> bool:
    return compare_digest(form.value(TOKEN_FIELD).encode(), token.encode())


def is_from_own_page(req: falcon.Request, services: Services) -> bool:
    """Whether the browser itself says so. A request that says nothing may come from anywhere."""
    site, origin = req.get_header("Sec-Fetch-Site"), req.get_header("Origin")
    if site is not None:
        return site == "same-origin"
    return origin is not None and origin in _own_origins(req, services)


def _require_same_origin(req: falcon.Request, services: Services) -> None:
    """Sec-Fetch-Site where the browser sends it, else Origin; a client that sends neither is no browser,
    and what it lacks is the token."""
    says_something = req.get_header("Sec-Fetch-Site") or req.get_header("Origin")
    if says_something is not None and not is_from_own_page(req, services):
        _refuse()


def _own_origins(req: falcon.Request, services: Services) -> set[str]:
    """Ours as configured, and as the browser just called it, such as localhost for 127.0.0.1."""
    base = urlsplit(services.settings.base_url)
    return {f"{base.scheme}://{base.netloc}", f"{base.scheme}://{req.get_header('Host') or ''}"}


def _refuse() -> NoReturn:
    message = "This form is no longer valid, or did not come from a page of ours. Open the page again."
    raise Refused("forbidden", message)
