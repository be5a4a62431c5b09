"""tools/webhook_receiver.py verifies the posts of the dispatcher. The tutorial's test runs the program."""

import pytest

from tools.webhook_receiver import TOLERANCE_SECONDS, is_signed, key_of
from webhook_dispatcher.signing import key_of as key_of_dispatcher
from webhook_dispatcher.signing import sign

NOW = 1_795_577_971
BODY = b'{"event":"ticket.created"}'
OLD, NEW = "whsec_" + "A" * 32, "your_webhook_secret"


def headers_of(*secrets, timestamp=NOW):
    keys = [key_of_dispatcher(secret) for secret in secrets]
    return sign(keys, message_id="msg_1", timestamp=timestamp, body=BODY)


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_post_of_the_dispatcher_is_verified(secret):
    assert is_signed(key_of(secret), headers_of(secret), BODY, NOW)


def test_one_of_two_signatures_is_enough():
    assert is_signed(key_of(NEW), headers_of(OLD, NEW), BODY, NOW)


@pytest.mark.parametrize("difference", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1])
def test_a_post_of_another_time_is_refused(difference):
    assert not is_signed(key_of(NEW), headers_of(NEW, timestamp=NOW + difference), BODY, NOW)


def test_another_secret_another_body_and_missing_headers_are_refused():
    assert not is_signed(key_of(OLD), headers_of(NEW), BODY, NOW)
    assert not is_signed(key_of(NEW), headers_of(NEW), BODY + b" ", NOW)
    assert not is_signed(key_of(NEW), {}, BODY, NOW)
