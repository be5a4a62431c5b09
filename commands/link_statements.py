"""The statements about one-time links that commit with other events of their person."""

from __future__ import annotations

from pathlib import Path

from infrastructure.storage.postgres import Statement, named_queries

sql = named_queries(Path(__file__).parent / "sql" / "one_time_links.sql")


def void_link(user_id: str) -> list[Statement]:
    """The statement that makes the one-time link of the person invalid, if there is one."""
    return [(sql["delete_link"], {"user_id": user_id})]
