"""Logs: JSON lines on standard error, without secrets.

Logging never raises an exception. A line that cannot be written is counted instead
(infrastructure/process/standard_error.py).
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import structlog

from infrastructure.process import standard_error

_SECRET = re.compile(r"mt[a-z]_[0-9A-Za-z]{6,}|whsec_[0-9A-Za-z+/=_-]{6,}|(?i:bearer)\s+\S+")
_SECRET_NAME = re.compile(r"authorization|password|secret|token|signing_key|api_key\Z", re.IGNORECASE)
_is_secret_name = lru_cache(maxsize=256)(_SECRET_NAME.search)  # there are few names of fields
REDACTED = "[redacted]"
LIBRARIES = ("asyncio", "kafka", "psycopg")  # their messages are written as JSON lines too

Event = MutableMapping[str, Any]

_writes_info = True  # the level that configure_logs sets


def configure_logs(level: str) -> None:
    """Configure structlog and the standard library's logging for this process, for existing loggers too.

    Loggers are not cached: a cached logger would keep the level and the processors of its first line, and a
    command sets its level twice (cli/main.py, then the command).
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
        wrapper_class=_make_safe_logger(structlog.make_filtering_bound_logger(level)),
        logger_factory=_LineLogger,
        cache_logger_on_first_use=False,
    )
    global _writes_info
    _writes_info = logging.getLevelNamesMapping()[level] <= logging.INFO
    logging.raiseExceptions = False
    logging.lastResort = LineHandler(logging.WARNING)  # for loggers without a handler
    for name in LIBRARIES:
        _configure_library(name, max(logging.getLevelNamesMapping()[level], logging.WARNING))


def write_info(event: str, **fields: Any) -> None:
    """Write the line that a logger's `info` writes, in half of the time: for the line of each request."""
    if _writes_info:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = render(
            None, "", redact(None, "", fields | {"event": event, "level": "info", "timestamp": now})
        )
        standard_error.output.write(line + b"\n")


def redact(logger: object, method: str, event: Event) -> Event:
    """Replace values that look like credentials, by the name of the field or by their form."""
    for name, value in event.items():
        if _is_secret_name(name):
            event[name] = REDACTED
        elif isinstance(value, str):
            if _may_contain_secret(value):
                event[name] = _SECRET.sub(REDACTED, value)
        elif value is not None and not isinstance(value, (int, float)):
            event[name] = _SECRET.sub(REDACTED, _text_of(value))
    return event


def render(logger: object, method: str, event: Event) -> bytes:
    """Encode the event as one line of JSON, without the line feed. Values that JSON cannot express, such as
    half a surrogate pair, become text."""
    fields = {name: value for name, value in event.items() if value is not None}
    try:
        return msgspec.json.encode(fields)
    except Exception:
        return msgspec.json.encode({_text_of(name): _text_of(value) for name, value in fields.items()})


class LineHandler(logging.Handler):
    """Writes the records of the standard library's logging as JSON lines."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode()
        except Exception as error:  # for example, arguments that do not fit the message
            line = _failure_line(record.msg, error)
        standard_error.output.write(line + b"\n")


class JsonFormatter(logging.Formatter):
    """Formats a record of the standard library's logging as a JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        event: Event = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return render(None, "", redact(None, "", event)).decode()


class _LineLogger:
    """The output of structlog: writes formatted lines."""

    def __init__(self, *names: object) -> None:
        """Ignore the arguments of structlog.get_logger."""

    def msg(self, line: bytes) -> None:
        standard_error.output.write(line + b"\n")

    debug = info = warning = error = critical = exception = msg


def _make_safe_logger(bound_logger: Any) -> Any:
    """A subclass of the logger class that writes a line about the error if an event cannot be formatted."""

    class SafeLogger(bound_logger):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> None:
            try:
                super()._proxy_to_logger(method_name, event, **fields)
            except Exception as error:
                standard_error.output.write(_failure_line(event, error) + b"\n")

    return SafeLogger


def _failure_line(event: object, error: Exception) -> bytes:
    """The line for an event that cannot be formatted."""
    fields = {"event": "log_event_not_shown", "level": "error", "of": event, "error": type(error).__name__}
    return render(None, "", redact(None, "", fields))


def _configure_library(name: str, level: int) -> None:
    logger = logging.getLogger(name)
    logger.handlers = [LineHandler()]
    logger.setLevel(level)
    logger.propagate = False


def _text_of(value: object) -> str:
    """The value as text that JSON can express."""
    try:
        return str(value).encode(errors="backslashreplace").decode()
    except Exception:
        return f"<{type(value).__name__} without text>"


def _may_contain_secret(text: str) -> bool:
    """A fast check, so that most values need no search with the regular expression."""
    return "mt" in text or "whsec_" in text or "earer" in text or "EARER" in text
