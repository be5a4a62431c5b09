"""CSV files of tickets: RFC 4180, and texts that spreadsheet programs could take for formulas."""

import csv
import io
from datetime import UTC, datetime

import pytest

from api.v1.ticket_csv import COLUMNS, encode_rows, prefers_csv
from tests.unit.test_etags import request

HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_never_begins_like_a_formula(text):
    (row,) = csv.reader(io.StringIO(encode_rows([["before", text]]).decode(), newline=""))

    assert row == ["before", f"'{text}"]


@pytest.mark.parametrize(
    "text", ["a,b", 'a "b"', "a\r\nb", "a\nb", "a;b", " a ", "é漏水🚿", "a=b", "'a", "0123", ""]
)
def test_every_other_text_is_read_unchanged(text):
    encoded = encode_rows([[text, "x"], ["y", text]])

    assert [*csv.reader(io.StringIO(encoded.decode(), newline=""))] == [[text, "x"], ["y", text]]
    assert encoded.endswith(b"\r\n")


def test_values_that_are_not_texts_have_one_form():
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert encode_rows([[None, moment, ("a", "b"), {"erp": "7"}, 42]]) == (
        b',2026-01-02T03:04:05Z,"a, b",erp:7,42\r\n'
    )


def test_a_reference_has_a_column_for_its_id_and_one_for_its_name():
    headers = [column.header for column in COLUMNS]

    assert headers[:2] == ["id", "title"]
    assert {"property_id", "property_name", "unit_id", "unit_name", "assigned_to_id"} <= set(headers)
    assert len(set(headers)) == len(headers)


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("text/csv; charset=utf-8, application/json;q=0.9", True),
        ("text/*", True),
        ("application/json, text/csv", False),
        ("application/json;q=0.5, text/csv;q=0.4", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("image/png", False),
        ("nonsense;;", False),
    ],
)
def test_csv_is_sent_only_to_clients_that_prefer_it(accept, is_csv):
    assert prefers_csv(request(Accept=accept)) == is_csv


def test_without_accept_the_answer_is_json():
    assert not prefers_csv(request())
