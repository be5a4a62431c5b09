"""Logging never raises and never waits for long, wherever standard error leads and whatever an event is."""

import fcntl
import json
import logging
import os
import pty
import socket
import time
import tty

import pytest
import structlog

from infrastructure.process import standard_error
from infrastructure.process.logs import LineHandler, configure_logs
from infrastructure.process.standard_error import LineOutput, text_stream

LINES = 300
ANSWER_SECONDS = 5
NO_DESCRIPTOR = 9_999


def line_of(number, size=1_000):
    return json.dumps({"event": "x", "number": number, "filler": "y" * size}).encode() + b"\n"


def read_all(descriptor):
    os.set_blocking(descriptor, False)
    pieces = []
    while True:
        try:
            pieces.append(os.read(descriptor, 1_000_000))
        except BlockingIOError:
            return b"".join(pieces)


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def reader_gone():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("descriptor", [full_disk, reader_gone, lambda: NO_DESCRIPTOR])
def test_lines_that_cannot_be_written_are_counted(descriptor):
    told = []
    output = LineOutput(descriptor()).open_own_descriptor()
    output.on_lost = lambda: told.append(1)

    for number in range(3):
        output.write(line_of(number))

    assert output.lost == len(told) == 3


def ends_of_pipe():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    return reading, writing


def ends_of_terminal():
    """One that nobody reads, such as that of a session whose network has gone."""
    reading, writing = pty.openpty()
    tty.setraw(writing)
    return reading, writing


def ends_of_socket():
    reading, writing = socket.socketpair()
    return reading.detach(), writing.detach()


@pytest.mark.parametrize("ends", [ends_of_pipe, ends_of_socket, ends_of_terminal])
@pytest.mark.parametrize("size", [1_000, 70_000])
def test_a_reader_that_sleeps_delays_nobody_and_gets_whole_lines_later(ends, size):
    reading, writing = ends()
    output = LineOutput(writing).open_own_descriptor()
    began = time.monotonic()

    for number in range(LINES):
        output.write(line_of(number, size))
    seconds = time.monotonic() - began
    received = read_all(reading)
    while not received.endswith(b"\n") or b"log_lines_lost" not in received:  # what was begun is finished
        output.write(line_of(LINES))
        received += read_all(reading)
        assert time.monotonic() < began + ANSWER_SECONDS

    events = [json.loads(line) for line in received.decode().splitlines()]
    numbers = [event["number"] for event in events if event["event"] == "x"]
    (report,) = (event for event in events if event["event"] == "log_lines_lost")
    assert seconds < ANSWER_SECONDS
    assert os.get_blocking(writing)  # others have the same pipe
    assert report["lines"] > 0
    assert numbers == sorted(numbers)
    assert len([one for one in numbers if one < LINES]) + report["lines"] >= LINES


class Unwilling:
    def __str__(self):
        raise ValueError("no text")


VALUES = [
    "half a pair: \ud800",
    b"\xff\x00",
    Unwilling(),
    2**70,
    float("nan"),
    {"nested": "\udfff"},
    {1, 2},
    Unwilling,
]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Configures logs that go to a file; gives what they say there."""
    path = tmp_path / "log"
    monkeypatch.setattr(standard_error, "output", LineOutput(os.open(path, os.O_WRONLY | os.O_CREAT)))
    configure_logs("INFO")
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_any_value_makes_a_line(written, value):
    structlog.get_logger().info("with a value", value=value)
    LineHandler().handle(logging.makeLogRecord({"name": "kafka", "msg": "%s", "args": (value,)}))
    try:
        raise RuntimeError(value)
    except RuntimeError as error:
        structlog.get_logger().error("with an exception", exc_info=error)

    first, second, third = written()
    assert first["event"] == "with a value"
    assert second.get("logger") == "kafka" or second["event"] == "log_event_not_shown"
    assert third["event"] == "with an exception"


@pytest.mark.parametrize("name", ["kafka", "a library that nobody has set up"])
def test_a_librarys_broken_message_makes_a_line(written, name):
    logger = logging.getLogger(name)
    logger.propagate = False  # pytest has handlers of its own at the root

    logger.error("%d", "no number")

    (line,) = written()
    assert (line["event"], line["of"]) == ("log_event_not_shown", "%d")


def test_printing_to_a_full_disk_raises_nothing():
    output = LineOutput(full_disk())
    stream = text_stream(output)

    print("half a pair: \ud800", file=stream)
    stream.write("no end of line")
    stream.flush()

    assert output.lost == 2
    assert not stream.isatty()
