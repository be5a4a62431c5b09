"""Parts and forms of lists: fields, included parts, counts, cursors, 304 and CSV."""

from __future__ import annotations

import csv
import io
import socket
from urllib.parse import urlsplit

import pytest
import requests

from infrastructure.storage.postgres import connect
from projections.schema import LIVE, fill_counts
from projections.views import TicketDetail, TicketSummary
from tests.acceptance.site import Site
from tests.support.postgres import cloned_database

MANY = 1_200  # tickets of one category, in several batches of a CSV file
LONG_TEXT = 12_000  # characters of each, so that no client's buffers have room for all of them
HOSTILE = '=HYPERLINK("https://evil.example","x")\r\nsecond line, \'é\' 漏水'
COLUMNS = ["id", "title", "description", "status", "priority", "category", "created_at", "updated_at"]
COPIES = """
INSERT INTO read.tickets
SELECT (jsonb_populate_record(t, jsonb_build_object(
           'id', 'copy' || i, 'category', 'copied', 'description', repeat('x', %(characters)s),
           'created_at', t.created_at - i * interval '1 ms'))).*
  FROM read.tickets t CROSS JOIN generate_series(1, %(many)s) i
 WHERE t.id = %(id)s
"""


@pytest.fixture(scope="module")
def site(postgres, template):
    with cloned_database(postgres, template) as dsn, Site.running(dsn, workers=1) as site:
        yield site


@pytest.fixture(scope="module")
def ticket(site):
    """The id of a guest's ticket with a file, a public and an internal comment, and a hostile title."""
    ticket_id = site.ticket("guest", title=HOSTILE, category="first")["id"]
    staff = site.client("staff")
    for text, visibility in (("Coming", "public"), ("Psst", "internal")):
        comment = {"text": text, "visibility": visibility}
        assert staff.post(f"/v1/tickets/{ticket_id}/comments", json=comment).status_code == 201
    file = {"file": ("leak.jpg", b"\xff\xd8", "image/jpeg")}
    assert staff.post(f"/v1/tickets/{ticket_id}/attachments", files=file).status_code == 201
    return ticket_id


@pytest.fixture(scope="module")
def copies(site, ticket):
    """Many rows in the read tables, made of one ticket."""
    with connect(site.dsn, application="tests") as conn:
        conn.execute(COPIES, {"id": ticket, "many": MANY, "characters": LONG_TEXT})
        conn.execute(f"SET search_path TO {LIVE}")
        conn.execute("DELETE FROM ticket_counts")
        conn.execute(fill_counts())
    return MANY


def get(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def refusal(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], list(error["details"])


def test_fields_leave_out_the_others_except_the_id(site, ticket):
    client = site.client("staff")
    whole = get(client, f"/v1/tickets/{ticket}")

    (listed,) = get(client, "/v1/tickets?category=first&fields=status,title&fields=property")
    detail = get(client, f"/v1/tickets/{ticket}?fields=comments_count")
    past = get(client, f"/v1/tickets/{ticket}?fields=status&version=1")

    assert listed == {name: whole[name] for name in ("id", "title", "status", "property")}
    assert list(listed) == ["id", "title", "status", "property"]
    assert detail == {"id": ticket, "comments_count": 2}
    assert past == {"id": ticket, "status": "open"}


@pytest.mark.parametrize(("path", "view"), [("", TicketSummary), ("/{}", TicketDetail)])
def test_the_refusal_of_an_unknown_field_lists_those_that_exist(site, ticket, path, view):
    answer = site.client().get(f"/v1/tickets{path.format(ticket)}?fields=title,titel")
    (message,) = answer.json()["error"]["details"]["fields"]
    assert message.endswith(f"It must be one of {', '.join(view.__struct_fields__)}.")


def test_a_list_includes_files_comments_and_history_as_the_ticket_shows_them(site, ticket):
    client = site.client("staff")
    detail = get(client, f"/v1/tickets/{ticket}?include=history")
    history = get(client, f"/v1/tickets/{ticket}/history?per_page=100")

    (listed,) = get(client, "/v1/tickets?category=first&include=history,comments,attachments")
    (selected,) = get(client, "/v1/tickets?category=first&include=comments&fields=title")
    (public,) = get(site.client("guest"), "/v1/tickets?category=first&include=comments,attachments")

    assert detail["history"] == history
    assert listed == {name: detail[name] for name in listed}
    assert {"attachments", "comments", "comments_count", "history"} <= listed.keys()
    assert list(selected) == ["id", "title", "comments", "comments_count"]
    assert ([each["text"] for each in public["comments"]], public["comments_count"]) == (["Coming"], 1)
    assert requests.get(public["attachments"][0]["url"], timeout=10).content == b"\xff\xd8"


def test_the_history_is_not_included_for_guests(site, ticket):
    guest = site.client("guest")

    for path in ("/v1/tickets?include=history", f"/v1/tickets/{ticket}?include=history"):
        assert refusal(guest.get(path))[:2] == (403, "forbidden"), path
    foreign = site.client("foreign")
    assert foreign.get(f"/v1/tickets/{ticket}?include=history").status_code == 404
    assert get(foreign, "/v1/tickets?include=history") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("fields=titel", "fields"),
        ("fields=", "fields"),
        ("fields=comments", "fields"),
        ("fields=history&include=comments", "fields"),
        ("include=events", "include"),
        ("include=comments&as_of=2999-01-01T00:00:00Z", "as_of"),
        ("include=comments&as_of=2026-01-01T00:00:00Z", "include"),
    ],
)
def test_a_list_refuses_parts_that_it_cannot_show(site, query, field):
    assert refusal(site.client().get(f"/v1/tickets?{query}")) == (422, "validation_error", [field])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("fields=number_of_legs", "fields"),
        ("fields=history", "fields"),
        ("include=everything", "include"),
        ("include=history&version=1", "include"),
    ],
)
def test_a_ticket_refuses_parts_that_it_cannot_show(site, ticket, query, field):
    answer = site.client().get(f"/v1/tickets/{ticket}?{query}")

    assert refusal(answer) == (422, "validation_error", [field])
    assert site.client().get(f"/v1/tickets/absent?{query}").status_code == 404


def test_a_count_is_the_total_of_the_list_for_each_reader(site, ticket, copies):
    for role in ("admin", "guest", "foreign"):
        client = site.client(role)
        for query in (
            "",
            "?category=copied,first&status=open",
            "?q=hyperlink",
            "?assigned_to=none&category=first",
        ):
            total = client.get(f"/v1/tickets{query}").json()["meta"]["pagination"]["total"]
            assert get(client, f"/v1/tickets/count{query}") == {"count": total}, (role, query)
    assert get(site.client(), "/v1/tickets/count?category=copied") == {"count": copies}
    for query, field in (
        ("page=2", "page"),
        ("status=done", "status"),
        ("q=-", "q"),
        ("sort=priority", "sort"),
    ):
        assert refusal(site.client().get(f"/v1/tickets/count?{query}"))[2] == [field]


@pytest.fixture(scope="module")
def lists(site):
    """The addresses of lists with several items each, apart from those of tickets and of the audit trail."""
    client = site.client()
    for number in (2, 10, 1):  # by name: 1, 10, 2
        client.post("/v1/properties/abc123/units", json={"name": f"Unit {number}"})
    for number in range(3):
        body = {"url": f"https://receiver.example/{number}", "events": ["ticket.*"]}
        webhook = client.post("/v1/webhooks", json=body).json()["data"]["id"]
    for _ in range(3):
        assert client.post(f"/v1/webhooks/{webhook}/test").status_code == 202
    return {
        "users": "/v1/users",
        "staff": "/v1/users?role=staff,admin",
        "properties": "/v1/properties",
        "units": "/v1/properties/abc123/units",
        "webhooks": "/v1/webhooks",
        "deliveries": f"/v1/webhooks/{webhook}/deliveries",
    }


@pytest.mark.parametrize("name", ["users", "staff", "properties", "units", "webhooks", "deliveries"])
def test_every_list_is_the_same_by_cursor_and_by_page(site, lists, name):
    client, path = site.client(), lists[name]
    join = "&" if "?" in path else "?"
    whole = [item["id"] for item in get(client, f"{path}{join}per_page=100")]

    found, address = [], f"{path}{join}per_page=1&cursor="
    while address:
        body = client.get(address).json()
        assert set(body["meta"]["pagination"]) == {"count", "per_page", "next_cursor", "links"}
        found += [item["id"] for item in body["data"]]
        link = body["meta"]["pagination"]["links"].get("next")
        address = link and link.removeprefix(site.base_url)

    assert len(whole) >= 2
    assert found == whole


def test_a_cursor_of_another_list_is_refused(site, lists):
    client = site.client()
    first = client.get(f"{lists['units']}?per_page=1&cursor=").json()["meta"]["pagination"]

    for name in ("users", "properties", "webhooks", "deliveries"):
        answer = client.get(f"{lists[name]}?cursor={first['next_cursor']}")
        assert refusal(answer) == (422, "validation_error", ["cursor"]), name


def test_an_answer_is_304_until_anything_in_it_changes(site, ticket, lists):
    client = site.client()
    webhook = lists["deliveries"].rpartition("/")[0]
    delivery = f"{lists['deliveries']}/{get(client, lists['deliveries'])[0]['id']}"
    rename = ("patch", "/v1/properties/abc123", {"name": "Renamed"})
    changes = {
        "/v1/properties/abc123": ("post", "/v1/tickets", {"title": "Counted", "property_id": "abc123"}),
        "/v1/users/user101": rename,
        "/v1/users/me": ("patch", "/v1/users/user001", {"phone": "+1 555 000 1111"}),
        webhook: ("patch", webhook, {"enabled": False}),
        f"/v1/tickets/{ticket}?include=history": ("patch", "/v1/users/user789", {"name": "Renamed"}),
        delivery: None,
        "/v1/event-types/ticket.opened.v1": None,
        get(client, f"/v1/tickets/{ticket}")["attachments"][0]["url"].removeprefix(site.base_url): None,
    }

    for path, change in changes.items():
        tag = client.get(path).headers["ETag"]
        same = client.get(path, headers={"If-None-Match": f'"0", W/{tag}'})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag), path
        if change is not None:
            assert client.request(change[0], change[1], json=change[2]).status_code in (200, 201)
            other = client.get(path, headers={"If-None-Match": tag})
            assert (other.status_code, other.headers["ETag"] != tag) == (200, True), path


def test_the_etag_of_an_answer_protects_the_version_of_its_object(site, lists):
    client, path = site.client(), "/v1/properties/def456"
    tag = client.get(path).headers["ETag"]

    changed = client.patch(path, json={"name": "Hill House 2"}, headers={"If-Match": tag})
    again = client.patch(path, json={"name": "Hill House 3"}, headers={"If-Match": tag})

    assert (changed.status_code, again.status_code) == (200, 412)


def read_csv(client, query):
    answer = client.get(f"/v1/tickets?{query}", headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return answer


def test_a_csv_file_is_read_the_same_by_python_and_by_postgresql(site, ticket, copies):
    answer = read_csv(site.client("staff"), "sort=created_at")

    rows = [*csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))]
    assert list(rows[0])[:8] == COLUMNS
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tickets.csv"'
    with connect(site.dsn, application="tests") as conn:
        columns = ", ".join(f'"{name}" text' for name in rows[0])
        conn.execute(f"CREATE TEMP TABLE given ({columns})")
        copying = "COPY given FROM STDIN (FORMAT csv, HEADER match, FORCE_NOT_NULL ({}))"
        with conn.cursor().copy(copying.format(", ".join(f'"{name}"' for name in rows[0]))) as copy:
            copy.write(answer.content.removeprefix(b"\xef\xbb\xbf"))
        loaded = conn.execute("SELECT * FROM given").fetchall()
    assert sorted(loaded) == sorted(tuple(row.values()) for row in rows)
    (first,) = [row for row in rows if row["id"] == ticket]
    shown = get(site.client("staff"), f"/v1/tickets/{ticket}")
    assert first["title"] == f"'{shown['title']}"
    assert (first["property_id"], first["property_name"]) == tuple(shown["property"].values())
    assert (first["unit_name"], first["assigned_to_id"]) == (shown["unit"]["name"], "")
    assert first["created_at"] == shown["created_at"]


@pytest.mark.parametrize(
    "query", ["category=copied&sort=created_at&order=asc", "sort=priority", "q=hyperlink&sort=relevance"]
)
def test_a_csv_file_has_the_whole_list_in_its_order(site, copies, query):
    client, listed, address = site.client(), [], f"/v1/tickets?{query}&fields=status&per_page=100&cursor="
    while address:
        body = client.get(address).json()
        listed += [item["id"] for item in body["data"]]
        link = body["meta"]["pagination"]["links"].get("next")
        address = link and link.removeprefix(site.base_url)

    lines = read_csv(client, f"{query}&fields=status").content.decode("utf-8-sig").splitlines()

    assert lines[0] == "id,status"
    assert [line.partition(",")[0] for line in lines[1:]] == listed
    head = client.head(f"/v1/tickets?{query}", headers={"Accept": "text/csv"})
    assert (head.status_code, head.content, head.headers["Content-Type"][:8]) == (200, b"", "text/csv")


@pytest.mark.parametrize(
    "parameter", ["page=2", "per_page=100", "cursor=", "include=comments", "q=-", "fields=x"]
)
def test_a_csv_file_refuses_parameters_that_it_cannot_follow(site, parameter):
    answer = site.client().get(f"/v1/tickets?{parameter}", headers={"Accept": "text/csv"})

    assert refusal(answer) == (422, "validation_error", [parameter.partition("=")[0]])


def test_a_csv_file_contains_only_what_the_caller_may_see(site, ticket):
    for role in ("guest", "foreign"):
        client = site.client(role)
        expected = client.get("/v1/tickets").json()["meta"]["pagination"]["total"]
        lines = read_csv(client, "fields=status").content.decode().splitlines()
        assert len(lines) == expected + 1


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_csv_file_that_fails_midway_does_not_look_complete(site, copies, version):
    """With HTTP/1.1 the last chunk is missing; with HTTP/1.0 the connection is reset."""
    host = urlsplit(site.base_url)
    lines = [f"GET /v1/tickets {version}", "Host: x", f"Authorization: Bearer {site.keys['admin']}"]
    with socket.socket() as client:
        client.settimeout(20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.connect((host.hostname, host.port))
        client.sendall("\r\n".join([*lines, "Accept: text/csv", "Connection: close", "", ""]).encode())
        received = client.recv(1_000)
        with connect(site.dsn, application="tests") as conn:
            conn.execute("ALTER TABLE read.tickets RENAME TO hidden_tickets")
            try:
                while chunk := client.recv(1_000_000):
                    received += chunk
                is_reset = False
            except ConnectionResetError:
                is_reset = True
            finally:
                conn.execute("ALTER TABLE read.hidden_tickets RENAME TO tickets")

    assert b"text/csv" in received
    assert b"copy1" in received
    assert not received.endswith(b"\r\n0\r\n\r\n")
    assert is_reset == (version == "HTTP/1.0")
