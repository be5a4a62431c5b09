"""Settings: environment variables, read once per process into one frozen struct."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import ProgrammingError

from domain.web_origin import parse_origin

IpNetwork = IPv4Network | IPv6Network

_OTLP = "http/protobuf"
_SAMPLERS = (
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
    *("always_on", "always_off", "traceidratio"),
)
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


class BadSettings(Exception):
    """A setting is not valid; the message names the variable and the values it accepts."""


# The schedule of Standard Webhooks: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after each failure.
WEBHOOK_RETRY_SECONDS = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of all processes. docs/reference/settings.md lists the variables."""

    home: Path
    database_url: str | None = None
    direct_database_url: str | None = None
    read_database_url: str | None = None
    postgres_data_dir: Path | None = None
    migrate_database_url: str | None = None
    port: int = 8000
    host: str = "127.0.0.1"
    base_url: str = "http://127.0.0.1:8000"
    workers: int = 4
    threads: int = 8
    worker_timeout_seconds: int = 30
    event_log_lock: Literal["watermark", "table"] = "watermark"
    kafka_bootstrap_servers: str | None = None
    kafka_prefix: str = "ticketing"
    kafka_replication_factor: int = 1
    metrics_port: int | None = None
    has_traces: bool = False
    attachments_s3_bucket: str | None = None
    attachments_s3_endpoint: str | None = None
    signing_key: str | None = None
    master_key: str | None = None
    notary_folder: Path | None = None
    checkpoint_minutes: int = 5
    log_level: str = "INFO"
    webhook_allow_private_addresses: bool = False
    trusted_proxies: tuple[IpNetwork, ...] = ()
    cors_origins: tuple[str, ...] = ()
    webhook_retry_seconds: tuple[float, ...] = WEBHOOK_RETRY_SECONDS
    webhook_timeout_seconds: float = 15.0
    webhook_retention_days: int = 90

    @property
    def direct_url(self) -> str:
        """The address of PostgreSQL itself, for everything but the requests of the API."""
        return self.direct_database_url or self.database_url or ""

    @property
    def has_pooler(self) -> bool:
        """Whether DATABASE_URL may lead to a connection pooler, whose sessions keep no state."""
        return self.direct_database_url is not None

    @property
    def has_replica(self) -> bool:
        """Whether requests read from a replica."""
        return self.read_database_url is not None

    @property
    def notary_dir(self) -> Path:
        return self.notary_folder or self.home / "notary"

    @property
    def attachments_dir(self) -> Path:
        return self.home / "attachments"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises BadSettings for the first variable that is not valid."""
    env = os.environ if environ is None else environ
    port = _integer(env, "PORT", 8000, 1, 65_535)
    host = env.get("HOST") or "127.0.0.1"
    home = Path(env.get("TICKETING_HOME") or ".ticketing").resolve()
    return Settings(
        home=home,
        database_url=_database_address(env, "DATABASE_URL"),
        direct_database_url=_address_beside(env, "DIRECT_DATABASE_URL"),
        read_database_url=_address_beside(env, "READ_DATABASE_URL"),
        postgres_data_dir=Path(env["POSTGRES_DATA_DIR"]) if env.get("POSTGRES_DATA_DIR") else None,
        migrate_database_url=_address_beside(env, "MIGRATE_DATABASE_URL"),
        port=port,
        host=host,
        base_url=(_web_address(env, "BASE_URL") or f"http://127.0.0.1:{port}").rstrip("/"),
        workers=_integer(env, "WORKERS", 4, 1, 64),
        threads=_integer(env, "THREADS", 8, 1, 256),
        worker_timeout_seconds=_integer(env, "WORKER_TIMEOUT_SECONDS", 30, 3, 600),
        event_log_lock=_one_of(env, "EVENT_LOG_LOCK", "watermark", "table"),  # type: ignore[arg-type]
        kafka_bootstrap_servers=_kafka_servers(env),
        kafka_prefix=_kafka_prefix(env),
        kafka_replication_factor=_integer(env, "KAFKA_REPLICATION_FACTOR", 1, 1, 15),
        metrics_port=_metrics_port(env, port),
        has_traces=_has_traces(env),
        attachments_s3_bucket=env.get("ATTACHMENTS_S3_BUCKET") or None,
        attachments_s3_endpoint=_s3_endpoint(env),
        signing_key=env.get("SIGNING_KEY") or None,
        master_key=env.get("MASTER_KEY") or None,
        notary_folder=Path(env["NOTARY_DIR"]).resolve() if env.get("NOTARY_DIR") else None,
        checkpoint_minutes=_integer(env, "CHECKPOINT_MINUTES", 5, 1, 1_440),
        log_level=_log_level(env),
        webhook_allow_private_addresses=_one_of(env, "WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0", "1") == "1",
        trusted_proxies=_trusted_proxies(env),
        cors_origins=_origins(env, "CORS_ORIGINS"),
        webhook_retry_seconds=_seconds_list(env, "WEBHOOK_RETRY_SECONDS", WEBHOOK_RETRY_SECONDS),
        webhook_timeout_seconds=_integer(env, "WEBHOOK_TIMEOUT_SECONDS", 15, 1, 60),
        webhook_retention_days=_integer(env, "WEBHOOK_RETENTION_DAYS", 90, 7, 36_500),
    )


def variable_names() -> set[str]:
    """The names of all environment variables that `load_settings` reads."""
    environ = _RecordingEnvironment()
    load_settings(environ)
    return environ.names


class _RecordingEnvironment(Mapping[str, str]):
    """An empty environment that records every name looked up in it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _one_of(env: Mapping[str, str], name: str, default: str, other: str) -> str:
    word = env.get(name) or default
    if word not in (default, other):
        raise BadSettings(f"{name} is {word!r}. It must be {default} or {other}.")
    return word


def _log_level(env: Mapping[str, str]) -> str:
    level = (env.get("LOG_LEVEL") or "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise BadSettings(f"LOG_LEVEL is {level!r}. It must be DEBUG, INFO, WARNING or ERROR.")
    return level


def _database_address(env: Mapping[str, str], name: str) -> str | None:
    """The connection string, or None. Error messages omit it, because it may contain a password."""
    address = env.get(name) or None
    try:
        conninfo_to_dict(address or "")
    except ProgrammingError:
        raise BadSettings(
            f"{name} is not a PostgreSQL connection string, such as postgresql://user:password@host/ticketing."
        ) from None
    return address


def _address_beside(env: Mapping[str, str], name: str) -> str | None:
    """Another address of the database of DATABASE_URL, or None."""
    address = _database_address(env, name)
    if address is not None and not env.get("DATABASE_URL"):
        raise BadSettings(f"{name} is set without DATABASE_URL. Set both, or only DATABASE_URL.")
    return address


def _web_address(env: Mapping[str, str], name: str) -> str | None:
    address = env.get(name) or None
    if address is not None and not _is_web_address(address):
        raise BadSettings(f"{name} is {address!r}. It must be a URL such as https://tickets.example.com.")
    return address


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    is_plain = address.isascii() and address.isprintable() and " " not in address and "@" not in parts.netloc
    is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return is_plain and is_complete and not parts.query and not parts.fragment


def _metrics_port(env: Mapping[str, str], port: int) -> int | None:
    metrics_port = _integer(env, "METRICS_PORT", 0, 0, 65_535) or None
    if metrics_port == port:
        raise BadSettings(f"METRICS_PORT is {port}, the same as PORT. Set another port.")
    return metrics_port


def _has_traces(env: Mapping[str, str]) -> bool:
    """Whether the variables of OpenTelemetry name a collector.

    If they do, values that its SDK would ignore or replace are refused.
    """
    endpoints = [_web_address(env, f"OTEL_EXPORTER_OTLP_{name}ENDPOINT") for name in ("TRACES_", "")]
    is_disabled = (env.get("OTEL_SDK_DISABLED") or "").strip().lower() == "true"
    protocol = env.get("OTEL_EXPORTER_OTLP_PROTOCOL") or _OTLP
    sampler = env.get("OTEL_TRACES_SAMPLER") or _SAMPLERS[0]
    share = env.get("OTEL_TRACES_SAMPLER_ARG") or None
    if is_disabled or not any(endpoints):
        return False
    if protocol != _OTLP:
        raise BadSettings(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}. Only {_OTLP} is supported.")
    if sampler not in _SAMPLERS:
        raise BadSettings(f"OTEL_TRACES_SAMPLER is {sampler!r}. It must be one of {', '.join(_SAMPLERS)}.")
    if share is not None and not re.fullmatch(r"0(\.[0-9]{1,9})?|1(\.0{1,9})?", share):
        raise BadSettings(f"OTEL_TRACES_SAMPLER_ARG is {share!r}. It must be from 0 to 1, such as 0.1.")
    if share is not None and not sampler.endswith("traceidratio"):
        raise BadSettings(
            f"OTEL_TRACES_SAMPLER_ARG is set, but OTEL_TRACES_SAMPLER is {sampler}, which ignores it."
            " Set OTEL_TRACES_SAMPLER to parentbased_traceidratio."
        )
    return True


def _s3_endpoint(env: Mapping[str, str]) -> str | None:
    endpoint = _web_address(env, "ATTACHMENTS_S3_ENDPOINT")
    if endpoint is not None and not env.get("ATTACHMENTS_S3_BUCKET"):
        raise BadSettings(
            "ATTACHMENTS_S3_ENDPOINT is set without ATTACHMENTS_S3_BUCKET. Set both, or neither."
        )
    return endpoint


def _trusted_proxies(env: Mapping[str, str]) -> tuple[IpNetwork, ...]:
    parts = [part.strip() for part in (env.get("TRUSTED_PROXIES") or "").split(",") if part.strip()]
    try:
        networks = tuple(ip_network(part) for part in parts)
    except ValueError as error:
        raise BadSettings(
            f"TRUSTED_PROXIES: {error}. It must list networks, such as 10.0.0.0/8,192.168.1.7."
        ) from None
    if any(network.prefixlen == 0 for network in networks):
        raise BadSettings(
            f"TRUSTED_PROXIES is {env['TRUSTED_PROXIES']!r}, which contains every address, so clients could"
            " choose the address for which their attempts to sign in are counted. List the networks of your"
            " proxies, such as 10.0.0.0/8."
        )
    return networks


def _origins(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    parts = [part.strip() for part in (env.get(name) or "").split(",") if part.strip()]
    origins = [parse_origin(part) for part in parts]
    if None in origins:
        part = parts[origins.index(None)]
        raise BadSettings(
            f"{name}: {part!r} is not an origin. It must list origins of web pages, such as"
            " https://board.example.com,http://localhost:3000."
        )
    return tuple(origin for origin in origins if origin is not None)


def _seconds_list(env: Mapping[str, str], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    text = env.get(name)
    if not text:
        return default
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 50 or not all(re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", part) for part in parts):
        raise BadSettings(f"{name} is {text!r}. It must list seconds, such as 5,300,1800.")
    return tuple(float(part) for part in parts)


def _kafka_prefix(env: Mapping[str, str]) -> str:
    prefix = env.get("KAFKA_PREFIX") or "ticketing"
    if not re.fullmatch(r"[a-zA-Z0-9-]{1,100}", prefix):
        raise BadSettings(f"KAFKA_PREFIX is {prefix!r}. It must be 1 to 100 letters, digits and hyphens.")
    return prefix


def _kafka_servers(env: Mapping[str, str]) -> str | None:
    servers = env.get("KAFKA_BOOTSTRAP_SERVERS") or None
    if servers is not None and not all(_is_server(one.strip()) for one in servers.split(",")):
        raise BadSettings(
            f"KAFKA_BOOTSTRAP_SERVERS is {servers!r}."
            " It must list servers, such as kafka-1:9092,kafka-2:9092."
        )
    return servers


def _is_server(text: str) -> bool:
    found = _SERVER.fullmatch(text)
    return found is not None and 1 <= int(found[2]) <= 65_535


def _integer(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadSettings(f"{name} is {text!r}. It must be a whole number from {least} to {most}.")
    return int(text)
