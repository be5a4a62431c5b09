"""Which requests may have a large body."""

import pytest

from api.http.resource import MAX_BODY_BYTES
from api.v1.attachments import FORM_BYTES
from server.app import ROUTES
from server.body_limits import BodyLimits


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        (b"POST /v1/tickets/t1/attachments HTTP/1.1", FORM_BYTES),
        (b"\r\nPOST /v1/tickets/t1/attachments?x=y HTTP/1.1", FORM_BYTES),
        (b"POST http://api.example.com:80/v1/tickets/t1/attachments HTTP/1.1", FORM_BYTES),
        (b"PUT /v1/tickets/t1/attachments HTTP/1.1", MAX_BODY_BYTES),
        (b"POST /v1/tickets HTTP/1.1", MAX_BODY_BYTES),
        (b"POST /v1/tickets/t1/attachments/more HTTP/1.1", MAX_BODY_BYTES),
        (b"POST /v1/tickets/t1/t2/attachments HTTP/1.1", MAX_BODY_BYTES),
    ],
)
def test_only_the_operations_that_declare_it_accept_large_bodies(line, limit):
    assert BodyLimits(ROUTES).of(line + b"\r\nHost: x\r\n\r\n") == limit
