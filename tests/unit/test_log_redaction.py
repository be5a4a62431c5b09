"""Credentials are removed from log lines, in every field."""

import pytest

from infrastructure.keys import tokens
from infrastructure.keys.tokens import make_token
from infrastructure.process.logs import REDACTED, redact, render

PREFIXES = sorted(
    value for name, value in vars(tokens).items() if name.isupper() and str(value).startswith("mt")
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("around", ["{}", "GET /oauth/token?code={} HTTP/1.1", '{{"a": "{}"}}', "x={};"])
def test_every_kind_of_secret_is_redacted_in_text(prefix, around):
    secret = make_token(prefix)

    line = render(None, "", redact(None, "", {"event": around.format(secret), "values": [secret], "n": 1}))

    assert secret.encode() not in line
    assert secret[4:20].encode() not in line
    assert REDACTED.encode() in line


@pytest.mark.parametrize("name", ["password", "csrf_token", "client_secret", "Authorization", "signing_key"])
def test_fields_with_names_of_secrets_are_redacted_entirely(name):
    assert redact(None, "", {name: "harmless"})[name] == REDACTED


def test_there_are_eight_kinds_of_secret():
    assert len(PREFIXES) == len(set(PREFIXES)) == 8
