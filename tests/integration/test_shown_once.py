"""A repeated command that creates a secret never returns a secret that does not work."""

import threading
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from commands.api_keys import IssueKey, issue_key
from commands.oauth_clients import RegisterClient, register_client, rotate_client_secret
from commands.oauth_grants import GiveGrant, give_grant
from commands.shown_once import SecretWasShown
from domain.errors import Conflict
from infrastructure.keys.tokens import digest
from infrastructure.storage.event_store import EventStore
from tests.support.arrange import register_user
from tests.unit.builders import caller, context

CLIENT = RegisterClient(
    name="Board",
    client_kind="confidential",
    scopes=("tickets:read",),
    role="staff",
    redirect_uris=("https://app.example/back",),
)
STORED_HASHES = (
    "SELECT secret_sha256 FROM access.api_keys UNION ALL SELECT secret_sha256 FROM access.oauth_clients"
    " UNION ALL SELECT code_sha256 FROM access.oauth_grants"
)


@dataclass
class Maker:
    """Commands that create a secret: each method carries one out in a context and returns the secret."""

    store: EventStore
    client_id: str
    grant: GiveGrant

    def key(self, context: Any) -> str:
        return issue_key(self.store, IssueKey(name="Door", role="staff"), context).key

    def client(self, context: Any) -> str | None:
        return register_client(self.store, CLIENT, context).secret

    def rotation(self, context: Any) -> str | None:
        return rotate_client_secret(self.store, self.client_id, context).secret

    def code(self, context: Any) -> str:
        return give_grant(self.store, self.grant, context)


@pytest.fixture(params=["key", "client", "rotation", "code"])
def make(request, store):
    register_user(store, "u1", context(), role="admin")
    client_id = register_client(store, CLIENT, context()).client.id
    grant = GiveGrant(
        client_id=client_id,
        scopes=("tickets:read",),
        redirect_uri="https://app.example/back",
        redirect_uri_was_given=True,
        code_challenge=None,
    )
    return getattr(Maker(store, client_id, grant), request.param)


def admin_context(**facts):
    return context(caller("admin", user_id="u1"), **facts)


def stored_hashes(conn):
    return {bytes(row[0]) for row in conn.execute(STORED_HASHES).fetchall()}


@pytest.mark.parametrize("is_retry", [False, True])
def test_a_repeated_command_is_refused_and_the_first_secret_still_works(make, conn, is_retry):
    by_admin = admin_context()
    secret = make(by_admin)
    before = stored_hashes(conn)

    with pytest.raises(SecretWasShown, match="If it was lost"):
        make(msgspec.structs.replace(by_admin, is_retry=is_retry))

    assert digest(secret) in before
    assert stored_hashes(conn) == before


def test_of_many_concurrent_commands_one_returns_a_secret_and_it_works(make, conn):
    by_admin = admin_context()
    secrets, refused = [], []
    ready = threading.Barrier(8)

    def attempt():
        ready.wait(20)
        try:
            secrets.append(make(by_admin))
        except Conflict as refusal:
            refused.append(refusal)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(secrets) == 1
    assert digest(secrets[0]) in stored_hashes(conn)
    assert len(refused) == 7


def test_a_first_attempt_marked_as_a_retry_is_carried_out(make, conn):
    assert digest(make(admin_context(is_retry=True))) in stored_hashes(conn)


def test_a_repeated_registration_of_a_public_client_returns_the_same_client(store):
    public = msgspec.structs.replace(CLIENT, client_kind="public")
    by_admin = admin_context(is_retry=True)

    first, second = (register_client(store, public, by_admin).client for _ in range(2))

    assert (first.id, first.version) == (second.id, second.version)
