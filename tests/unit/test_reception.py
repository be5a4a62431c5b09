"""When a request that arrives in pieces is ready for a thread, and which bytes belong to it."""

import pytest
from gunicorn.http.errors import LimitRequestHeaders

from server.reception import MAX_HEAD_BYTES, MAX_LINE_BYTES, Reception
from server.spool import MEMORY_BYTES, NoSpace, Spool, SpoolSpace

LIMIT = 100_000
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
WITH_LENGTH = b"POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: \t5 \r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: z\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n"


def make_reception():
    return Reception(SpoolSpace(), lambda head: LIMIT)


def received(reception):
    """All bytes of the request, as gunicorn's parser reads them."""
    pieces = []
    while piece := reception.read(7):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("request_", [GET, b"\r\n" + GET, WITH_LENGTH, CHUNKED])
def test_a_request_is_ready_exactly_when_its_last_byte_has_arrived(request_):
    for cut in range(1, len(request_)):
        reception = make_reception()

        assert not reception.feed(request_[:cut])
        assert reception.feed(request_[cut:] + NEXT)

        assert reception.is_complete
        assert (received(reception), reception.rest) == (request_, NEXT)


@pytest.mark.parametrize(
    "malformed",
    [
        b"nonsense\r\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nA: b\nC",
        b"GET /" + b"x" * MAX_LINE_BYTES,
        b"\x16\x03\x01\x02\x00\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    ],
)
def test_a_malformed_request_is_ready_at_once_and_its_connection_is_not_used_again(malformed):
    reception = make_reception()

    assert reception.feed(malformed)

    assert not reception.is_complete
    assert reception.read(1_000_000) == malformed


@pytest.mark.parametrize(
    "too_large",
    [
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"x" * (LIMIT + 1),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;%b\r\nx\r\n" % (b"x" * 8_000) * 101,
    ],
)
def test_a_body_over_the_limit_is_ready_before_it_has_arrived(too_large):
    reception = make_reception()

    assert reception.feed(too_large)
    assert not reception.is_complete


def test_a_head_over_the_limit_is_refused():
    reception = make_reception()

    assert reception.feed(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEAD_BYTES // 6 + 1))

    with pytest.raises(LimitRequestHeaders):
        received(reception)


def test_reading_an_incomplete_request_fails_instead_of_waiting():
    reception = make_reception()
    reception.feed(WITH_LENGTH[:-1])

    assert reception.end()

    assert reception.read(1_000) == WITH_LENGTH[:-1]
    with pytest.raises(TimeoutError):
        reception.read(1)


def test_reading_ends_where_the_client_has_closed_its_side():
    reception = make_reception()
    reception.feed(WITH_LENGTH[:-1])
    reception.note_closed()

    assert reception.end()
    assert received(reception) == WITH_LENGTH[:-1]


def test_an_incomplete_head_needs_no_thread_when_its_time_is_over():
    reception = make_reception()
    reception.feed(GET[:-1])

    assert not reception.end()


def test_only_a_client_that_expects_it_and_has_not_sent_its_body_waits_for_100_continue():
    head = b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"
    waiting, sent, silent = make_reception(), make_reception(), make_reception()
    waiting.feed(head)
    sent.feed(head + b"x")
    silent.feed(WITH_LENGTH[:-1])

    assert [one.expects_continue() for one in (waiting, sent, silent)] == [True, False, False]


def test_many_bytes_are_kept_in_files_whose_total_size_is_limited():
    space = SpoolSpace(limit=2 * MEMORY_BYTES)
    first, second = Spool(space), Spool(space)
    content = bytes(range(256)) * (MEMORY_BYTES // 256) + b"end"

    first.write(content[:10])
    first.write(content[10:])
    first.rewind()

    with pytest.raises(NoSpace):
        second.write(content)
    assert first.read(10) + first.read(len(content)) == content
    first.close()
    second.write(content)  # closing the first gave its space back
