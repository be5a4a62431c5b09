"""Lists of present tickets: the same pages and totals as by filtering and sorting, from indexes alone."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from infrastructure.storage.postgres import connect
from projections.schema import LIVE, fill_counts
from projections.ticket_filters import TicketQuery
from projections.ticket_list import FEW
from projections.ticket_query import build_list
from tests.support.postgres import cloned_database
from tests.support.ticket_lists import check_list, random_caller, random_query
from tests.unit.builders import NOON, caller

TICKETS = 12_000  # more than a walk reads before it gathers
LISTS = 60
# Old tickets are closed and rare in what lists ask for, so that walks from one end find little.
FILL = """
INSERT INTO read.tickets
SELECT t.*
  FROM (SELECT i, 1 + CASE WHEN i < 30 THEN 3 ELSE i * i %% 3 END AS rank FROM generate_series(1, %(n)s) i) s
 CROSS JOIN LATERAL jsonb_populate_record(NULL::read.tickets, jsonb_build_object(
           'id', 't' || i, 'version', 1, 'position', i, 'title', 'T', 'description', '',
           'status', CASE WHEN i %% 97 = 0 OR i > %(n)s - 400 THEN (ARRAY['open', 'in_progress'])[1 + i %% 2]
                          ELSE 'closed' END,
           'priority', (ARRAY['low', 'medium', 'high', 'critical'])[rank], 'priority_rank', rank,
           'category', CASE WHEN i < 50 THEN 'locks' WHEN i %% 3 = 0 THEN 'plumbing' ELSE 'general' END,
           'property_id', CASE WHEN i %% 5 > 0 THEN 'p0' ELSE 'p' || i / 4000 END,
           'unit_id', CASE WHEN i %% 4 > 0 THEN 'unit' || i %% 3 END,
           'number', i,
           'requester_id', 'u' || i %% 4, 'assignee_id', CASE WHEN i %% 7 > 0 THEN 'u' || i %% 3 END,
           'tags', CASE WHEN i %% 150 = 0 THEN jsonb '["frequent", "rare"]'
                        WHEN i %% 2 = 0 THEN jsonb '["frequent"]' END,
           'is_deleted', i %% 41 = 0, 'comments_count', 0, 'internal_comments_count', 0,
           'created_at', timestamptz '2026-01-01 12:00Z' + i / 2 * interval '10 ms',
           'updated_at', timestamptz '2026-01-01 12:00Z' + i * i %% 6000 * interval '10 ms')) t
"""
CLAIM = """
INSERT INTO access.external_ids
VALUES ('ticket', 'sap', '100', 't100'), ('ticket', 'sap', '2,000', 't2000'), ('user', 'crm', '100', 't7')
"""
# Lists whose pages and totals must come from indexes alone, apart from the rows of the page.
FROM_INDEXES = [
    {},
    {"order": "asc", "status": ("open",)},
    {"status": ("open", "closed"), "priority": ("high", "critical")},
    {"property_id": ("p0",)},
    {"property_id": ("p0", "p1", "p2"), "status": ("open",)},
    {"assigned_to": ("u1",), "property_id": ("p0",)},
    {"assigned_to": ("none",)},
    {"requester_id": ("u1",), "status": ("open",)},
    {"category": ("plumbing",)},
    {"created_after": NOON + timedelta(seconds=50), "priority": ("low",)},
    {"updated_after": NOON + timedelta(seconds=50)},
    {"sort": "updated_at", "status": ("open",)},
    {"sort": "priority"},
    {"sort": "priority", "property_id": ("p0",), "status": ("open",)},
]


@pytest.fixture(scope="module")
def conn(postgres, template):
    with cloned_database(postgres, template) as dsn, connect(dsn, application="tests") as conn:
        conn.execute(FILL, {"n": TICKETS})
        conn.execute(CLAIM)
        conn.execute(f"SET search_path TO {LIVE}")
        conn.execute(fill_counts())
        conn.execute("VACUUM tickets")  # without ANALYZE: no list may need statistics
        conn.execute(
            "INSERT INTO users (id, version, name, email, role, property_ids, preferences, is_active, search,"
            "                   name_position, position, created_at, updated_at)"
            " SELECT 'u' || i, 1, '', '', 'staff', ARRAY['p0'], '{}', i <> 2, '', 1, 1, now(), now()"
            " FROM generate_series(0, 3) i"
        )
        yield conn


def test_random_lists_agree_with_filtering_and_sorting_the_table(conn):
    lengths = []
    for number in range(LISTS):
        chance = random.Random(number)
        lengths.append(check_list(conn, random_caller(chance), random_query(chance), chance))

    assert max(lengths) > TICKETS / 2
    assert sum(length > FEW for length in lengths) > LISTS / 10


@pytest.mark.parametrize("offset", [0, 1_500])
@pytest.mark.parametrize("filters", FROM_INDEXES, ids=str)
def test_a_list_reads_only_the_rows_of_its_page_from_the_table(conn, filters, offset):
    statement, parameters = build_list(caller(), TicketQuery(**filters, offset=offset))
    plan = conn.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone()[0]

    scans = [node for node in nodes_of(plan[0]["Plan"]) if node.get("Relation Name") == "tickets"]
    used = [node for node in scans if node["Actual Loops"]]

    assert used or offset
    for node in used:
        is_page = node["Node Type"] == "Index Scan" and node["Index Name"] == "tickets_pkey"
        assert is_page or (node["Node Type"], node["Heap Fetches"]) == ("Index Only Scan", 0), node
        assert not is_page or node["Actual Loops"] <= 11 * 8, node


@pytest.mark.parametrize(
    ("filters", "most"),
    [
        ({"tag": ("rare",)}, 200),
        ({"tag": ("rare", "unused"), "property_id": ("p0",), "status": ("closed",)}, 400),
        ({"tag": ("frequent", "unused"), "property_id": ("p1",), "assigned_to": ("none", "u1")}, 2_000),
        ({"tag": ("frequent",), "status": ("closed",)}, 300),
        ({"external_id": ("sap:100", "sap:2,000"), "status": ("open", "closed")}, 10),
        ({"tag": ("frequent",), "property_id": ("p0",), "sort": "updated_at"}, 300),
    ],
    ids=str,
)
def test_a_list_by_tag_or_external_id_reads_the_few_tickets_that_match_or_walks_to_those_of_a_frequent_tag(
    conn, filters, most
):
    statement, parameters = build_list(caller(), TicketQuery(**filters))
    plan = conn.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone()[0]

    read = sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes_of(plan[0]["Plan"])
        if node.get("Relation Name") == "tickets"
    )

    assert 0 < read <= most


def nodes_of(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)
