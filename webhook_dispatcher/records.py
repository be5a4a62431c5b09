"""Records of Kafka and of the log, which the consumer handles alike."""

from __future__ import annotations

from typing import Any, NamedTuple

LOG = "log"  # the topic of records of the log, as in their dead letters


class Record(NamedTuple):
    """One record of Kafka or of the log; `position` is None when the record does not state it."""

    topic: str
    partition: int
    offset: int
    position: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def event_type(self) -> str | None:
        """The type of the event in the headers of Kafka; None when they do not state it."""
        stated = dict(self.headers).get("ce_type")
        return None if stated is None else stated.decode(errors="replace")


def record_of_log(position: int, state: bytes) -> Record:
    return Record(LOG, 0, position, position, None, state, [])


def record_of_dead_letter(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: dict[str, str],
) -> Record:
    """Make the record again from which a dead letter was stored."""
    sent = [(name, text.encode()) for name, text in headers.items()]
    position = offset if topic == LOG else _position_in(dict(sent).get("ce_sequence", b""))
    return Record(topic, partition, offset, position, key, value, sent)


def to_record(message: Any) -> Record:
    headers = list(message.headers or [])
    position = _position_in(dict(headers).get("ce_sequence", b""))
    return Record(
        message.topic, message.partition, message.offset, position, message.key, message.value, headers
    )


def _position_in(sequence: bytes) -> int | None:
    return int(sequence) if sequence.isdigit() and len(sequence) <= 20 else None
