"""Reads request bodies and writes response envelopes."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from typing import IO, Any, TypeVar

import falcon
import msgspec
from gunicorn.http.errors import ParseException

from api.http.errors import Refused
from api.http.resource import MAX_BODY_BYTES
from api.http.sent_values import SentValues
from infrastructure.storage.attachment_store import disk_errors

T = TypeVar("T", bound=msgspec.Struct)

MAX_DEPTH = 32
MAX_DIGITS = 100
CHUNK_BYTES = 65_536
MEMORY_BYTES = 65_536  # of each upload; the rest is in a temporary file
CLOSE_CONNECTION = {"Connection": "close"}
_JSON_CONTENT_TYPES = frozenset(("application/json", "application/json; charset=utf-8"))

encode = msgspec.json.Encoder().encode


class NotJson(ValueError):
    """The body is not acceptable JSON. The message gives the reason."""


def read_object(req: falcon.Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The body as a JSON object. Raises Refused with 415, 413 or 400.

    Stricter than Python's parser: UTF-8 only, no duplicate keys, no NaN, at most MAX_DEPTH levels of nesting.
    Strings are not trimmed yet.
    """
    _require_json(req)
    try:
        return _parse(read_bytes(req, limit))
    except NotJson as error:
        raise Refused("invalid_json", str(error)) from None


def read_values(req: falcon.Request, kind: type[T]) -> SentValues[T]:
    """The body, a JSON object, as the values of a command. Raises Refused as `read_object` does."""
    return SentValues(read_object(req), kind)


def respond(
    resp: falcon.Response, data: object, *, status: int = 200, meta: dict[str, Any] | None = None
) -> None:
    """Answer with `data` in the envelope of the API reference."""
    envelope = {"status": "success", "data": data}
    if meta is not None:
        envelope["meta"] = meta
    resp.status = status
    resp.data = encode(envelope)


def read_bytes(req: falcon.Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises Refused with 413 if it has more than `limit` bytes.

    The body is stored in the context, because the idempotency check and the resource both read it.
    """
    body: bytes | None = getattr(req.context, "body", None)
    if body is None:
        body = b"".join(_chunks(req, limit))
        req.context.body = body
    return body


def read_file(req: falcon.Request, limit: int) -> IO[bytes]:
    """The whole body as a temporary file, positioned at its start, for uploads.

    Raises Refused with 413 over `limit` bytes, AttachmentsUnavailable if the disk is full.
    """
    file: IO[bytes] | None = getattr(req.context, "body_file", None)
    if file is None:
        file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - the gate closes it
        with disk_errors():
            for chunk in _chunks(req, limit):
                file.write(chunk)
            file.flush()
        req.context.body_file = file
    file.seek(0)
    return file


def require_plain(req: falcon.Request) -> None:
    """Raise Refused with 415 for a compressed body. The answer has Accept-Encoding (RFC 9110, 12.5.3)."""
    coding = req.get_header("Content-Encoding")
    if coding is not None and coding.strip().lower() != "identity":
        raise Refused(
            "unsupported_media_type",
            "Send the body uncompressed, without a Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )


def _require_json(req: falcon.Request) -> None:
    require_plain(req)
    given = req.content_type
    if given is None:
        if req.content_length or req.env.get("HTTP_TRANSFER_ENCODING"):
            raise _unsupported()
        return
    if given in _JSON_CONTENT_TYPES:
        return
    media_type, _, parameter = given.lower().partition(";")
    if media_type.strip() != "application/json" or parameter.strip() not in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    ):
        raise _unsupported()


def _unsupported() -> Refused:
    return Refused(
        "unsupported_media_type", "Send the body as application/json in UTF-8, with that Content-Type."
    )


def _chunks(req: falcon.Request, limit: int) -> Iterator[bytes]:
    """The body in chunks. Checks a declared length before it reads."""
    length = req.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    is_chunked = length is None and req.env.get("HTTP_TRANSFER_ENCODING") is not None
    remaining = limit + 1 if is_chunked else length or 0
    taken = 0
    while remaining:
        chunk = _read(req, min(remaining, CHUNK_BYTES))
        if not chunk:
            if not is_chunked:
                raise Refused(
                    "bad_request", "The body ended before its Content-Length.", headers=CLOSE_CONNECTION
                )
            return
        remaining -= len(chunk)
        taken += len(chunk)
        if taken > limit:
            raise _too_large(limit)
        yield chunk


def _read(req: falcon.Request, size: int) -> bytes:
    """Read from the stream. Raises Refused for a body that is incomplete, badly framed or too slow."""
    try:
        return req.stream.read(size)
    except (OSError, ParseException):
        message = "The body could not be read: it is incomplete, arrived too slowly or is badly framed."
        raise Refused("bad_request", message, headers=CLOSE_CONNECTION) from None


def _too_large(limit: int) -> Refused:
    message = f"The body may not be larger than {limit:,} bytes."
    return Refused("payload_too_large", message, headers=CLOSE_CONNECTION)


def _parse(raw: bytes) -> dict[str, Any]:
    if not raw:
        raise NotJson("The body is empty; it must be a JSON object.")
    try:
        parsed = _decoder.decode(raw.decode())
    except UnicodeDecodeError:
        raise NotJson("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"The body is not valid JSON: line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise NotJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    if not isinstance(parsed, dict):
        raise NotJson("The body must be a JSON object.")
    if _is_deeper(parsed, MAX_DEPTH):
        raise NotJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
    return parsed


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return not levels or any(_is_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return not levels or any(_is_deeper(item, levels - 1) for item in value)
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("An object in the body has the same key twice.")
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise NotJson(f"A number in the body has more than {MAX_DIGITS} digits.")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJson("A number in the body is out of range.")
    return number


def _constant(name: str) -> float:
    raise NotJson(f"{name} is not JSON.")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
