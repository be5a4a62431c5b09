"""Answers errors outside of the application, such as malformed HTTP, in the envelope of the API."""

from __future__ import annotations

import re
import socket
from http import HTTPStatus
from typing import Any

import structlog
from gunicorn.http import errors as http_errors

from api.http.errors import INTERNAL_ERROR, STATUS_OF, error_body
from infrastructure.ids import new_id

# A host and port, perhaps empty (RFC 9110 section 7.2, RFC 3986 section 3.2).
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


class NoHost(http_errors.ParseException):  # type: ignore[misc]
    """An HTTP/1.1 request has no Host header, or one that is not a host (RFC 9112 section 3.2)."""


_CODES: tuple[tuple[type[Exception], str, str], ...] = (
    (NoHost, "bad_request", "The request needs a Host header that names a host."),
    (http_errors.LimitRequestLine, "uri_too_long", "The address of the request is too long."),
    (http_errors.LimitRequestHeaders, "headers_too_large", "The headers of the request are too large."),
    (http_errors.UnsupportedTransferCoding, "not_implemented", "That transfer coding is not supported."),
    (http_errors.ParseException, "bad_request", "The request is not valid HTTP."),
)

log = structlog.get_logger()


def require_host(req: Any) -> None:
    """Raise NoHost if the parsed request has no valid Host header; gunicorn refuses several of them."""
    hosts = [value for name, value in req.headers if name == "HOST"]
    if (not hosts and req.version >= (1, 1)) or not all(map(_HOST.fullmatch, hosts)):
        raise NoHost


def answer_error(client: socket.socket, error: Exception) -> None:
    """Send the answer to an error, and log it."""
    code, message = "internal_error", INTERNAL_ERROR
    for kind, code_of_kind, message_of_kind in _CODES:
        if isinstance(error, kind):
            code, message = code_of_kind, message_of_kind
            break
    request_id = new_id()
    if code == "internal_error":
        log.error("server_failed", request_id=request_id, exc_info=error)
    else:
        log.info("request_refused", request_id=request_id, error=code, reason=type(error).__name__)
    try:
        client.sendall(_answer(code, message, request_id))
    except OSError:
        log.debug("client_gone", request_id=request_id)


def _answer(code: str, message: str, request_id: str) -> bytes:
    status = HTTPStatus(STATUS_OF[code])
    body = error_body(code, message, None, request_id)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-Id: {request_id}\r\n\r\n"
    )
    return head.encode() + body
