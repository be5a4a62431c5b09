"""Forms: reading their fields, and knowing that they are ours.

Two walls against requests forged by another site (OWASP ASVS 5, 3.5.1): the browser says where a request
comes from, and every form carries a token that only pages shown to this very browser hold.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hmac import compare_digest
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

import falcon

from api.bodies import read_bytes
from api.errors import Refused
from api.services import Services

MAX_FORM_BYTES = 1_048_576  # room for the longest text: a character takes up to twelve, as in %F0%9F%94%A7
MAX_FIELDS = 500
TOKEN_FIELD = "csrf_token"  # noqa: S105 - the name of a field
_FORM = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form, each with the values it was sent with."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def value(self, name: str) -> str:
        """The field's value as typed, "" when it was not sent; the first of several."""
        return self._values.get(name, [""])[0]

    def text(self, name: str) -> str:
        """The field's value without spaces around it."""
        return self.value(name).strip()

    def prose(self, name: str) -> str:
        """The field's value with plain line ends; browsers send each as carriage return and line feed."""
        return self.value(name).replace("\r\n", "\n")

    def has(self, name: str) -> bool:
        """Whether the field was sent at all. Of check boxes our pages send an empty value before the ticked
        ones, so that a list with nothing ticked is not taken for one that was not there."""
        return name in self._values

    def values(self, name: str) -> list[str]:
        """Every value of a field that may be sent several times."""
        return self._values.get(name, [])

    def lines(self, name: str) -> list[str]:
        """What was ticked in a list of check boxes, or typed one a line; without repeats and empty ones."""
        lines = [line.strip() for value in self.values(name) for line in value.splitlines()]
        return list(dict.fromkeys(line for line in lines if line))

    def with_lines(self, name: str, meanings: Mapping[str, str]) -> Form:
        """The form with each line of a field replaced by what it means; others stay."""
        if not self.has(name):
            return self
        lines = [meanings.get(line, line) for line in self.lines(name)]
        return Form([*(pair for pair in self.pairs() if pair[0] != name), (name, "\n".join(lines))])

    def pairs(self) -> list[tuple[str, str]]:
        """Every field with every value."""
        return [(name, value) for name, values in self._values.items() for value in values]


def read_form(req: falcon.Request, *, max_bytes: int = MAX_FORM_BYTES) -> Form:
    """The fields of the body, or Refused with 415, 413 or 400."""
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise Refused("unsupported_media_type", f"Send the form as {_FORM}.")
    raw = read_bytes(req, max_bytes)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError:  # also what is not ASCII, or not UTF-8 behind its percent signs
        raise Refused("bad_request", "The form is not valid.") from None
    if any("\0" in text for pair in pairs for text in pair):
        raise Refused("bad_request", "The form holds a NUL character.")
    return Form(pairs)


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
