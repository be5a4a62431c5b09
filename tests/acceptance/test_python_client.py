"""The Python client against a running API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from ticketing_client import Client, NotAsSigned, NotFound, PreconditionFailed, check_export, check_proof
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


def test_the_examples_of_the_readme_run(site):
    names = {"BASE_URL": site.base_url, "KEY": site.keys["admin"]}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 7
    for block in blocks:
        exec(block, names)


def test_a_list_is_read_page_by_page(site, client):
    opened = {site.ticket()["id"] for _ in range(5)}
    for options in ({"per_page": 2}, {"per_page": 2, "cursor": ""}):
        listed = [ticket.id for ticket in client.items(calls.list_tickets(**options))]
        assert opened <= set(listed)
        assert len(set(listed)) == len(listed)


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
