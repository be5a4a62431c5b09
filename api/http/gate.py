"""What every request passes before its resource, and every answer after it.

The order is the contract's: route (404), method (405), key (401), rate limit (429), scope (403), then
the idempotency claim and the resource. It works on the matched resource, never on the path's text;
that decides only in which form an error is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any, cast

import falcon
import structlog

from api.http import idempotency
from api.http.access_notes import Note
from api.http.context import RequestContext, client_address
from api.http.errors import Refused, RenderFailure, not_found
from api.http.queries import NoQuery, pairs_of, read_query
from api.http.redirects import redirect
from api.http.resource import Operation, Resource, Verb
from api.http.services import Services
from infrastructure.ids import new_id
from infrastructure.process.deadlines import allow_last_step, lift_request_limit, limit_request
from infrastructure.process.metrics import count_request

# Every address of ours is made of such segments; `//`, a trailing slash and `..` are not.
_PATH = re.compile(r"(?:/\.well-known)?(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_REQUEST_ID = _ID
FULL_DISK_RETRY_SECONDS = 5
_FILTER_CHARACTERS = 100  # of a parameter, in the record of an audit that was read
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}  # RFC 6797; where we are known by https

log = structlog.get_logger()


class Gate:
    """Falcon middleware; the only one.

    `failures` maps the beginnings of paths to the functions that render errors there; elsewhere an error is
    the envelope of the API reference. Pages for people live under `pages`.
    """

    def __init__(
        self, services: Services, failures: Mapping[str, RenderFailure], pages: tuple[str, ...] = ()
    ) -> None:
        self._services = services
        self._headers = _HEADERS | (_HTTPS_ONLY if services.settings.base_url.startswith("https://") else {})
        self._pool = services.pool
        self._failures = failures
        self._pages = pages

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = cast(RequestContext, req.context)
        context.started_at = perf_counter()
        limit_request()
        context.remote_addr = client_address(
            req.env.get("REMOTE_ADDR"),
            req.env.get("HTTP_X_FORWARDED_FOR"),
            self._services.settings.trusted_proxies,
        )
        given = req.get_header("X-Request-Id")
        context.request_id = given if given and _REQUEST_ID.fullmatch(given) else new_id()
        resp.set_headers(self._headers)
        resp.set_header("X-Request-Id", context.request_id)
        for beginning, render in self._failures.items():
            if req.path.startswith(beginning):
                context.render_failure = render
                break
        if not _PATH.fullmatch(req.path):
            self._lead_to_page(req, resp)

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: Resource, params: dict[str, Any]
    ) -> None:
        for name, value in params.items():
            if name.endswith("_id") and not _ID.fullmatch(value):
                raise not_found()
        req.context.subject_id = next((value for name, value in params.items() if name.endswith("_id")), None)
        if req.method == "OPTIONS":
            return
        verb = resource.operation(req.method)
        if verb is None:
            resource.refuse_method(req, resp, params)
            return
        resource.admit(req, resp, verb, params)
        if resp.complete:
            return
        endpoint = verb if isinstance(verb, Operation) and not verb.public else None
        if endpoint is not None:
            _require_known_parameters(req, endpoint)
        self._require_disk_space(req, verb)
        if endpoint is not None:
            idempotency.begin(self._pool, self._services.vault, req, resp, endpoint)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool
    ) -> None:
        """Run the steps after an answer. The answer is decided: a step that fails is only logged."""
        context = cast(RequestContext, req.context)
        for step in (self._keep_answer, _close_body, _count, _log, self._note_access):
            try:
                step(req, resp, resource, context)
            except Exception as error:
                name = step.__name__.lstrip("_")
                log.error("after_answer_failed", step=name, request_id=context.request_id, exc_info=error)

    def _keep_answer(
        self, req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
    ) -> None:
        """Store the answer for retries with the same Idempotency-Key."""
        try:
            allow_last_step()
            idempotency.finish(self._pool, self._services.vault, req, resp)
        finally:
            lift_request_limit()  # an answer that is streamed reads on, page by page

    def _note_access(
        self, req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
    ) -> None:
        verb = resource.operation(req.method) if isinstance(resource, Resource) else None
        if verb is not None and (note := _note_of(req, resp, context, verb)):
            self._services.access_notes.leave(note)

    def _require_disk_space(self, req: falcon.Request, verb: Verb) -> None:
        """Refuse writes while PostgreSQL's disk is nearly full: on a full disk PostgreSQL ends, and reads
        fail too."""
        is_read = req.method in ("GET", "HEAD") or verb.changes_nothing
        if not is_read and self._services.disk_space.is_low():
            message = "The disk is nearly full: nothing can be changed until there is space. Try again later."
            raise Refused("unavailable", message, headers={"Retry-After": str(FULL_DISK_RETRY_SECONDS)})

    def _lead_to_page(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Redirect from the address of a page with a slash at its end, as people type it; any other spelling
        is not found."""
        path = req.path.removesuffix("/")
        if (
            req.method not in ("GET", "HEAD")
            or not req.path.startswith(self._pages)
            or not _PATH.fullmatch(path)
        ):
            raise not_found()
        redirect(resp, f"{path}?{req.query_string}" if req.query_string else path)
        resp.complete = True


def _require_known_parameters(req: falcon.Request, operation: Operation) -> None:
    """An operation that declares no query takes none. Asked here, before a retry key is claimed, because
    no resource asks for it; the answer tells nothing of what there is."""
    if operation.query is None and req.query_string and req.method not in ("GET", "HEAD"):
        read_query(req, NoQuery)


def _close_body(
    req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
) -> None:
    if context.body_file is not None:
        context.body_file.close()


def _count(req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext) -> None:
    """Count the answer, by the template of its address and how it ended."""
    seconds = perf_counter() - context.started_at
    count_request(req.method, req.uri_template or "none", resp.status_code, seconds)


def _log(req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext) -> None:
    """Write the one line of the log that each request has."""
    seconds = perf_counter() - context.started_at
    caller = getattr(context, "caller", None)
    log.info(
        "request",
        request_id=context.request_id,
        method=req.method,
        route=req.uri_template or "none",
        status=resp.status_code,
        error=context.error_code,
        milliseconds=round(seconds * 1_000, 2),
        key_id=caller.credential_id if caller is not None else None,
    )


def _note_of(req: falcon.Request, resp: falcon.Response, context: RequestContext, verb: Verb) -> Note | None:
    """What is to be recorded of a request that has been answered; mostly nothing.

    A write that was refused to a caller we know, as forbidden or not found; and the operations whose reads
    are recorded, answered or refused.
    """
    if getattr(context, "caller", None) is None:
        return None
    is_audit = verb.is_recorded
    is_write = req.method not in ("GET", "HEAD")
    if resp.status_code in (403, 404) and (is_write or is_audit):
        return Note(
            context=context.command(),
            method=req.method,
            route=req.uri_template or "",
            code=context.error_code or str(resp.status_code),
            subject_id=context.subject_id,
        )
    if is_audit and resp.status_code == 200:
        filters = {name: text[:_FILTER_CHARACTERS] for name, text in pairs_of(req.query_string)}
        for paging in ("cursor", "page", "per_page"):
            filters.pop(paging, None)
        return Note(context=context.command(), method="GET", route=req.uri_template or "", filters=filters)
    return None
