"""Logs: JSON lines on standard error, one line an outcome, with nothing secret in them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import msgspec
import structlog

_SECRET = re.compile(r"mt[a-z]_[0-9A-Za-z]{6,}|whsec_[0-9A-Za-z+/=_-]{6,}|(?i:bearer)\s+\S+")
_SECRET_NAME = re.compile(r"authorization|password|secret|token|signing_key|api_key\Z", re.IGNORECASE)
_is_secret_name = lru_cache(maxsize=256)(_SECRET_NAME.search)  # the program has few words for fields
REDACTED = "[redacted]"
LIBRARIES = ("asyncio", "kafka", "psycopg")  # what they have to say comes out as the same lines

Event = MutableMapping[str, Any]


def configure_logs(level: str) -> None:
    """Set up structlog and LIBRARIES for this process. Every logger made before or after follows."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    for name in LIBRARIES:
        _configure_library(name, max(logging.getLevelNamesMapping()[level], logging.WARNING))


def redact(logger: object, method: str, event: Event) -> Event:
    """Take out what looks like a credential, by the name of the field or by its form."""
    for name, value in event.items():
        if _is_secret_name(name):
            event[name] = REDACTED
        elif isinstance(value, str):
            if _may_hold_secret(value):
                event[name] = _SECRET.sub(REDACTED, value)
        elif value is not None and not isinstance(value, (int, float)):
            event[name] = _SECRET.sub(REDACTED, str(value))
    return event


def render(logger: object, method: str, event: Event) -> bytes:
    return msgspec.json.encode({name: value for name, value in event.items() if value is not None})


class JsonFormatter(logging.Formatter):
    """The same lines for what libraries log through the standard library."""

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


def _configure_library(name: str, level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(name)
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _may_hold_secret(text: str) -> bool:
    """A quick look that spares most values the expression."""
    return "mt" in text or "whsec_" in text or "earer" in text or "EARER" in text
