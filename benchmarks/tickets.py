"""Tickets for the benchmarks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.access import Context, system_context
from domain.ticket import Ticket
from infrastructure.ids import new_id

FIELDS: dict[str, Any] = {
    "title": "Water leak in bathroom",
    "description": "There is water leaking from the ceiling in the bathroom",
    "priority": "high",
    "category": "plumbing",
    "property_id": "abc123",
    "unit_id": "unit456",
    "requester_id": "user789",
}


def benchmark_context() -> Context:
    return system_context(datetime.now(UTC), auth="cli", command_id=new_id())


def grow(ticket: Ticket, version: int) -> None:
    """Change the ticket until it has that version, one event for each change."""
    context = benchmark_context()
    while ticket.version < version:
        if ticket.version % 2:
            ticket.change({"title": f"Water leak in bathroom {ticket.version}"}, context)
        else:
            ticket.change({"status": "closed" if ticket.status == "open" else "open"}, context)
