"""`Idempotency-Key`: a request that is sent twice is executed once and gets the same answer both times.

Before the command runs, a claim with the command's id is committed. A retry after a crash runs the command
again with the same id, so that the command recognises the events that it has already appended.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import falcon
import psycopg
import structlog
from psycopg.types.json import Jsonb

from api.http.bodies import CHUNK_BYTES, read_bytes, read_file
from api.http.context import RequestContext
from api.http.errors import Refused
from api.http.resource import JSON, Operation
from domain.errors import Invalid
from infrastructure.ids import new_id
from infrastructure.keys.vault import Vault
from infrastructure.process.failures import describe_error
from infrastructure.storage.postgres import Pool, fetch_value, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "idempotency.sql")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_METHODS = frozenset(("POST", "PATCH"))
_STORED_HEADERS = ("location", "etag", "content-type")
# Not stored, because a retry may get a different answer: after 412 and 415, if its headers differ.
_NOT_FINAL = frozenset((401, 408, 409, 412, 415, 429))
_PURGE_ONE_IN = 200
_HEADER = "Idempotency-Key"
_ENCRYPTED = b"sealed:"  # marks an encrypted body; no JSON begins with it
_PURPOSE = "kept answer"  # purpose of the encryption; with another one, stored answers could not be decrypted

log = structlog.get_logger()


def begin(pool: Pool, vault: Vault, req: falcon.Request, resp: falcon.Response, operation: Operation) -> None:
    """Claim the request's Idempotency-Key, if it has one, or copy the stored answer into `resp`.

    Raises Invalid for a malformed key, Refused if the key was used for another request (422) or the first
    request is still in progress (409).
    """
    key = req.get_header(_HEADER)
    if key is None or req.method not in _METHODS:
        return
    if not _KEY.fullmatch(key):
        raise Invalid(
            {_HEADER: ["The Idempotency-Key header must have 1 to 255 printable ASCII characters."]}
        )
    context = cast(RequestContext, req.context)
    parameters = {
        "key_id": context.caller.holder,
        "idempotency_key": key,
        "request_sha256": _request_sha256(req, operation),
        "command_id": new_id(),
    }
    with pool.connection() as conn:
        command_id: str | None = fetch_value(conn, _sql["claim"], parameters, default=None)
        stored = None if command_id else conn.execute(_sql["select_claim"], parameters).fetchone()
        if random.randrange(_PURGE_ONE_IN) == 0:  # noqa: S311 - not a secret
            conn.execute(_sql["purge"])
    if command_id:
        context.command_id = command_id
        context.is_retry = command_id != parameters["command_id"]
        context.is_claimed = True
        return
    if stored is None:  # purged between the two statements
        raise _in_progress()
    _replay(resp, vault, parameters["request_sha256"], *stored)


def finish(pool: Pool, vault: Vault, req: falcon.Request, resp: falcon.Response) -> None:
    """Store the answer for 24 hours if it is final; otherwise release the claim for a retry.

    Never fails the request. If the claim cannot be released, a retry takes it over after 10 seconds.
    """
    context = cast(RequestContext, req.context)
    if not context.is_claimed:
        return
    status = resp.status_code
    parameters = {
        "key_id": context.caller.holder,
        "idempotency_key": req.get_header(_HEADER),
        "command_id": context.command_id,
    }
    try:
        with pool.connection() as conn:
            if status >= 500 or status in _NOT_FINAL:
                conn.execute(_sql["give_up"], parameters)
            else:
                answer = {
                    "status": status,
                    "headers": Jsonb(_stored_headers(resp)),
                    "body": _stored_body(vault, resp.data, context),
                }
                conn.execute(_sql["keep_answer"], parameters | answer)
    except psycopg.Error as error:
        log.warning("answer_not_stored", request_id=context.request_id, error=describe_error(error))


def _stored_body(vault: Vault, body: bytes | None, context: RequestContext) -> bytes | None:
    """The body as it is stored: encrypted if it contains a secret."""
    if body is None or not context.answer_is_secret:
        return body
    return _ENCRYPTED + base64.b64encode(vault.encrypt(body, purpose=_PURPOSE))


def _decrypt_body(vault: Vault, body: bytes | None) -> bytes | None:
    if body is None or not bytes(body).startswith(_ENCRYPTED):
        return body
    return vault.decrypt(base64.b64decode(bytes(body).removeprefix(_ENCRYPTED)), purpose=_PURPOSE)


def _stored_headers(resp: falcon.Response) -> dict[str, str]:
    headers = {name: value for name in _STORED_HEADERS if (value := resp.get_header(name))}
    if resp.status_code >= 400:  # the body of an error contains the request's id
        headers["x-request-id"] = resp.get_header("x-request-id") or ""
    return headers


def _replay(
    resp: falcon.Response,
    vault: Vault,
    request_sha256: object,
    stored_sha256: bytes,
    status: int | None,
    headers: dict[str, str],
    body: bytes | None,
) -> None:
    if stored_sha256 != request_sha256:
        raise Refused("idempotency_key_reused", "This Idempotency-Key was used for another request.")
    if status is None:
        raise _in_progress()
    resp.status = status
    resp.data = _decrypt_body(vault, body)
    for name, value in headers.items():
        resp.set_header(name, value)
    resp.set_header("Idempotent-Replayed", "true")
    resp.complete = True


def _in_progress() -> Refused:
    message = "The first request with this Idempotency-Key is still in progress. Try again."
    return Refused("idempotency_in_progress", message, headers={"Retry-After": "1"})


def _request_sha256(req: falcon.Request, operation: Operation) -> bytes:
    """The hash of method, path, query and body. Requests with the same hash count as the same request."""
    digest = hashlib.sha256()
    for part in (req.method, req.path, req.query_string):
        digest.update(part.encode(errors="replace") + b"\0")
    if operation.body_media_type == JSON:
        digest.update(read_bytes(req, operation.max_body_bytes))
    else:
        for piece in _without_boundary(req, operation):
            digest.update(piece)
    return digest.digest()


def _without_boundary(req: falcon.Request, operation: Operation) -> Iterator[bytes]:
    """A multipart body in pieces, without its boundary, which clients choose at random for each attempt."""
    body = read_file(req, operation.max_body_bytes)
    _, _, boundary = (req.content_type or "").partition("boundary=")
    left_out = boundary.partition(";")[0].strip('" ').encode(errors="replace")
    pieces = iter(partial(body.read, CHUNK_BYTES), b"")
    return without(pieces, left_out) if left_out else pieces


def without(pieces: Iterable[bytes], left_out: bytes) -> Iterator[bytes]:
    """The bytes of the pieces without every `left_out`, also where it extends over two pieces."""
    rest = b""
    for piece in pieces:
        *kept, rest = (rest + piece).split(left_out)
        yield from kept
        undecided = min(len(left_out) - 1, len(rest))  # bytes that may be the beginning of `left_out`
        yield rest[: len(rest) - undecided]
        rest = rest[len(rest) - undecided :]
    yield rest
