"""Reads the deleted tickets, for those who may restore them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from domain.access import Caller
from infrastructure.storage.postgres import Pool, named_queries

_sql = named_queries(Path(__file__).parent / "sql" / "deleted_tickets.sql")


class DeletedTicket(NamedTuple):
    """`deleted_by` is the name of the person or API key; None if it is not known any more."""

    id: str
    number: int
    title: str
    property_name: str
    deleted_at: datetime
    deleted_by: str | None


def list_deleted(pool: Pool, caller: Caller, limit: int, offset: int) -> tuple[list[DeletedTicket], int]:
    """A page of the deleted tickets within the caller's reach, newest deletion first, and their number."""
    reach = None if caller.property_ids is None else list(caller.property_ids)
    rows = pool.fetch(_sql["list_deleted"], {"reach": reach, "limit": limit, "offset": offset})
    ((total,),) = pool.fetch(_sql["count_deleted"], {"reach": reach})
    return [DeletedTicket(*row) for row in rows], total
