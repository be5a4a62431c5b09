"""The baseline of the API: Falcon handlers that only execute one statement each.

They have no authentication, rate limit, rules or history, but the same JSON and gunicorn options. Run
`python -m benchmarks.bare_app` with the settings of `ticketing api` in the environment.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import falcon
import msgspec
from gunicorn.app.base import BaseApplication

from infrastructure.ids import new_id
from infrastructure.settings import Settings, load_settings
from infrastructure.storage.postgres import Pool, make_pool, named_queries
from projections.views import AttachmentView, CommentView, Reference, TicketDetail, TicketSummary
from server.gunicorn_server import make_gunicorn_options

sql = named_queries(Path(__file__).parent / "sql" / "bare.sql")
encode = msgspec.json.Encoder().encode
_comments = msgspec.json.Decoder(list[CommentView]).decode
_attachments = msgspec.json.Decoder(list[AttachmentView]).decode


class NewTicket(msgspec.Struct):
    title: str
    description: str
    priority: str
    category: str
    property_id: str
    unit_id: str
    requester_id: str


class TicketChanges(msgspec.Struct):
    title: str


_new_ticket = msgspec.json.Decoder(NewTicket).decode
_changes = msgspec.json.Decoder(TicketChanges).decode


class Tickets:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        page = req.get_param_as_int("page", default=1)
        per_page = req.get_param_as_int("per_page", default=10)
        rows = _fetch(self._pool, "list_tickets", {"limit": per_page, "offset": (page - 1) * per_page})
        pagination = {
            "total": rows[0][0],
            "count": len(rows),
            "per_page": per_page,
            "current_page": page,
            "total_pages": -(-rows[0][0] // per_page),
            "links": {"next": f"http://127.0.0.1/v1/tickets?page={page + 1}"},
        }
        _respond(resp, [TicketSummary(**_fields(row[1:])) for row in rows], {"pagination": pagination})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        new = _new_ticket(req.bounded_stream.read())
        (row,) = _fetch(self._pool, "insert_ticket", {"id": new_id(), **msgspec.structs.asdict(new)})
        resp.status = falcon.HTTP_201
        _respond(resp, TicketSummary(**_fields(row)))


class TicketItem:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        (row,) = _fetch(self._pool, "get_ticket", {"id": ticket_id})
        comments, attachments = row[16:]
        shown = _comments(comments) if comments else []
        detail = TicketDetail(
            **_fields(row),
            comments_count=len(shown),
            allowed_statuses=[],
            comments=shown,
            attachments=_attachments(attachments) if attachments else [],
        )
        _respond(resp, detail)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ticket_id: str) -> None:
        changes = _changes(req.bounded_stream.read())
        (row,) = _fetch(self._pool, "update_ticket", {"id": ticket_id, "title": changes.title})
        _respond(resp, TicketSummary(**_fields(row)))


class Health:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_200


def _fetch(pool: Pool, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute(sql[statement], parameters).fetchall()


def _fields(row: tuple[Any, ...]) -> dict[str, Any]:
    key, title, description, status, priority, category, created_at, updated_at, *references = row[:16]
    return {
        "id": key,
        "title": title,
        "description": description,
        "status": status,
        "priority": priority,
        "category": category,
        "created_at": _whole_seconds(created_at),
        "updated_at": _whole_seconds(updated_at),
        "property": Reference(references[0], references[1]),
        "unit": Reference(references[2], references[3]) if references[2] else None,
        "requester": Reference(references[4], references[5]),
        "assigned_to": Reference(references[6], references[7]) if references[6] else None,
        "number": 0,
        "tags": (),
        "external_ids": {},
    }


def _whole_seconds(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _respond(resp: falcon.Response, data: object, meta: dict[str, Any] | None = None) -> None:
    resp.data = encode({"status": "success", "data": data, **({"meta": meta} if meta else {})})


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in make_gunicorn_options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> falcon.App[Any, Any]:
        """Make the application. Runs in each worker, after the fork."""
        dsn = self._settings.database_url or ""
        pool = make_pool(dsn, application="bare", max_size=self._settings.threads + 1)
        return make_app(pool)


def make_app(pool: Pool) -> falcon.App[Any, Any]:
    app = falcon.App()
    app.add_route("/v1/tickets", Tickets(pool))
    app.add_route("/v1/tickets/{ticket_id}", TicketItem(pool))
    app.add_route("/health/ready", Health())
    return app


if __name__ == "__main__":
    _Server(load_settings()).run()
