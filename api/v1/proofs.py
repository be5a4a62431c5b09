"""/v1/audit: exports of the log with a proof, and the proof of one event."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import falcon
import msgspec
from msgspec import Meta

from api.http.etags import respond_if_modified
from api.http.paging import MAX_NUMBER
from api.http.queries import NoQuery, read_query
from api.http.resource import JSON, Operation, Resource
from api.http.services import Services
from domain.access import Caller
from infrastructure.process.deadlines import lift_request_limit
from notary.export import MEDIA_TYPES, data, digest, find_range, manifest
from notary.proofs import prove
from notary.window import Range

ROLES = "admin, with a key that is not restricted to properties"
DESCRIPTION = """\
Returns events as they are stored, in the order of the log. Names, e-mail addresses and phone numbers are
encrypted.

`from` and `to` are each a position of the log or a time. Both positions are included. A time is compared with
`occurred_at`: `from` is included and `to` is not, so `to` of one day is `from` of the next, and every event
is in exactly one of the two exports. Without `to` the export ends at the last signed position. If `to` is
later than that, the log is signed first. `X-Export-From` and `X-Export-To` contain the positions of the first
and the last event.

The same request returns the same bytes each time, with one exception: an export by times can get longer,
because an event that occurred before `to` can be stored later. To continue an interrupted transfer, repeat
the request with `after` set to the position in the last complete line. The manifest, which proves the file,
is at /v1/audit/export/manifest with the same parameters, without `after`. tools/verify_export.py checks both
files.
"""

Position = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
First = Annotated[
    Position | datetime, Meta(description="The first position, or the first moment. Default: 1")
]
Last = Annotated[
    Position | datetime | None,
    Meta(
        description="The last position, or the moment before which the export ends. Default: the last signed"
        " position"
    ),
]


class ManifestQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The range of the log, and the format of the file."""

    first: First = msgspec.field(default=1, name="from")
    last: Last = msgspec.field(default=None, name="to")
    format: Literal["ndjson", "csv"] = "ndjson"


class ExportQuery(ManifestQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    after: Annotated[
        Position | None, Meta(description="Return only the events after this position, without a header")
    ] = None


class ProofStep(msgspec.Struct, frozen=True, kw_only=True):
    """A hash to combine with the hash computed so far, on the path to `root`. `left`: it is the left
    operand."""

    left: bool
    hash: str


class EventProof(msgspec.Struct, frozen=True, kw_only=True):
    """The path from the hash of an event to a signed checkpoint. notary/proofs.py describes how to check it.
    Each of `pages` is a block of the log: number, first and last position, count of events (integers) and
    root (a text)."""

    event_id: str
    position: int
    aggregate_id: str
    version: int
    type: str
    stored: str
    leaf: str
    path: list[ProofStep]
    root: str
    chain_before: str
    pages: list[tuple[int, int, int, int, str]]
    checkpoint: str
    keys: list[str]


class Export(Resource):
    """Serves the log as a file."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Export the event log",
            description=DESCRIPTION,
            roles=ROLES,
            scope="audit:read",
            query=ExportQuery,
            media_type=MEDIA_TYPES["ndjson"],
            other_media_types=(MEDIA_TYPES["csv"],),
            is_recorded=True,
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_auditor(req.context.caller)
        send_export(self.services, req, resp, read_query(req, ExportQuery))


class ExportManifest(Resource):
    """Serves the manifest, which proves the file."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="The signed manifest of an export",
            description="Reads and hashes the whole range, so it takes as long as the export. For a range by"
            " positions, the hashes prove that nothing is missing. For a range by times, they prove each"
            " event in the file; the signature states that all other events occurred at other times.",
            roles=ROLES,
            scope="audit:read",
            query=ManifestQuery,
            media_type=f"{JSON}; charset=utf-8",
            is_recorded=True,
            errors=("forbidden",),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_auditor(req.context.caller)
        send_manifest(self.services, resp, read_query(req, ManifestQuery))


class EventProofs(Resource):
    """Serves the proof of one event."""

    operations: ClassVar[dict[str, Operation]] = {
        "GET": Operation(
            summary="Prove that an event is in the signed log",
            description="Returns the hash of the event, the hashes on the path to the root of its block, and"
            " the chain from there to a checkpoint that the notary has signed. A new event is signed within"
            " minutes; until then the answer is 404 or 409.",
            roles=ROLES,
            scope="audit:read",
            query=NoQuery,
            answer=EventProof,
            has_etag=True,
            answers_not_modified=True,
            is_recorded=True,
            errors=("forbidden", "not_found", "conflict"),
        )
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        require_auditor(req.context.caller)
        read_query(req, NoQuery)
        with self.services.pool.connection() as conn:
            proof = prove(conn, event_id)
        respond_if_modified(req, resp, proof)


def send_export(services: Services, req: falcon.Request, resp: falcon.Response, query: ExportQuery) -> None:
    """Answer with the file of the range."""
    chosen = range_of(services, query)
    resp.content_type = MEDIA_TYPES[query.format]
    resp.downloadable_as = f"events-{chosen.first}-{chosen.last}.{query.format}"
    resp.set_header("X-Export-From", str(chosen.first))
    resp.set_header("X-Export-To", str(chosen.last))
    if query.after is not None:
        chosen = chosen.following(query.after)
    if req.method != "HEAD":
        resp.stream = data(services.pool, chosen, query.format, with_header=query.after is None)


def send_manifest(services: Services, resp: falcon.Response, query: ManifestQuery) -> None:
    """Answer with the manifest of the range."""
    chosen = range_of(services, query)
    lift_request_limit()  # it reads the whole range, which may take long
    content = digest(data(services.pool, chosen, query.format), query.format)
    with services.pool.connection() as conn:
        resp.data = manifest(conn, services.vault, chosen, content)
    resp.content_type = f"{JSON}; charset=utf-8"


def range_of(services: Services, query: ManifestQuery) -> Range:
    """The range to export, which a signed checkpoint covers. Raises Invalid."""
    with services.pool.connection() as conn:
        return find_range(conn, services.vault, query.first, query.last)


def require_auditor(caller: Caller) -> None:
    caller.require("admin", "read the whole log")
    caller.require_full_reach("read the whole log")
