"""The middleware that runs before and after every request.

Checks in this order: route (404), method (405), key (401), rate limit (429), scope (403), idempotency claim.
A request that is refused with 404 or 405 is counted too if it has a valid key.
The checks use the matched resource, not the path; the path only selects the format of errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any, NoReturn, cast

import falcon
import structlog

from api.http import admission, cors, idempotency, pending_changes
from api.http.access_notes import Note
from api.http.context import RequestContext, client_address
from api.http.errors import Refused, RenderFailure, not_found
from api.http.queries import NoQuery, pairs_of, read_query
from api.http.redirects import redirect
from api.http.resource import Operation, Resource, Verb
from api.http.services import Services
from infrastructure.ids import new_id
from infrastructure.process import tracing
from infrastructure.process.deadlines import allow_last_step, lift_request_limit, limit_request
from infrastructure.process.logs import write_info
from infrastructure.process.metrics import count_request
from infrastructure.storage.outcomes import forget_changes
from infrastructure.storage.replica import allow_replica, require_primary

# All paths of the application match this; paths with `//`, a trailing slash or `..` do not. Only the id of
# another system may have any characters.
_PATH = re.compile(
    r"(?:/\.well-known)?(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+|/v1/tickets/by-external-id/[^/]+/.+",
    re.ASCII | re.DOTALL,
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_REQUEST_ID = _ID
FULL_DISK_RETRY_SECONDS = 5
_FILTER_CHARACTERS = 100  # of each parameter, in the event that records a read of the audit trail
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}  # RFC 6797; sent only if BASE_URL is https

log = structlog.get_logger()


class Gate:
    """The only Falcon middleware.

    `failures` maps path prefixes to the functions that render errors below them. All other errors have the
    envelope of the API reference; those of addresses that a browser opens are rendered by `for_browsers`, if
    given. `pages` are the path prefixes of the pages for people.
    """

    def __init__(
        self,
        services: Services,
        failures: Mapping[str, RenderFailure],
        pages: tuple[str, ...] = (),
        for_browsers: RenderFailure | None = None,
    ) -> None:
        self._services = services
        self._headers = _HEADERS | (_HTTPS_ONLY if services.settings.base_url.startswith("https://") else {})
        self._pool = services.pool
        self._origins = cors.AllowedOrigins(services.pool, services.settings.cors_origins)
        self._failures = failures
        self._pages = pages
        self._for_browsers = for_browsers

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = cast(RequestContext, req.context)
        context.started_at = perf_counter()
        limit_request()
        forget_changes()
        require_primary()
        context.remote_addr = client_address(
            req.env.get("REMOTE_ADDR"),
            req.env.get("HTTP_X_FORWARDED_FOR"),
            self._services.settings.trusted_proxies,
        )
        given = req.get_header("X-Request-Id")
        context.request_id = given if given and _REQUEST_ID.fullmatch(given) else new_id()
        context.span = tracing.begin_request(req.get_header, context.request_id)
        resp.set_headers(self._headers)
        resp.set_header("X-Request-Id", context.request_id)
        for prefix, render in self._failures.items():
            if req.path.startswith(prefix):
                context.render_failure = render
                break
        else:
            context.render_for_browser = self._for_browsers if _prefers_html(req) else None
        cors.allow_origin(self._origins, req, resp)
        if not resp.complete and req.path != "/" and not _PATH.fullmatch(req.path):
            self._redirect_without_slash(req, resp)

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: Resource, params: dict[str, Any]
    ) -> None:
        for name, value in params.items():
            if name.endswith("_id") and not _ID.fullmatch(value):
                self.refuse_address(req, resp)
        req.context.subject_id = next((value for name, value in params.items() if name.endswith("_id")), None)
        if req.method == "OPTIONS":
            return
        verb = resource.operation(req.method)
        if verb is None:
            self._recognise(req, resp)
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
            if endpoint.may_lag and (req.method in ("GET", "HEAD") or resp.complete):
                allow_replica(req.context.shown_position)
                pending_changes.wait_for_earlier(req, resp, self._services)

    def refuse_address(self, req: falcon.Request, resp: falcon.Response, **params: str) -> NoReturn:
        """Raise Refused with 404. This is also the responder for addresses without a resource."""
        self._recognise(req, resp)
        raise not_found()

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool
    ) -> None:
        """Run the steps after the answer. They cannot change it: a step that fails is only logged."""
        context = cast(RequestContext, req.context)
        require_primary()
        if context.is_waiting:  # it will be run again, and has no answer yet
            lift_request_limit()
            if context.span is not None:
                context.span.leave()
            return
        for step in (
            *(self._store_answer, _close_body, _count_request, _log_request, self._note_access),
            _end_span,
        ):
            try:
                step(req, resp, resource, context)
            except Exception as error:
                name = step.__name__.lstrip("_")
                log.error("after_answer_failed", step=name, request_id=context.request_id, exc_info=error)

    def _recognise(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Count a refused request to the API, if it has a valid key. Pages and OAuth endpoints take none."""
        if req.context.render_failure is None:
            admission.recognise(self._pool, req, resp)

    def _store_answer(
        self, req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
    ) -> None:
        """Store the answer for retries with the same Idempotency-Key."""
        try:
            allow_last_step()
            idempotency.finish(self._pool, self._services.vault, req, resp)
        finally:
            lift_request_limit()  # a streamed answer is still read, batch by batch

    def _note_access(
        self, req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
    ) -> None:
        verb = resource.operation(req.method) if isinstance(resource, Resource) else None
        if verb is not None and (note := _note_of(req, resp, context, verb)):
            self._services.access_notes.add(note)

    def _require_disk_space(self, req: falcon.Request, verb: Verb) -> None:
        """Refuse writes while the disk of PostgreSQL is nearly full: on a full disk PostgreSQL stops, and
        reads fail too."""
        is_read = req.method in ("GET", "HEAD") or verb.changes_nothing
        if not is_read and self._services.disk_space.is_low():
            message = "The disk of the database is nearly full, so no changes are possible."
            raise Refused("unavailable", message, headers={"Retry-After": str(FULL_DISK_RETRY_SECONDS)})

    def _redirect_without_slash(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Redirect from a page's address with a trailing slash to the one without; raise 404 for any other
        path."""
        path = req.path.removesuffix("/")
        if (
            req.method not in ("GET", "HEAD")
            or not req.path.startswith(self._pages)
            or not _PATH.fullmatch(path)
        ):
            self.refuse_address(req, resp)
        redirect(resp, f"{path}?{req.query_string}" if req.query_string else path)
        resp.complete = True


def _prefers_html(req: falcon.Request) -> bool:
    """Whether a browser opens the address: it names HTML, and prefers it to the JSON of the API."""
    if req.method not in ("GET", "HEAD") or "html" not in (req.get_header("Accept") or ""):
        return False
    return req.client_prefers(("application/json", "text/html")) == "text/html"


def _require_known_parameters(req: falcon.Request, operation: Operation) -> None:
    """Raise Invalid if a write that declares no query parameters has some. The resource does not check this,
    and the check must precede the claim of the Idempotency-Key."""
    if operation.query is None and req.query_string and req.method not in ("GET", "HEAD"):
        read_query(req, NoQuery)


def _close_body(
    req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
) -> None:
    if context.body_file is not None:
        context.body_file.close()


def _count_request(
    req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
) -> None:
    """Count the request by method, path template and status, with its duration."""
    seconds = perf_counter() - context.started_at
    count_request(req.method, req.uri_template or "none", resp.status_code, seconds)


def _end_span(req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext) -> None:
    if context.span is not None:
        context.span.end(req.method, req.uri_template or "none", resp.status_code, context.error_code)


def _log_request(
    req: falcon.Request, resp: falcon.Response, resource: object, context: RequestContext
) -> None:
    """Write the request's line to the log."""
    seconds = perf_counter() - context.started_at
    caller = getattr(context, "caller", None)
    write_info(
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
    """The note to record for an answered request, or None; most requests have none.

    Writes of an authenticated caller are recorded when they are refused with 403 or 404; requests to
    operations with `is_recorded` also when they succeed.
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
        filters: dict[str, str] = {}
        for name, text in pairs_of(req.query_string):
            filters[name] = f"{filters[name]},{text}" if name in filters else text
        filters = {name: text[:_FILTER_CHARACTERS] for name, text in filters.items()}
        for paging in ("cursor", "page", "per_page"):
            filters.pop(paging, None)
        return Note(context=context.command(), method="GET", route=req.uri_template or "", filters=filters)
    return None
