"""A ticket as in the documentation of the `eventsourcing` library, with the library's default settings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from infrastructure.storage.postgres import connect

SCHEMA = "stock"


class StockTicket(Aggregate):
    @event("Opened")
    def __init__(
        self,
        title: str,
        description: str,
        priority: str,
        category: str,
        property_id: str,
        unit_id: str,
        requester_id: str,
    ) -> None:
        self.title = title
        self.description = description
        self.priority = priority
        self.category = category
        self.property_id = property_id
        self.unit_id = unit_id
        self.requester_id = requester_id
        self.status = "open"

    @event("TitleChanged")
    def change_title(self, title: str) -> None:
        self.title = title

    @event("StatusChanged")
    def change_status(self, status: str) -> None:
        self.status = status

    def grow(self, version: int) -> None:
        """Change the ticket until it has that version, one event for each change."""
        while self.version < version:
            if self.version % 2:
                self.change_title(f"Water leak in bathroom {self.version}")
            else:
                self.change_status("closed" if self.status == "open" else "open")


def make_stock(dsn: str, *, create: bool = False) -> Application[UUID]:
    """Return the library's Application on its PostgreSQL recorder, with all settings at their defaults."""
    server: dict[str, Any] = conninfo_to_dict(dsn)
    if create:
        with connect(dsn, application="benchmarks") as conn:
            conn.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": server["dbname"],
            "POSTGRES_HOST": server.get("host", "127.0.0.1"),
            "POSTGRES_PORT": str(server.get("port", 5432)),
            "POSTGRES_USER": server.get("user", ""),
            "POSTGRES_PASSWORD": server.get("password", ""),
            "POSTGRES_SCHEMA": SCHEMA,
            "CREATE_TABLE": "y" if create else "n",  # concurrent processes would race
        }
    )
