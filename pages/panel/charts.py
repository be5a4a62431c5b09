"""The geometry of charts: where an SVG has bars, lines and texts. Colours are classes of the style sheet."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

WIDE, HEIGHT = 560, 170  # of a chart with columns, in units of the view box
NARROW = 340  # the width of a chart with rows
ROW_HEIGHT = 36
LONGEST_NAME = 30  # characters
_LEFT, _TOP, _BOTTOM = 40, 12, 24  # margins of a chart with columns
_BAR_TOP, _BAR_HEIGHT = 19, 9
_NICE = (1, 2, 5)
_LEAST_BAR = 1.5


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A rectangle of the class `kind`, with a title."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


class Text(msgspec.Struct, frozen=True):
    x: float
    y: float
    text: str


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """A chart with one group of bars for each label. `lines` are the labels of horizontal lines."""

    width: int
    height: int
    bars: list[Bar]
    lines: list[Text]
    labels: list[Text]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A name on the left, a value on the right, and bars below."""

    name: str
    value: str
    y: float
    bars: list[Bar]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    width: int
    height: int
    rows: list[Row]


class Part(msgspec.Struct, frozen=True):
    """A part of a bar."""

    kind: str
    amount: float
    title: str


def columns(
    labels: Sequence[str], series: dict[str, Sequence[int]], titles: Sequence[str], every: int
) -> Columns:
    """A chart of `series`, whose values have the same order as `labels`. Every so many labels are shown."""
    top = _round_up(max((max(values) for values in series.values()), default=0))
    plot, step = HEIGHT - _TOP - _BOTTOM, (WIDE - _LEFT) / len(labels)
    bar_width = round(step * 0.76 / len(series), 2)
    bars = []
    for at, title in enumerate(titles):
        for place, (kind, values) in enumerate(series.items()):
            height = max(round(values[at] / top * plot, 2), _LEAST_BAR if values[at] else 0)
            x, y = _LEFT + at * step + step * 0.12 + place * bar_width, HEIGHT - _BOTTOM - height
            bars.append(
                Bar(x=round(x, 2), y=round(y, 2), width=bar_width, height=height, kind=kind, title=title)
            )
    lines = [Text(_LEFT, _TOP + plot * (1 - share), f"{top * share:,.0f}") for share in (0, 0.5, 1)]
    shown = range(len(labels) - 1, -1, -every)
    places = [Text(round(_LEFT + (at + 0.5) * step, 2), HEIGHT - 6, labels[at]) for at in reversed(shown)]
    return Columns(width=WIDE, height=HEIGHT, bars=bars, lines=lines, labels=places)


def rows(items: Sequence[tuple[str, str, Sequence[Part]]]) -> Rows:
    """A chart of (name, value, parts): the parts of a row follow one another, on the same scale in all
    rows."""
    most = max((sum(part.amount for part in parts) for _, _, parts in items), default=0) or 1
    found = []
    for at, (name, value, parts) in enumerate(items):
        x, y, bars = 0.0, at * ROW_HEIGHT, []
        for part in parts:
            width = round(part.amount / most * NARROW, 2)
            bars.append(
                Bar(
                    x=round(x, 2),
                    y=y + _BAR_TOP,
                    width=width,
                    height=_BAR_HEIGHT,
                    kind=part.kind,
                    title=part.title,
                )
            )
            x += width
        found.append(Row(name=_shorten(name), value=value, y=y + 13, bars=[bar for bar in bars if bar.width]))
    return Rows(width=NARROW, height=max(1, len(items)) * ROW_HEIGHT, rows=found)


def _round_up(most: int) -> int:
    """The next even number of the form 2, 4, 10, 20, 40, 100, ... that is not less."""
    scale = 2
    while True:
        for factor in _NICE:
            if most <= scale * factor:
                return scale * factor
        scale *= 10


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"
