"""What the server writes to a client that takes it later, or never."""

import socket

import pytest

from server.client_socket import ClientSocket
from server.spool import MEMORY_BYTES, SpoolSpace

LARGE = bytes(range(256)) * (8 * MEMORY_BYTES // 256)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    client = ClientSocket.of(ours, SpoolSpace())
    client.setblocking(True)  # as gunicorn does
    with client, theirs:
        theirs.settimeout(10)
        yield client, theirs


def read_all(client, theirs, size):
    taken = bytearray()
    while len(taken) < size:
        client.flush()
        taken += theirs.recv(65_536)
    return bytes(taken)


def test_an_answer_that_the_client_does_not_take_is_kept_without_waiting(pair, tmp_path):
    client, theirs = pair
    (tmp_path / "file").write_bytes(b"0" + LARGE + b"1")

    client.sendall(b"head")
    client.sendall(LARGE)
    with (tmp_path / "file").open("rb") as file:
        client.sendfile(file, offset=1, count=len(LARGE))
    client.sendall(b"tail")
    is_sent = client.flush()

    expected = b"head" + LARGE + LARGE + b"tail"
    assert not is_sent
    assert read_all(client, theirs, len(expected)) == expected
    assert client.flush()
    assert not client.has_unsent


def test_a_client_that_is_gone_is_noticed(pair):
    client, theirs = pair
    theirs.close()
    client.sendall(b"x")

    with pytest.raises(OSError, match="Broken pipe"):
        client.flush()


def test_many_small_pieces_arrive_in_order(pair):
    client, theirs = pair
    pieces = [bytes([number % 256]) * 1_000 for number in range(1_000)]

    for piece in pieces:
        client.sendall(piece)

    assert read_all(client, theirs, 1_000_000) == b"".join(pieces)
