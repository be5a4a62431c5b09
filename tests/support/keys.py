"""Issues API keys for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from commands.api_keys import IssuedKey, IssueKey, issue_key
from domain.access import Context, system_context
from infrastructure.ids import new_id
from infrastructure.storage.event_store import EventStore


def operator() -> Context:
    """The context of a command that an operator runs now."""
    return system_context(datetime.now(UTC), auth="cli", command_id=new_id())


def make_key(store: EventStore, **facts: Any) -> IssuedKey:
    """Issue a key with the role admin, without user or rate limit. `facts` replace these defaults."""
    return issue_key(
        store, IssueKey(**{"name": "test", "role": "admin", "rate_limit": None, **facts}), operator()
    )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
