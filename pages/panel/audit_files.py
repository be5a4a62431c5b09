"""/admin/audit/exports: a range of the log to download, its manifest, and the proof of one event."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar, Literal
from urllib.parse import urlencode

import falcon
import msgspec

from api.http.queries import read_query
from api.v1.proofs import (
    ExportQuery,
    ManifestQuery,
    range_of,
    require_auditor,
    send_export,
    send_manifest,
)
from domain.errors import Invalid, NotFound
from notary.export import MEDIA_TYPES
from notary.proofs import prove
from notary.signing import last_checkpoint
from notary.window import Range
from pages.common.page_operation import PageOperation
from pages.panel.audit import position_of
from pages.panel.checkpoints import ShownCheckpoint, shown_checkpoint
from pages.panel.page import PanelPage, page_of, read_filters, status_of, typed_filters
from projections.audit import get_audit_event

_NAMES = {"from": "first_day", "to": "last_day"}


class ExportFilters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both days are included. Without `last_day` the range ends at the last checkpoint."""

    first_day: date | None = None
    last_day: date | None = None
    format: Literal["ndjson", "csv"] | None = None


class AuditExports(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("admin", "Choose a range of the log to download")
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_auditor(req.context.caller)
        try:
            filters = read_filters(req, ExportFilters)
            query = _query_of(filters)
            chosen = range_of(self.services, query) if filters.format else None
        except Invalid as refusal:
            details = {_NAMES.get(name, name): texts for name, texts in refusal.details.items()}
            shown = typed_filters(req, ExportFilters, Invalid(details))
            self.show(req, resp, "audit_exports.html", status=status_of(refusal), filters=shown, chosen=None)
            return
        self.show(
            req,
            resp,
            "audit_exports.html",
            filters=typed_filters(req, ExportFilters),
            chosen=chosen,
            query=_address_query(query, chosen) if chosen else "",
            checkpoint=self._checkpoint(),
        )

    def _checkpoint(self) -> ShownCheckpoint | None:
        with self.services.pool.connection() as conn:
            return shown_checkpoint(last_checkpoint(conn))


def _file(summary: str, media_type: str) -> dict[str, PageOperation]:
    return {
        "GET": PageOperation(summary=summary, least_role="admin", media_type=media_type, is_recorded=True)
    }


class ExportDownload(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = _file(
        "Download a range of the log", MEDIA_TYPES["ndjson"]
    )

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_auditor(req.context.caller)
        send_export(self.services, req, resp, read_query(req, ExportQuery))


class ManifestDownload(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = _file(
        "Download the signed manifest of a range", falcon.MEDIA_JSON
    )

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        require_auditor(req.context.caller)
        query = read_query(req, ManifestQuery)
        send_manifest(self.services, resp, query)
        resp.downloadable_as = f"manifest.{query.format}.json"


class ProofDownload(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = _file(
        "Download the proof of an event", falcon.MEDIA_JSON
    )

    def on_get(self, req: falcon.Request, resp: falcon.Response, position: str) -> None:
        caller = req.context.caller
        require_auditor(caller)
        found = get_audit_event(self.services.pool, self.services.store, caller, position_of(position))
        if found is None:
            raise NotFound("event")
        with self.services.pool.connection() as conn:
            resp.data = msgspec.json.encode(prove(conn, found.id))
        resp.content_type = falcon.MEDIA_JSON
        resp.downloadable_as = f"proof-{found.position}.json"


def _query_of(filters: ExportFilters) -> ManifestQuery:
    """The range of these days. The last one ends now if it is not over, because the future cannot be
    exported."""
    last = None
    if filters.last_day:
        end = _start_of(min(filters.last_day, date.max - timedelta(days=1)) + timedelta(days=1))
        is_today = filters.last_day == datetime.now(UTC).date()
        last = datetime.now(UTC).replace(microsecond=0) if is_today else end
    return ManifestQuery(
        first=_start_of(filters.first_day) if filters.first_day else 1,
        last=last,
        format=filters.format or "ndjson",
    )


def _address_query(query: ManifestQuery, chosen: Range) -> str:
    """The parameters of the file and of its manifest. The end is fixed, so that both have the same range."""
    borders = {"from": query.first, "to": query.last or chosen.last}
    given = {
        name: border.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(border, datetime) else str(border)
        for name, border in borders.items()
    }
    return urlencode({**given, "format": query.format})


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
