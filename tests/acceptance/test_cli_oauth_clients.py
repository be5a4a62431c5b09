"""OAuth clients from the command line."""

import re

import pytest

from infrastructure.keys.tokens import OAUTH_CLIENT_SECRET, digest, has_form
from tests.support.commands import environment, ticketing

CREATE = ("oauth-client", "create", "--name", "Board", "--role", "staff", "--scopes", "tickets:read")
CALLBACK = ("--redirect-uri", "https://board.example.com/callback")


@pytest.fixture
def run(database, tmp_path):
    environ = environment(DATABASE_URL=database, TICKETING_HOME=str(tmp_path))
    return lambda *arguments: ticketing(*arguments, environ=environ)


def client_rows(pool):
    with pool.connection() as conn:
        return conn.execute(
            "SELECT id, secret_sha256, grant_types, requires_pkce, property_ids, rate_limit, revoked_at"
            "  FROM access.oauth_clients ORDER BY created_at"
        ).fetchall()


def origins(pool):
    return [row for (row,) in pool.fetch("SELECT origins FROM access.oauth_clients ORDER BY created_at")]


def test_create_prints_id_and_secret_and_nothing_else(run, pool):
    done = run(*CREATE, *CALLBACK)

    assert done.returncode == 0, done.stderr
    client_id, secret = re.fullmatch(r"client_id=(\S+)\nclient_secret=(\S+)\n", done.stdout).groups()
    assert has_form(secret, OAUTH_CLIENT_SECRET)
    (row,) = client_rows(pool)
    assert row[:2] == (client_id, digest(secret))
    assert row[2:6] == (["authorization_code", "refresh_token"], False, [], 1_000)
    assert secret not in done.stderr


def test_create_stores_every_option(run, pool):
    run(
        *("property", "create", "--id", "abc123", "--name", "S", "--street", "1 A", "--city", "B"),
        *("--state", "C", "--zip", "1", "--country", "D"),
    )
    uris = (*CALLBACK, "--redirect-uri", "http://127.0.0.1:7777/cb", "--origin", "https://board.example.com/")
    public = run(*CREATE, *uris, "--kind", "public")
    service = run(
        *CREATE, "--grant", "client_credentials", "--property", "abc123", "--rate-limit", "unlimited"
    )
    strict = run(*CREATE, *CALLBACK, "--require-pkce")

    assert [done.returncode for done in (public, service, strict)] == [0, 0, 0], service.stderr
    assert "client_secret" not in public.stdout
    assert origins(pool) == [["https://board.example.com"], [], []]
    assert [row[2:6] for row in client_rows(pool)] == [
        (["authorization_code", "refresh_token"], True, [], 1_000),
        (["client_credentials"], False, ["abc123"], None),
        (["authorization_code", "refresh_token"], True, [], 1_000),
    ]


def test_a_client_is_listed_rotated_and_revoked(run, pool):
    made = dict(line.split("=") for line in run(*CREATE, *CALLBACK).stdout.split())
    client_id = made["client_id"]

    listed = run("oauth-client", "list").stdout
    rotated = run("oauth-client", "rotate-secret", client_id)
    revoked, again = run("oauth-client", "revoke", client_id), run("oauth-client", "revoke", client_id)

    assert client_id in listed
    assert made["client_secret"] not in listed
    assert made["client_secret"][-4:] in listed
    assert rotated.returncode == 0
    assert made["client_secret"] not in rotated.stdout
    assert (revoked.returncode, again.returncode) == (0, 0)
    assert "revoked already" in again.stderr
    assert client_rows(pool)[0][6] is not None
    assert run("oauth-client", "rotate-secret", client_id).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "reason"),
    [
        ((*CREATE,), 1, "redirect URI"),
        ((*CREATE, "--redirect-uri", "http://board.example.com"), 1, "must use https"),
        ((*CREATE, *CALLBACK, "--grant", "password"), 2, "Use one of authorization_code"),
        ((*CREATE, "--grant", "client_credentials", "--kind", "public"), 1, "public client"),
        ((*CREATE, *CALLBACK, "--property", "nowhere"), 1, "no property nowhere"),
        ((*CREATE[:-1], "root", *CALLBACK), 2, "Unknown: root"),
        (("oauth-client", "revoke", "client_nobody"), 1, "No such OAuth client"),
    ],
)
def test_an_invalid_client_is_refused_with_a_reason(run, pool, arguments, exit_code, reason):
    done = run(*arguments)

    assert (done.returncode, reason in done.stderr) == (exit_code, True), done.stderr
    assert client_rows(pool) == []
