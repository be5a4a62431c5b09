"""Turns refusals and failures into the error envelope of the API reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import falcon
import msgspec
import psycopg
import psycopg_pool
import structlog

from api.http.error_size import shorten_details, shorten_text
from domain.errors import Details, DomainError
from infrastructure.process.failures import describe_error
from infrastructure.storage.attachment_store import AttachmentsUnavailable
from infrastructure.storage.outcomes import may_have_changed

STATUS_OF: dict[str, int] = {
    "bad_request": 400,
    "invalid_json": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "insufficient_scope": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "invalid_transition": 409,  # reserved, not used: every status may follow every other
    "idempotency_in_progress": 409,
    "precondition_failed": 412,
    "payload_too_large": 413,
    "uri_too_long": 414,
    "unsupported_media_type": 415,
    "validation_error": 422,
    "idempotency_key_reused": 422,
    "rate_limited": 429,
    "headers_too_large": 431,
    "internal_error": 500,
    "not_implemented": 501,
    "unavailable": 503,
}
_CODE_OF = {status: code for code, status in reversed(STATUS_OF.items())}
UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg_pool.PoolClosed,
    AttachmentsUnavailable,
)
_SAFE = ("GET", "HEAD", "OPTIONS")
NOTHING_HERE = "There is nothing at this address. /docs lists all addresses."
READ_ONLY = "The database is read-only or in recovery at the moment."
INTERNAL_ERROR = "The server failed to handle the request. The error has been logged."
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error, for the function that renders it."""

    status: int
    code: str
    message: str
    details: Details | None = None
    request_id: str | None = None


RenderFailure = Callable[[falcon.Request, falcon.Response, Failure], None]


class Refused(Exception):
    """The HTTP layer refuses the request. `code` is a key of STATUS_OF; `headers` are added to the answer."""

    def __init__(
        self, code: str, message: str, *, details: Details | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        self.headers = headers


def not_found() -> Refused:
    return Refused("not_found", NOTHING_HERE)


def error_body(code: str, message: str, details: Details | None, request_id: str | None) -> bytes:
    """The error envelope as bytes."""
    error = {"code": code, "message": message, "details": details or {}, "request_id": request_id}
    return _encode({"status": "error", "error": error})


def fail(
    req: falcon.Request,
    resp: falcon.Response,
    code: str,
    message: str,
    *,
    details: Details | None = None,
    headers: Mapping[str, str] = {},
) -> None:
    """Replace the contents of `resp` by this error.

    Uses the envelope, unless the gate has set another `render_failure` for the path or `render_for_browser`.
    Long messages and details are cut (api/http/error_size.py).
    """
    message = shorten_text(message)
    details = shorten_details(details) if details else None
    for name in ("ETag", "Location", "Content-Disposition"):
        resp.delete_header(name)
    resp.status = STATUS_OF[code]
    resp.content_type = falcon.MEDIA_JSON
    resp.text = resp.stream = None
    request_id = getattr(req.context, "request_id", None)
    resp.data = error_body(code, message, details, request_id)
    req.context.error_code = code
    for name, value in headers.items():
        resp.set_header(name, value)
    render: RenderFailure | None = getattr(req.context, "render_failure", None)
    render = render or getattr(req.context, "render_for_browser", None)
    if render is not None:
        failure = Failure(
            status=STATUS_OF[code], code=code, message=message, details=details, request_id=request_id
        )
        render(req, resp, failure)


def add_error_handlers(app: falcon.App[Any, Any]) -> None:
    """Make `app` answer every error in the envelope."""
    app.add_error_handler(Exception, _on_unexpected_error)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(UNAVAILABLE, _on_unavailable)
    app.add_error_handler(DomainError, _on_domain_error)
    app.add_error_handler(Refused, _on_refused)


def _on_refused(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    is_write = error.code == "unavailable" and req.method not in _SAFE
    message = f"{error} {_advice(req)}" if is_write else str(error)
    fail(req, resp, error.code, message, details=error.details, headers=error.headers)


def _on_domain_error(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    fail(req, resp, error.code, str(error), details=error.details)


def _on_http_error(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    """Answer errors that Falcon raises, such as an unknown route or a malformed multipart body."""
    code = _CODE_OF.get(error.status_code, "bad_request" if error.status_code < 500 else "internal_error")
    message = NOTHING_HERE if code == "not_found" else error.description or f"{error.title}."
    fail(req, resp, code, message, headers=dict(error.headers or {}))


def _on_unavailable(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    log.warning(
        "unavailable",
        request_id=getattr(req.context, "request_id", None),
        error=type(error).__name__,
        sqlstate=getattr(error, "sqlstate", None),
        reason=str(error) if isinstance(error, AttachmentsUnavailable) else describe_error(error),
    )
    is_read_only = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
    reason = READ_ONLY if is_read_only else "The service cannot reach its storage at the moment."
    fail(req, resp, "unavailable", f"{reason} {_advice(req)}", headers={"Retry-After": "1"})


def _on_unexpected_error(req: falcon.Request, resp: falcon.Response, error: Any, params: Any) -> None:
    log.error("request_failed", request_id=getattr(req.context, "request_id", None), exc_info=error)
    message = f"{INTERNAL_ERROR} {_advice(req)}" if may_have_changed() else INTERNAL_ERROR
    fail(req, resp, "internal_error", message)


def _advice(req: falcon.Request) -> str:
    """What to do after a failure. For a write this depends on whether it may have been made, by this request
    or by the one that it repeats."""
    if req.method in _SAFE:
        return "Try again."
    is_api = getattr(req.context, "render_failure", None) is None
    has_key = req.get_header("Idempotency-Key") is not None
    if not may_have_changed() and not getattr(req.context, "is_retry", False):
        if not is_api:
            return "Nothing was changed. Try again."
        if has_key:
            return "Nothing was changed. Try again with the same Idempotency-Key."
        return (
            "Nothing was changed. Try again. With an Idempotency-Key, a request whose outcome is unknown can"
            " be repeated safely."
        )
    if not is_api:
        next_step = "Check that before you send it again."
    elif has_key:
        next_step = "Send the request again with the same Idempotency-Key."
    else:
        next_step = "Read the object to find out. With an Idempotency-Key you could send the request again."
    return f"It is unknown whether the change was made. {next_step}"
