"""The part of a list that a reader asks for, and the page that it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString, TypeVar

import msgspec
from psycopg import sql

from projections.rows import compose
from projections.views import Page

R = TypeVar("R")
V = TypeVar("V")

LastKey = tuple[str | int, str]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `limit` items after `offset` of them, or after the one with the key `after`, which is the
    `last_key` of the page before. Without `count` the page has no total."""

    limit: int = 10
    offset: int = 0
    after: LastKey | None = None
    count: bool = True

    @property
    def shape(self) -> tuple[bool, bool]:
        """What the text of the statement depends on: whether there is a key, and whether to count."""
        return self.after is not None, self.count

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statement. It returns a row more than the limit on all but the last page."""
        value, last_id = self.after or (None, None)
        return {"limit": self.limit + 1, "offset": self.offset, "after_value": value, "after_id": last_id}

    def page(
        self, rows: Sequence[R], total: int | None, *, key: Callable[[R], LastKey], view: Callable[[R], V]
    ) -> Page[V]:
        """The page of these rows, of which the last one only shows that there is a next page."""
        shown = rows[: self.limit]
        last_key = key(shown[-1]) if len(rows) > len(shown) > 0 else None
        return Page(items=[view(row) for row in shown], total=total, last_key=last_key)


def by_shape(
    statement: LiteralString, *, after: LiteralString, total: LiteralString, **parts: sql.Composable
) -> dict[tuple[bool, bool], LiteralString]:
    """The statement for each `Slice.shape`. It contains `{after}`, a condition, and `{total}`, an expression.

    `after` finds the rows after the key; `total` counts all rows.
    """
    return {
        (has_key, has_total): compose(
            statement,
            after=sql.SQL(after if has_key else "true"),
            total=sql.SQL(total if has_total else "NULL::bigint").format(**parts),
            **parts,
        )
        for has_key in (False, True)
        for has_total in (False, True)
    }
