"""Reads the table `comments`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from psycopg import sql

from infrastructure.storage.comment_log import CommentPlace
from infrastructure.storage.postgres import Pool, named_queries
from projections.included import VISIBLE
from projections.rows import CommentRow, columns_of, compose
from projections.views import CommentView, Page, Reference, shown_values

_sql = {
    name: compose(statement, columns=columns_of(CommentRow, "c"), visible=sql.SQL("{visible}"))
    for name, statement in named_queries(Path(__file__).parent / "sql" / "comments.sql").items()
}
_LIST_COMMENTS = {
    include_internal: compose(_sql["list_comments"], visible=visible)
    for include_internal, visible in VISIBLE.items()
}


class CommentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the comments of a ticket, oldest first. `after` is the `last_key` of the page before."""

    include_internal: bool
    limit: int
    offset: int = 0
    after: tuple[str | int, str] | None = None


class _NamedComment(CommentRow, frozen=True):
    author_name: str


def list_comments(pool: Pool, ticket_id: str, query: CommentQuery) -> Page[CommentView]:
    """A page of comments, without the total. Does not check whether the caller may see the ticket."""
    parameters = {
        "ticket_id": ticket_id,
        "after": query.after[0] if query.after else 0,
        "limit": query.limit + 1,
        "offset": query.offset,
    }
    rows = [
        _NamedComment(*values) for values in pool.fetch(_LIST_COMMENTS[query.include_internal], parameters)
    ]
    shown = rows[: query.limit]
    last_key = (shown[-1].ticket_version, shown[-1].id) if len(rows) > query.limit else None
    return Page(items=[_view(row) for row in shown], total=None, last_key=last_key)


def get_comment(pool: Pool, ticket_id: str, comment_id: str) -> CommentView | None:
    """The comment, or None if it does not exist, was removed, or belongs to another ticket."""
    rows = pool.fetch(_sql["get_comment"], {"ticket_id": ticket_id, "id": comment_id})
    return next((_view(_NamedComment(*values)) for values in rows), None)


def find_place(pool: Pool, ticket_id: str, comment_id: str) -> CommentPlace:
    """Where the log has the comment; nowhere if the read tables do not have the ticket."""
    rows = pool.fetch(_sql["find_place"], {"ticket_id": ticket_id, "id": comment_id})
    return next((CommentPlace(*values) for values in rows), CommentPlace())


def text_versions(pool: Pool, comment_ids: Iterable[str]) -> dict[str, int]:
    """The version of the ticket whose event has the present text of each comment that was not removed."""
    ids = list(comment_ids)
    return dict(pool.fetch(_sql["select_text_versions"], {"ids": ids})) if ids else {}


def _view(row: _NamedComment) -> CommentView:
    return CommentView(**shown_values(row, CommentView), user=Reference(row.author_id, row.author_name))
