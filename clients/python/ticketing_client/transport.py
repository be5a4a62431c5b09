"""Sends calls with httpx, synchronously or asynchronously, and repeats them where that is safe.

Every POST and PATCH has an Idempotency-Key, so it may be sent again: the API executes it once. GET, PUT and
DELETE may be repeated by their definition (RFC 9110, 9.2.2).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

import httpx
import msgspec

from ticketing_client.calls import Answer, Call, Pagination
from ticketing_client.errors import Unanswered, make_error
from ticketing_client.retries import Attempts, Retries, is_worth_repeating

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0  # of one attempt; long polls need `wait` seconds and some more
KEY_HEADER = "Idempotency-Key"
DEFAULT_RETRIES = Retries()


class _Meta(msgspec.Struct):
    pagination: Pagination | None = None


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    meta: _Meta | None = None


class _Sent:
    """One call on its way: its request and its attempts."""

    def __init__(self, call: Call[Any], limits: Retries) -> None:
        self.call = call
        self._attempts = Attempts(limits)
        self._may_be_done = False  # an attempt was sent, and no answer arrived
        headers = dict(call.headers)
        if call.method in ("POST", "PATCH"):
            headers.setdefault(KEY_HEADER, str(uuid4()))
        content = call.content()
        if content is not None:
            headers["Content-Type"] = "application/json"
        self.request: dict[str, Any] = {
            "method": call.method,
            "url": call.path,
            "params": call.parameters(),
            "headers": headers,
            "content": content,
            "files": {name: (one.filename, one.content, one.content_type) for name, one in call.files.items()}
            or None,
        }

    def wait_after_loss(self, error: httpx.TransportError) -> float:
        """The wait before the next attempt, after one without an answer. Raises Unanswered at the end."""
        self._may_be_done = True
        seconds = self._attempts.wait_seconds()
        if seconds is None:
            raise Unanswered(f"{self.call.method} {self.call.path}: {error!r}") from error
        return seconds

    def read(self, response: httpx.Response) -> Answer[Any] | float:
        """The answer, or the wait before the next attempt. Raises ApiError."""
        status, content, headers = response.status_code, response.content, response.headers
        if status == 304 or 200 <= status < 300:
            return _read_answer(self.call, status, content, headers)
        if status == 404 and self.call.method == "DELETE" and self._may_be_done:
            return Answer(data=None, status=200, headers=headers)  # deleted by an attempt before
        error = make_error(status, content, headers)
        seconds = self._attempts.wait_seconds(headers) if is_worth_repeating(error) else None
        if seconds is None:
            raise error
        return seconds


def _read_answer(call: Call[Any], status: int, content: bytes, headers: httpx.Headers) -> Answer[Any]:
    if status == 304:
        return Answer(data=None, status=status, headers=headers)
    if call.answer is bytes:
        return Answer(data=content, status=status, headers=headers)
    if not call.has_envelope:
        return Answer(data=msgspec.json.decode(content, type=call.answer), status=status, headers=headers)
    envelope = msgspec.json.decode(content, type=_Envelope)
    data = msgspec.json.decode(envelope.data, type=call.answer)
    pagination = envelope.meta.pagination if envelope.meta else None
    return Answer(data=data, status=status, headers=headers, pagination=pagination)


def _next_call(call: Call[Any], answer: Answer[Any]) -> Call[Any] | None:
    """The call of the page after this one, or None."""
    address = answer.pagination.links.get("next") if answer.pagination else None
    if address is None:
        return None
    return msgspec.structs.replace(call, query=dict(httpx.URL(address).params))


def _options(base_url: str, key: str, others: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "User-Agent": "ticketing-client/0.1.0"}
    return {"base_url": base_url, "headers": headers, "timeout": TIMEOUT_SECONDS, **others}


class Transport:
    """Sends calls synchronously. `others` are options of httpx.Client. Threads may share one."""

    def __init__(self, base_url: str, key: str, *, retries: Retries = DEFAULT_RETRIES, **others: Any) -> None:
        self._http = httpx.Client(**_options(base_url, key, others))
        self._retries = retries

    def send(self, call: Call[T]) -> Answer[T]:
        """Return the answer. Raises ApiError or Unanswered after the last attempt."""
        sent = _Sent(call, self._retries)
        while True:
            try:
                outcome = sent.read(self._http.request(**sent.request))
            except httpx.TransportError as error:
                outcome = sent.wait_after_loss(error)
            if isinstance(outcome, Answer):
                return outcome
            time.sleep(outcome)

    def items(self, call: Call[list[T]]) -> Iterator[T]:
        """Yield the items of a list, page by page, from the page that the call names."""
        following: Call[list[T]] | None = call
        while following is not None:
            answer = self.send(following)
            yield from answer.data
            following = _next_call(following, answer)

    def stream(self, call: Call[bytes]) -> Iterator[bytes]:
        """Yield the bytes of an answer as they arrive, for answers of any length. It is not repeated: raises
        ApiError or httpx.TransportError."""
        request = _Sent(call, self._retries).request
        with self._http.stream(**request) as response:
            if not response.is_success:
                raise make_error(response.status_code, response.read(), response.headers)
            yield from response.iter_bytes()

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


class AsyncTransport:
    """Sends calls asynchronously. `others` are options of httpx.AsyncClient."""

    def __init__(self, base_url: str, key: str, *, retries: Retries = DEFAULT_RETRIES, **others: Any) -> None:
        self._http = httpx.AsyncClient(**_options(base_url, key, others))
        self._retries = retries

    async def send(self, call: Call[T]) -> Answer[T]:
        """Return the answer. Raises ApiError or Unanswered after the last attempt."""
        sent = _Sent(call, self._retries)
        while True:
            try:
                outcome = sent.read(await self._http.request(**sent.request))
            except httpx.TransportError as error:
                outcome = sent.wait_after_loss(error)
            if isinstance(outcome, Answer):
                return outcome
            await asyncio.sleep(outcome)

    async def items(self, call: Call[list[T]]) -> AsyncIterator[T]:
        """Yield the items of a list, page by page, from the page that the call names."""
        following: Call[list[T]] | None = call
        while following is not None:
            answer = await self.send(following)
            for item in answer.data:
                yield item
            following = _next_call(following, answer)

    async def stream(self, call: Call[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of an answer as they arrive; see Transport.stream."""
        request = _Sent(call, self._retries).request
        async with self._http.stream(**request) as response:
            if not response.is_success:
                raise make_error(response.status_code, await response.aread(), response.headers)
            async for piece in response.aiter_bytes():
                yield piece

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self.close()
