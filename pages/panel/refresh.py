"""Parts of pages that the script asks for again while something is due (static/scripts/41-refresh.js)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import falcon
import msgspec

SOON = timedelta(minutes=1)
SECONDS, SECONDS_IF_LATER = 3, 30


class Refresh(msgspec.Struct, frozen=True):
    """The address of the page that a part belongs to, and how often the script asks for the part."""

    address: str
    seconds: int


def refresh_while_due(req: falcon.Request, due_at: datetime | None) -> Refresh | None:
    """How often to ask for a part of this page. `due_at` None: nothing is due, and the answer is None."""
    if due_at is None:
        return None
    is_soon = due_at < datetime.now(UTC) + SOON
    return Refresh(req.relative_uri, SECONDS if is_soon else SECONDS_IF_LATER)


def asks_for_part(req: falcon.Request) -> bool:
    """Whether the script asks for the part alone, not a browser for the page."""
    return req.get_header("HX-Request") == "true"
