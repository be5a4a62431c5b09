"""The geometry of the panel's charts."""

import pytest

from pages.common.filters import duration
from pages.panel.charts import HEIGHT, NARROW, WIDE, Part, columns, rows


def test_columns_stay_inside_the_chart_and_the_last_label_is_shown():
    labels = [str(number) for number in range(10)]
    chart = columns(labels, {"opened": range(10), "closed": [0] * 10}, labels, every=4)

    assert all(
        bar.x >= 0 and bar.x + bar.width <= WIDE and bar.y + bar.height <= HEIGHT for bar in chart.bars
    )
    assert [text.text for text in chart.labels] == ["1", "5", "9"]
    assert [line.text for line in chart.lines] == ["0", "5", "10"]
    assert {bar.height for bar in chart.bars if bar.kind == "closed"} == {0}


@pytest.mark.parametrize(("most", "top"), [(0, "2"), (2, "2"), (3, "4"), (21, "40"), (101, "200")])
def test_the_top_line_of_columns_is_a_round_number(most, top):
    assert columns(["a"], {"opened": [most]}, [""], every=1).lines[-1].text == top


def test_the_longest_row_has_the_whole_width_and_empty_parts_have_no_bar():
    parts = [Part("open", 3, ""), Part("closed", 1, "")]
    chart = rows([("Jane", "4", parts), ("N" * 99, "2", [Part("open", 2, ""), Part("closed", 0, "")])])

    long, short = chart.rows
    assert [(bar.x, bar.width) for bar in long.bars] == [(0, NARROW * 0.75), (NARROW * 0.75, NARROW / 4)]
    assert [bar.width for bar in short.bars] == [NARROW / 2]
    assert (short.name[-1], len(short.name)) == ("…", 30)


def test_a_chart_without_values_has_no_bars():
    chart = rows([("Nothing", "0", [Part("open", 0, "")])])
    assert [row.bars for row in chart.rows] == [[]]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (5400, "1.5 h"), (200_000, "2.3 d")]
)
def test_a_duration_is_shown_in_its_largest_unit(seconds, text):
    assert duration(seconds) == text
