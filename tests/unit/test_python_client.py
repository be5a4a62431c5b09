"""The Python client is generated from the API's document, repeats requests safely and checks signatures."""

from __future__ import annotations

import time

import httpx
import pytest
import ticketing_client
from ticketing_client import BadSignature, Call, Client, Retries, verify_webhook
from ticketing_client.retries import Attempts

from tests.clients.python_client import DOCUMENT, FOLDER, generator
from webhook_dispatcher.signing import key_of, sign

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "your_webhook_secret")


def test_the_client_is_generated_from_the_present_document():
    for name, text in generator.generate(DOCUMENT).items():
        committed = (FOLDER / "ticketing_client" / name).read_text()
        assert committed == text, f"Run `python -m tests.clients.python_client` to write {name} again."


@pytest.mark.parametrize("kind", [ticketing_client.Client, ticketing_client.AsyncClient])
def test_the_client_has_a_method_for_every_operation(kind):
    names = [generator.snake(one["operationId"]) for _, _, one in generator.Document(DOCUMENT).operations()]
    assert len(set(names)) == len(names) > 45
    assert [name for name in names if not callable(getattr(kind, name, None))] == []


@pytest.mark.parametrize("secret", SECRETS)
def test_a_signed_post_is_accepted_and_an_altered_one_is_not(secret):
    body = b'{"event":"ticket.created"}'
    headers = sign([key_of(secret)], message_id="msg_1", timestamp=int(time.time()), body=body)
    assert verify_webhook(secret, headers, body) == {"event": "ticket.created"}
    late = time.time() + 301
    for refused in (
        lambda: verify_webhook(secret, headers, body + b" "),
        lambda: verify_webhook("another", headers, body),
        lambda: verify_webhook(secret, {**headers, "webhook-id": "msg_2"}, body),
        lambda: verify_webhook(secret, {**headers, "webhook-timestamp": "x"}, body),
        lambda: verify_webhook(secret, {}, body),
        lambda: verify_webhook(secret, headers, body, now=late),
    ):
        with pytest.raises(BadSignature):
            refused()


def test_during_a_rotation_both_secrets_verify():
    keys = [key_of(secret) for secret in SECRETS]
    headers = sign(keys, message_id="msg_1", timestamp=int(time.time()), body=b"{}")
    assert [verify_webhook(secret, headers, b"{}") for secret in SECRETS] == [{}, {}]


def test_waits_grow_obey_retry_after_and_end():
    now = [0.0]
    attempts = Attempts(Retries(attempts=5, seconds=60), lambda: now[0])
    first, second, third = attempts.wait_seconds(), attempts.wait_seconds(), attempts.wait_seconds()
    assert 0 < first <= 0.2 < third <= 0.8
    assert second <= 0.4
    assert 7 <= attempts.wait_seconds({"retry-after": "7"}) < 8
    assert attempts.wait_seconds() is None
    assert Attempts(Retries(seconds=60), lambda: 0.0).wait_seconds({"retry-after": "3600"}) is None


def test_every_write_has_an_idempotency_key_that_retries_keep():
    seen = []

    def answer(request):
        seen.append(request.headers.get("idempotency-key"))
        return httpx.Response(503 if len(seen) % 2 else 200, json={"status": "success", "data": None})

    with Client("http://localhost", "key", transport=httpx.MockTransport(answer)) as client:
        client.send(Call(method="POST", path="/v1/tickets/1/restore", answer=None))
        client.delete_ticket("1")
    first, second, *others = seen
    assert first == second is not None
    assert others == [None, None]
