"""The errors of the client."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class TicketingError(Exception):
    """The base class of all errors of this client."""


class Unanswered(TicketingError):
    """No answer arrived in time, after all retries. A write may have been made."""


class ApiError(TicketingError):
    """The API refused the request. `details` maps the dotted names of bad fields to messages."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, list[str]] | None = None,
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.request_id = request_id
        self.headers = dict(headers or {})


class NotFound(ApiError):
    """The object does not exist, or the caller may not see it (404)."""


class Forbidden(ApiError):
    """The role or the scopes of the key do not allow the request (403)."""


class Unauthenticated(ApiError):
    """The key is missing, unknown, expired or revoked (401)."""


class Conflict(ApiError):
    """The present state does not allow the request (409)."""


class PreconditionFailed(ApiError):
    """The object has another version than `if_match` names (412)."""


class Invalid(ApiError):
    """Fields are wrong (422); see `details`."""


class RateLimited(ApiError):
    """The key has used up its requests of this hour (429)."""


class Unavailable(ApiError):
    """The service is not available (502, 503, 504), after all retries."""


_KINDS: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    422: Invalid,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class _Body(msgspec.Struct):
    code: str = "unknown"
    message: str = ""
    details: dict[str, list[str]] | None = None
    request_id: str | None = None


class _Envelope(msgspec.Struct):
    error: _Body


_decode = msgspec.json.Decoder(_Envelope).decode


def make_error(status: int, content: bytes, headers: Mapping[str, str]) -> ApiError:
    """The error of an answer. A proxy in front of the API may answer without the envelope."""
    try:
        body = _decode(content).error
    except msgspec.DecodeError:
        body = _Body(message=content[:200].decode(errors="replace"))
    kind = _KINDS.get(status, ApiError)
    return kind(
        status, body.code, body.message, details=body.details, request_id=body.request_id, headers=headers
    )
