"""Logging never raises and never blocks for long, for any standard error and any logged value."""

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
from structlog.testing import capture_logs

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


def open_full_disk():
    return os.open("/dev/full", os.O_WRONLY)


def open_broken_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("descriptor", [open_full_disk, open_broken_pipe, lambda: NO_DESCRIPTOR])
def test_lines_that_cannot_be_written_are_counted(descriptor):
    reports = []
    output = LineOutput(descriptor()).open_own_descriptor()
    output.on_lost = lambda: reports.append(1)

    for number in range(3):
        output.write(line_of(number))

    assert output.lost == len(reports) == 3


def open_pipe():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    return reading, writing


def open_terminal():
    """A terminal that is not read, such as that of a session whose network has failed."""
    reading, writing = pty.openpty()
    tty.setraw(writing)
    return reading, writing


def open_socket():
    reading, writing = socket.socketpair()
    return reading.detach(), writing.detach()


@pytest.mark.parametrize("open_both_ends", [open_pipe, open_socket, open_terminal])
@pytest.mark.parametrize("size", [1_000, 70_000])
def test_a_slow_reader_does_not_delay_writers_and_receives_whole_lines_later(open_both_ends, size):
    reading, writing = open_both_ends()
    output = LineOutput(writing).open_own_descriptor()
    began = time.monotonic()

    for number in range(LINES):
        output.write(line_of(number, size))
    seconds = time.monotonic() - began
    received = read_all(reading)
    while not received.endswith(b"\n") or b"log_lines_lost" not in received:  # the last line is completed
        output.write(line_of(LINES))
        received += read_all(reading)
        assert time.monotonic() < began + ANSWER_SECONDS

    events = [json.loads(line) for line in received.decode().splitlines()]
    numbers = [event["number"] for event in events if event["event"] == "x"]
    (report,) = (event for event in events if event["event"] == "log_lines_lost")
    assert seconds < ANSWER_SECONDS
    assert os.get_blocking(writing)  # other processes that write to it share the mode
    assert report["lines"] > 0
    assert numbers == sorted(numbers)
    assert len([one for one in numbers if one < LINES]) + report["lines"] >= LINES


class Unprintable:
    def __str__(self):
        raise ValueError("no text")


VALUES = [
    "half a pair: \ud800",
    b"\xff\x00",
    Unprintable(),
    2**70,
    float("nan"),
    {"nested": "\udfff"},
    {1, 2},
    Unprintable,
]


@pytest.fixture
def read_entries(tmp_path, monkeypatch):
    """Configure logs to go to a file, and return a function that reads its entries."""
    path = tmp_path / "log"
    monkeypatch.setattr(standard_error, "output", LineOutput(os.open(path, os.O_WRONLY | os.O_CREAT)))
    configure_logs("INFO")
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_any_value_is_logged(read_entries, value):
    structlog.get_logger().info("with a value", value=value)
    LineHandler().handle(logging.makeLogRecord({"name": "kafka", "msg": "%s", "args": (value,)}))
    try:
        raise RuntimeError(value)
    except RuntimeError as error:
        structlog.get_logger().error("with an exception", exc_info=error)

    first, second, third = read_entries()
    assert first["event"] == "with a value"
    assert second.get("logger") == "kafka" or second["event"] == "log_event_not_shown"
    assert third["event"] == "with an exception"


@pytest.mark.parametrize("name", ["kafka", "a library without log settings"])
def test_a_broken_message_of_a_library_is_logged(read_entries, name):
    logger = logging.getLogger(name)
    logger.propagate = False  # pytest has handlers of its own at the root

    logger.error("%d", "no number")

    (line,) = read_entries()
    assert (line["event"], line["of"]) == ("log_event_not_shown", "%d")


def test_printing_to_a_full_disk_does_not_raise():
    output = LineOutput(open_full_disk())
    stream = text_stream(output)

    print("half a pair: \ud800", file=stream)
    stream.write("no end of line")
    stream.flush()

    assert output.lost == 2
    assert not stream.isatty()


def test_a_level_applies_to_loggers_that_were_used_before(read_entries):
    configure_logs("WARNING")
    logger = structlog.get_logger()
    logger.warning("first")
    logger.info("below the level")

    configure_logs("INFO")
    logger.info("second")
    with capture_logs() as captured:
        logger.info("third")

    assert [entry["event"] for entry in read_entries()] == ["first", "second"]
    assert [entry["event"] for entry in captured] == ["third"]
