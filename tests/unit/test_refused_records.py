"""The advice about a record that Kafka refuses."""

import pytest
from kafka.errors import InvalidRecordError, MessageSizeTooLargeError, PolicyViolationError
from structlog.testing import capture_logs

from event_stream.refusals import RecordRefused, explain
from infrastructure.settings import load_settings
from infrastructure.storage.recorder import StoredRow

STATE = b'{"event_id":"e","occurred_at":"2026-01-01T12:00:00Z","request_id":"r"}'
ROW = StoredRow(7, "ticket-1", 2, "ticket.commented", STATE)
LATE = "Timestamp 1795828430502 of message with offset 0 is out of range."


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (MessageSizeTooLargeError(), "max.message.bytes"),
        (InvalidRecordError(LATE), "message.timestamp.after.max.ms, message.timestamp.before.max.ms"),
        (PolicyViolationError("a policy of the cluster"), None),
    ],
)
def test_the_message_and_the_log_name_the_record_and_the_setting(error, setting):
    with capture_logs() as lines:
        message = explain(RecordRefused(ROW, 0, error), load_settings({}))

    assert "ticket.commented at position 7, version 2 of ticket-1" in message
    assert lines[0]["advice"] in message
    assert lines[0].get("setting") == setting
    assert (setting or "that the error or the log of the Kafka server names") in message


def test_the_advised_limit_fits_the_record():
    huge = ROW._replace(state=STATE[:-1] + b',"text":"' + b"x" * 2_000_000 + b'"}')

    message = explain(RecordRefused(huge, 0, MessageSizeTooLargeError()), load_settings({}))

    assert 2_000_000 < int(message.rpartition("=")[2]) < 2_010_000
