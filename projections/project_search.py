"""Fills the tables `search_parts` and `search_documents`, which the search of tickets reads.

A part is the title and description of a ticket, or one comment. A document has the terms of all current
parts of a ticket, and copies of columns by which lists are filtered. It is computed from the parts, so a part
may be replaced or removed at any time. A ticket with many or long parts has no document, because adding a
comment would take longer with each one; its parts are searched one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path

from psycopg import sql

from domain.comment import Visibility
from domain.ticket import Ticket
from infrastructure.storage.postgres import Connection, named_queries
from projections.folding import write_rows
from projections.rows import (
    PastTextRow,
    SearchDocumentRow,
    SearchPartRow,
    TicketRow,
    assignments,
    columns,
    columns_of,
    compose,
    shared_fields,
)
from projections.search_terms import build_vector

MOST_PARTS = 64  # of a document
MOST_WORDS = 2_000
TEXTS = ""  # the `part_id` of title and description
CURRENT = "infinity"  # the `ended_at` of the parts in force
_SINCE_EVER = "-infinity"
_COPIED = shared_fields(TicketRow, SearchDocumentRow)
_CHANGING = tuple(name for name in _COPIED if name != "created_at")
# The values of a ticket that its document has too: as columns (`priority` as `priority_rank`), and as terms.
copied_values = attrgetter(*shared_fields(Ticket, SearchDocumentRow), "priority")
values_in_terms = attrgetter("property_id", "unit_id", "requester_id", "assignee_id", "category", "tags")
_TERMS = named_queries(Path(__file__).parent / "sql" / "ticket_terms.sql")
_sql = {
    name: compose(
        statement,
        parts=columns_of(SearchPartRow),
        copied=columns(_COPIED),
        copied_t=columns(_COPIED, "t"),
        terms=sql.SQL(_TERMS["terms_of_tickets"]),
        changes=assignments(_CHANGING, "excluded"),
        changes_k=assignments(_CHANGING, "k"),
    )
    for name, statement in named_queries(Path(__file__).parent / "sql" / "project_search.sql").items()
}


class SearchChanges:
    """Collects the parts that a batch changes, and writes them with the documents of their tickets."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str, str], SearchPartRow] = {}
        self._removed: dict[tuple[str, str], None] = {}
        self._opened: set[str] = set()
        self._changed: dict[str, None] = {}
        self._to_copy: dict[str, None] = {}

    def put_texts(self, ticket: Ticket, *, is_new: bool) -> None:
        """Add or replace the title and description of a ticket."""
        if is_new:
            self._opened.add(ticket.id)
        self._put(ticket.id, TEXTS, (ticket.title, ticket.description), _SINCE_EVER)

    def copy_columns(self, ticket_id: str) -> None:
        """Copy the columns of a ticket to its document, because one of `copied_values` has changed."""
        self._to_copy[ticket_id] = None

    def refresh(self, ticket_id: str) -> None:
        """Compute the document of a ticket again, because one of `values_in_terms` has changed."""
        self._changed[ticket_id] = None

    def put_past_texts(self, rows: Iterable[PastTextRow]) -> None:
        """Add texts that are no longer in force. Of two with the same end the first stays."""
        for row in rows:
            ended_at = row.ended_at.isoformat()
            part = _part(row.ticket_id, TEXTS, (row.title, row.description), _SINCE_EVER, ended_at=ended_at)
            self._parts.setdefault((row.ticket_id, ended_at, TEXTS), part)

    def put_comment(
        self, ticket_id: str, comment_id: str, text: str, visibility: Visibility, began_at: datetime
    ) -> None:
        """Add or replace a comment."""
        self._put(ticket_id, comment_id, (text,), began_at.isoformat(), visibility)

    def remove_comment(self, ticket_id: str, comment_id: str) -> None:
        """Remove a comment: it is not found any more, not even as of an earlier time."""
        self._parts.pop((ticket_id, CURRENT, comment_id), None)
        self._removed[ticket_id, comment_id] = None
        self._changed[ticket_id] = None

    def write(self, conn: Connection) -> None:
        if self._removed:
            ticket_ids, part_ids = map(list, zip(*self._removed, strict=True))
            conn.execute(_sql["delete_parts"], {"ticket_ids": ticket_ids, "part_ids": part_ids})
        write_rows(conn, _sql["save_parts"], list(self._parts.values()))
        if self._changed:
            parameters = {
                "ids": list(self._changed),
                "opened_ids": list(self._opened),
                "most_parts": MOST_PARTS,
                "most_words": MOST_WORDS,
            }
            conn.execute(_sql["refresh_documents"], parameters)
        if to_copy := [ticket_id for ticket_id in self._to_copy if ticket_id not in self._changed]:
            conn.execute(_sql["copy_to_documents"], {"ids": to_copy})

    def _put(
        self,
        ticket_id: str,
        part_id: str,
        texts: Sequence[str],
        began_at: str,
        visibility: Visibility = "public",
    ) -> None:
        # Whether other tickets have a document is decided in SQL (refresh_documents).
        in_document = True if ticket_id in self._opened else None
        self._parts[ticket_id, CURRENT, part_id] = _part(
            ticket_id, part_id, texts, began_at, visibility=visibility, in_document=in_document
        )
        self._changed[ticket_id] = None


def _part(
    ticket_id: str,
    part_id: str,
    texts: Sequence[str],
    began_at: str,
    *,
    ended_at: str = CURRENT,
    visibility: Visibility = "public",
    in_document: bool | None = False,
) -> SearchPartRow:
    search, words = build_vector(*texts, has_title=part_id == TEXTS)
    return SearchPartRow(
        ticket_id=ticket_id,
        ended_at=ended_at,
        part_id=part_id,
        began_at=began_at,
        visibility=visibility,
        words=words,
        in_document=in_document,
        search=search,
    )
