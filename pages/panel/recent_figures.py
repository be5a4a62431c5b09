"""Figures that cost too much for every request: they are read at most once a minute."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta

from domain.access import Caller
from infrastructure.storage.postgres import Pool
from projections.ticket_figures import TicketFigures, read_ticket_figures

KEPT_FOR = timedelta(seconds=60)
MOST_KEPT = 200  # reaches


class RecentFigures:
    """Keeps the figures of the reaches that were asked for last."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._kept: OrderedDict[frozenset[str] | None, TicketFigures] = OrderedDict()
        self._read_at: dict[frozenset[str] | None, datetime] = {}

    def of(self, caller: Caller, now: datetime | None = None) -> TicketFigures:
        """The figures of the caller's reach, at most KEPT_FOR old. While one request reads them again, others
        get the old ones."""
        now, reach = now or datetime.now(UTC), caller.property_ids
        with self._lock:
            kept = self._kept.get(reach)
            if kept is not None and now < self._read_at[reach] + KEPT_FOR:
                self._kept.move_to_end(reach)
                return kept
            self._read_at[reach] = now
        figures = read_ticket_figures(self._pool, caller, now)
        with self._lock:
            self._kept[reach] = figures
            self._kept.move_to_end(reach)
            while len(self._kept) > MOST_KEPT:
                oldest, _ = self._kept.popitem(last=False)
                self._read_at.pop(oldest, None)
        return figures
