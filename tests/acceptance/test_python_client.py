"""The Python client against a running API."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from ticketing_client import (
    AsyncClient,
    Client,
    NotAsSigned,
    NotFound,
    PositionFile,
    PreconditionFailed,
    check_export,
    check_proof,
    follow,
    follow_async,
)
from ticketing_client import requests as calls
from ticketing_client.models import BulkOperationBody, BulkOperations, TicketChanges

from infrastructure.storage.postgres import connect
from notary.follower import sign_log
from tests.support.vault import VAULT

README = Path("clients") / "python" / "README.md"


@pytest.fixture(scope="module")
def client(site):
    with Client(site.base_url, site.keys["admin"]) as client:
        yield client


def test_the_examples_of_the_readme_run(site, tmp_path, monkeypatch):
    names = {"BASE_URL": site.base_url, "KEY": site.keys["admin"]}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 8
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(block, names)


def test_a_list_is_read_page_by_page(site, client):
    opened = {site.ticket()["id"] for _ in range(5)}
    for options in ({"per_page": 2}, {"per_page": 2, "cursor": ""}):
        listed = [ticket.id for ticket in client.items(calls.list_tickets(**options))]
        assert opened <= set(listed)
        assert len(set(listed)) == len(listed)


def test_a_follower_gets_every_event_once_and_the_last_answer_again_after_an_interruption(
    site, client, tmp_path
):
    store, call = PositionFile(tmp_path / "position"), calls.get_events(limit=2)
    opened = [site.ticket()["id"] for _ in range(3)]
    pages = follow(client, call, store)
    next(pages)
    interrupted = next(pages).events
    pages.close()

    followed = [event for page in follow(client, call, store) for event in page.events]

    assert followed[: len(interrupted)] == interrupted
    subjects = [event.subject for event in followed]
    assert [subjects.count(ticket_id) for ticket_id in opened] == [1, 1, 1]
    later = site.ticket()["id"]
    assert [event.subject for page in follow(client, call, store) for event in page.events] == [later]
    assert int(store.load()) == site.store.recorder.max_notification_id()


def test_a_copy_kept_with_the_follower_has_exactly_what_the_key_may_see(site, tmp_path):
    person = site.person()
    store, copy = PositionFile(tmp_path / "position"), {}
    moved, deleted, foreign = site.ticket(), site.ticket(), site.ticket(property_id="def456", unit_id=None)

    def follow_to_end(client):
        for page in follow(client, calls.get_changes(limit=2), store):
            for item in page.items:
                if item.kind == "upsert":
                    copy[item.ticket_id] = item.ticket
                elif item.kind == "gone":
                    copy.pop(item.ticket_id, None)
                else:
                    for each in [each for each in copy if copy[each].property.id in item.lost]:
                        del copy[each]

    with Client(site.base_url, site.key(role="staff", user_id=person["id"])) as client:
        follow_to_end(client)
        assert {moved["id"], deleted["id"]} <= set(copy)
        site.client().patch(f"/v1/tickets/{moved['id']}", json={"property_id": "def456", "unit_id": None})
        site.client().delete(f"/v1/tickets/{deleted['id']}")
        follow_to_end(client)
        assert copy.keys().isdisjoint((moved["id"], deleted["id"], foreign["id"]))
        site.client().patch(f"/v1/users/{person['id']}", json={"property_ids": ["def456"]})
        follow_to_end(client)
        assert copy == {one.id: one for one in client.items(calls.list_tickets(cursor=""))}
        assert {moved["id"], foreign["id"]} <= set(copy)


def test_an_asynchronous_follower_gets_the_next_event(site, client, tmp_path):
    store = PositionFile(tmp_path / "position")
    for _ in follow(client, calls.get_events(limit=500), store):
        pass

    async def first_event():
        async with AsyncClient(site.base_url, site.keys["admin"]) as waiting:
            pages = follow_async(waiting, calls.get_events(wait=25), store)
            return (await anext(pages)).events[0].subject

    async def follow_while_a_ticket_is_opened():
        following = asyncio.create_task(first_event())
        ticket = await asyncio.to_thread(site.ticket)
        return ticket["id"], await following

    opened, followed = asyncio.run(follow_while_a_ticket_is_opened())
    assert followed == opened


def test_versions_are_compared(site, client):
    ticket_id = site.ticket()["id"]
    first = client.get_ticket(ticket_id)
    assert client.get_ticket(ticket_id, if_none_match=first.etag).is_unchanged
    client.update_ticket(ticket_id, TicketChanges(title="New"), if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        client.update_ticket(ticket_id, TicketChanges(title="Other"), if_match=first.etag)
    with pytest.raises(NotFound) as refused:
        client.get_ticket("absent")
    assert refused.value.request_id


def test_several_operations_are_sent_together(site, client):
    ticket_id = site.ticket()["id"]
    operations = [BulkOperationBody(op="delete", ticket_id=each) for each in (ticket_id, "absent")]
    results = client.bulk_tickets(BulkOperations(operations=operations)).data
    assert [result.status for result in results] == [200, 404]


def test_an_export_and_a_proof_are_checked(site, client, tmp_path):
    site.ticket()
    with connect(site.dsn, application="tests") as conn:
        while sign_log(conn, VAULT):
            pass
    last = site.store.recorder.max_notification_id()
    data, manifest = tmp_path / "data", tmp_path / "manifest"
    data.write_bytes(b"".join(client.stream(calls.get_audit_export(from_="1", to=str(last)))))
    manifest.write_bytes(
        client.send(replace(calls.get_audit_export_manifest(from_="1", to=str(last)), answer=bytes)).data
    )
    check_export(data, manifest)
    with pytest.raises(NotAsSigned):
        check_export(data, manifest, first_key_id="another")
    data.write_bytes(data.read_bytes().replace(b"Water", b"Later"))
    with pytest.raises(NotAsSigned):
        check_export(data, manifest)

    event = client.list_audit_events().data[-1]
    proof = client.get_audit_event_proof(event.id).data
    assert event.id.encode() in check_proof(proof)
    for altered in (replace(proof, version=9), replace(proof, root="00" * 32), replace(proof, pages=[])):
        with pytest.raises(NotAsSigned):
            check_proof(altered)
