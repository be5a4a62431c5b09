"""The rules for OAuth grants, clients and redirect URIs."""

from datetime import timedelta

import pytest

from commands.oauth_clients import RegisterClient, register_client, revoke_client, rotate_client_secret
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.oauth_client import OAuthClient
from domain.oauth_grant import OAuthGrant
from domain.redirect_uri import matches_redirect_uri, origin, redirect_uri_problem
from infrastructure.keys.tokens import OAUTH_CLIENT_SECRET, has_form
from infrastructure.storage.event_store import EventStore
from tests.unit.builders import NOON, caller, context


@pytest.fixture
def grant():
    new = OAuthGrant.give("g1", context(), client_id="c1", user_id="u1", scopes=("tickets:read",))
    new.collect_events()
    return new


def tags(aggregate):
    return [event.tag for event in aggregate.pending]


def test_a_code_is_valid_once_and_its_second_use_ends_the_grant(grant):
    assert grant.redeem_code(context()) is True
    assert grant.redeem_code(context()) is False

    assert tags(grant) == ["oauth_grant.code_redeemed", "oauth_grant.ended"]
    assert grant.pending[-1].reason == "code_used_twice"


def after(seconds):
    return context(at=NOON + timedelta(seconds=seconds))


def test_each_refresh_token_is_valid_once_and_an_old_one_ends_the_grant(grant):
    grant.redeem_code(context())

    assert grant.refresh(1, context()) is True
    assert grant.refresh(2, context()) is True
    assert grant.generation == 3
    assert grant.refresh(1, after(30.001)) is False
    assert grant.pending[-1].reason == "refresh_token_used_twice"
    assert grant.refresh(3, after(31)) is False
    assert len(grant.pending) == 4


def test_a_refresh_that_is_repeated_within_30_seconds_is_valid_and_records_nothing(grant):
    grant.redeem_code(context())
    grant.refresh(1, after(0))
    grant.refresh(2, after(20))
    grant.collect_events()

    assert grant.refresh(1, after(30)) is True
    assert grant.refresh(2, after(50)) is True
    assert (grant.pending, grant.generation) == ([], 3)
    assert grant.refresh(1, after(50)) is False
    assert grant.is_ended


def test_a_repeated_refresh_of_an_ended_grant_is_not_valid(grant):
    grant.redeem_code(context())
    grant.refresh(1, context())
    grant.end("withdrawn_by_user", context())

    assert grant.refresh(1, after(1)) is False


def test_a_refresh_token_that_was_never_issued_ends_the_grant(grant):
    grant.redeem_code(context())

    assert grant.refresh(9, context()) is False
    assert grant.is_ended


def test_an_ended_grant_refuses_codes_and_tokens_and_records_nothing(grant):
    grant.end("withdrawn_by_user", context())
    grant.collect_events()

    assert grant.redeem_code(context()) is False
    assert grant.refresh(1, context()) is False
    grant.end("revoked_by_client", context())
    assert grant.pending == []


def test_a_grant_expires_after_ninety_days_even_if_it_is_refreshed(grant):
    grant.redeem_code(context())
    for day in range(1, 90):
        assert grant.refresh(day, context(at=NOON + timedelta(days=day)))

    assert grant.ends_at == NOON + timedelta(days=90)
    assert grant.refresh(90, context(at=NOON + timedelta(days=90))) is False
    assert not grant.is_ended, "an expired grant is not recorded as ended"


def test_folding_the_events_gives_the_same_grant(grant):
    events = [*OAuthGrant.give("g1", context(), client_id="c1", user_id="u1", scopes=("a",)).collect_events()]
    grant.redeem_code(context())
    grant.refresh(1, context())
    events += grant.collect_events()

    folded = OAuthGrant.fold(None, events)

    assert (folded.client_id, folded.user_id, folded.generation, folded.version) == ("c1", "u1", 2, 3)


GOOD = {
    "name": "Board",
    "client_kind": "confidential",
    "scopes": ("tickets:read",),
    "role": "staff",
    "redirect_uris": ("https://app.example.com/cb",),
}


def register(store, by=None, **facts):
    return register_client(store, RegisterClient(**{**GOOD, **facts}), context(by))


def test_a_confidential_client_gets_a_secret_and_a_public_client_requires_pkce():
    store = EventStore()

    confidential, public = register(store), register(store, client_kind="public")

    assert has_form(confidential.secret, OAUTH_CLIENT_SECRET)
    assert confidential.client.requires_pkce is False
    assert (public.secret, public.client.requires_pkce) == (None, True)
    stored = store.load(OAuthClient, confidential.client.id)
    assert (stored.name, stored.scopes, stored.role) == ("Board", ("tickets:read",), "staff")
    assert confidential.secret not in repr(stored)


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "Board\u202eexe"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": ()}, "scopes"),
        ({"scopes": ("tickets:read", "root")}, "scopes"),
        ({"grant_types": ()}, "grant_types"),
        ({"grant_types": ("password",)}, "grant_types"),
        ({"grant_types": ("refresh_token",), "redirect_uris": ()}, "grant_types"),
        (
            {"grant_types": ("client_credentials",), "client_kind": "public", "redirect_uris": ()},
            "grant_types",
        ),
        ({"grant_types": ("client_credentials",)}, "redirect_uris"),
        ({"redirect_uris": ()}, "redirect_uris"),
        ({"redirect_uris": tuple(f"https://a.example/{n}" for n in range(21))}, "redirect_uris"),
        ({"redirect_uris": ("https://a.example", "http://a.example")}, "redirect_uris"),
        ({"property_ids": ("nowhere",)}, "property_ids"),
        ({"rate_limit": 0}, "rate_limit"),
        ({"rate_limit": 2**31}, "rate_limit"),
    ],
)
def test_a_refused_registration_names_the_bad_field(facts, field):
    with pytest.raises(Invalid) as refusal:
        register(EventStore(), **facts)

    assert field in refusal.value.details


def test_only_an_admin_registers_rotates_and_revokes():
    store = EventStore()
    client_id = register(store).client.id
    manager = context(caller("manager"))

    for act in (
        lambda: register(store, caller("manager")),
        lambda: rotate_client_secret(store, client_id, manager),
        lambda: revoke_client(store, client_id, manager),
    ):
        with pytest.raises(Forbidden):
            act()


def test_only_the_secret_of_an_active_confidential_client_can_be_rotated():
    store = EventStore()
    confidential, public = register(store), register(store, client_kind="public")

    renewed = rotate_client_secret(store, confidential.client.id, context())
    assert renewed.secret != confidential.secret
    with pytest.raises(Conflict):
        rotate_client_secret(store, public.client.id, context())
    revoke_client(store, confidential.client.id, context())
    with pytest.raises(Conflict):
        rotate_client_secret(store, confidential.client.id, context())
    with pytest.raises(NotFound):
        revoke_client(store, "client_unknown", context())


def test_revoking_twice_is_recorded_once():
    store = EventStore()
    client_id = register(store).client.id

    revoke_client(store, client_id, context())
    revoke_client(store, client_id, context())

    assert store.load(OAuthClient, client_id).version == 2


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com/cb",
        "https://app.example.com",
        "https://app.example.com:8443/cb?tenant=1",
        "https://xn--bcher-kva.example/cb",
        "http://127.0.0.1:8080/cb",
        "http://[::1]/cb",
        "http://localhost:3000/",
        "com.example.app:/done",
        "com.example.app://done",
    ],
)
def test_redirect_uris_that_are_taken(uri):
    assert redirect_uri_problem(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/cb",
        "//app.example.com/cb",
        "http://app.example.com/cb",
        "http://127.0.0.1.evil.example/cb",
        "https://",
        "https:///cb",
        "https://app.example.com/cb#x",
        "https://app.example.com/cb#",
        "https://*.example.com/cb",
        "https://user:pw@app.example.com/cb",
        "https://app.example.com\\@evil.example/",
        "https://app.example.com/ cb",
        "https://app.example.com/\r\nLocation: x",
        "https://app.example.com/\u00e9",
        "https://app.example.com:port/cb",
        "https://app.example.com/cb?code=1",
        "https://app.example.com/cb?state",
        'https://app.example.com/"><script>',
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/done",
        "ftp://a.example/x",
        "https://a.example/" + "x" * 2_000,
    ],
)
def test_redirect_uris_that_are_refused(uri):
    assert redirect_uri_problem(uri)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://app.example.com/cb?x=1", "https://app.example.com"),
        ("http://[::1]:8080/cb", "http://[::1]:8080"),
        ("com.example.app:/done", "com.example.app:"),
    ],
)
def test_the_origin_is_a_source_for_a_content_security_policy(uri, expected):
    assert origin(uri) == expected


@pytest.mark.parametrize(
    ("registered", "given"),
    [
        ("https://a.example/cb", "https://a.example/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:53123/cb"),
        ("http://127.0.0.1:7777/cb?x=1", "http://127.0.0.1:1/cb?x=1"),
        ("http://[::1]:7777/cb", "http://[::1]/cb"),
        ("http://localhost:7777", "http://localhost:8888"),
    ],
)
def test_a_redirect_uri_matches_with_any_port_on_a_loopback_address(registered, given):
    assert matches_redirect_uri(registered, given)
    assert matches_redirect_uri(given, registered)


@pytest.mark.parametrize(
    ("registered", "given"),
    [
        ("https://a.example/cb", "https://a.example:8443/cb"),
        ("https://127.0.0.1/cb", "https://127.0.0.1:8443/cb"),
        ("http://127.0.0.1:7777/cb", "http://127.0.0.1:7777/cb/"),
        ("http://127.0.0.1:7777/cb", "http://127.0.0.1:7777/cb?x=1"),
        ("http://127.0.0.1:7777/cb", "http://localhost:7777/cb"),
        ("http://127.0.0.1:7777/cb", "http://[::1]:7777/cb"),
        ("http://127.0.0.1:7777/cb", "https://127.0.0.1:7777/cb"),
        ("http://127.0.0.1:7777/cb", "http://127.0.0.1:x/cb"),
        ("http://127.0.0.1:7777/cb", "http://127.0.0.1:65536/cb"),
        ("http://127.0.0.1:7777/cb", "http://127.0.0.1:7777@evil.example/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1\n/cb"),
    ],
)
def test_nothing_else_of_a_redirect_uri_may_differ(registered, given):
    assert not matches_redirect_uri(registered, given)
