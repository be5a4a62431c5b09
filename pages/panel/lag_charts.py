"""The lags of the last hour as lines, one for each follower of the log, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from api.monitoring.lag_samples import SPAN, LagSample

SHOWN = timedelta(hours=1)
STEP = timedelta(minutes=5)  # between the rows of the table
WIDTH, HEIGHT = 240, 56
LEAST_TOP_SECONDS = 10.0  # so that the noise of a second does not look like a lag
FOLLOWERS = {
    "projector": "Projector",
    "relay": "Relay to Kafka",
    "webhook_dispatcher": "Webhook dispatcher",
    "notary": "Notary",
}


class LagLine(msgspec.Struct, frozen=True, kw_only=True):
    """The lag of a follower. `lines` are the points of lines of SVG; samples that are missing divide them.
    `most` and `last` are None without samples."""

    name: str
    lines: list[str]
    most: float | None
    last: float | None


class LagRow(msgspec.Struct, frozen=True):
    """The longest lag of each follower from `at` on, until the next row; None without samples."""

    at: datetime
    most: list[float | None]


def shown_followers(has_kafka: bool) -> dict[str, str]:
    """The names of the followers by field of LagSample."""
    return {field: name for field, name in FOLLOWERS.items() if has_kafka or field != "relay"}


def lag_lines(samples: Sequence[LagSample], followers: dict[str, str], now: datetime) -> list[LagLine]:
    return [_line(samples, field, name, now) for field, name in followers.items()]


def lag_rows(samples: Sequence[LagSample], followers: dict[str, str], now: datetime) -> list[LagRow]:
    """The rows of the last hour, newest first."""
    rows = []
    for step in range(SHOWN // STEP):
        end = now - step * STEP
        within = [sample for sample in samples if end - STEP < sample.at <= end]
        rows.append(LagRow(end - STEP, [_most(within, field) for field in followers]))
    return rows


def _line(samples: Sequence[LagSample], field: str, name: str, now: datetime) -> LagLine:
    found = [(one.at, value) for one in samples if (value := getattr(one, field)) is not None]
    most = max((value for _, value in found), default=None)
    top = max(most or 0.0, LEAST_TOP_SECONDS)
    parts: list[list[str]] = []
    before = None
    for at, value in found:
        if before is None or at - before > 2 * SPAN:
            parts.append([])
        before = at
        x = WIDTH * (1 - (now - at) / SHOWN)
        y = HEIGHT * (1 - value / top)
        parts[-1].append(f"{x:.1f},{y:.1f}")
    # A line needs two points.
    lines = [" ".join(points if len(points) > 1 else points * 2) for points in parts]
    return LagLine(name=name, lines=lines, most=most, last=found[-1][1] if found else None)


def _most(samples: Sequence[LagSample], field: str) -> float | None:
    values = [value for sample in samples if (value := getattr(sample, field)) is not None]
    return max(values, default=None)
