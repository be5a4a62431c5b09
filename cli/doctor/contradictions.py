"""Checks that the settings do not contradict one another. Reads no server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from cli.doctor.finding import Finding, ok, problem, warning
from infrastructure.keys.vault import KEY_FILE
from infrastructure.settings import Settings, variable_names

CHECK = "settings"
SHORTEST_SIGNING_KEY = 32  # characters
SIMILAR = 0.88  # of the letters are equal; a word more or less makes names more different
SHORTEST_NAME = 8
_OF_OTHERS = ("OTEL_", "AWS_", "PG")
_DEFAULT_PREFIX = "ticketing"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_settings(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """One finding for each contradiction, and for each name that looks misspelt; one OK if there is none."""
    found = [
        *_check_names(environ),
        *_check_addresses_of_database(settings),
        *_check_public_address(settings),
        *_check_kafka(settings),
        *_check_storage(settings),
        *_check_keys(settings),
    ]
    return found or [ok(CHECK, "they do not contradict one another.")]


def _check_names(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that no process reads, and whose names differ little from that of one that is read."""
    known = variable_names()
    for name in sorted(environ.keys() - known):
        similar = get_close_matches(name.upper(), known, 1, SIMILAR) if len(name) >= SHORTEST_NAME else []
        if similar and not name.startswith(_OF_OTHERS):
            yield warning(
                CHECK,
                f"{name} is set, which no process reads.",
                f"Rename it if {similar[0]} is meant.",
            )


def _check_addresses_of_database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url and (settings.home / "postgres").exists():
        yield warning(
            CHECK,
            f"DATABASE_URL is set, but {settings.home / 'postgres'} has the data of an embedded PostgreSQL,"
            " which is not used.",
            "Remove DATABASE_URL to use it, or move that folder away.",
        )
    if settings.direct_database_url and settings.direct_database_url == settings.database_url:
        yield warning(
            CHECK,
            "DIRECT_DATABASE_URL and DATABASE_URL are equal, so the API prepares no statements, as for a"
            " pooler.",
            "Set DIRECT_DATABASE_URL only if DATABASE_URL leads to a connection pooler.",
        )
    yield from _check_hosts_of_database(settings)


def _check_hosts_of_database(settings: Settings) -> Iterator[Finding]:
    """Addresses of several servers must say which of them is meant."""
    writing = {
        "DATABASE_URL": settings.database_url,
        "DIRECT_DATABASE_URL": settings.direct_database_url,
        "MIGRATE_DATABASE_URL": settings.migrate_database_url,
    }
    for name, address in writing.items():
        given = conninfo_to_dict(address or "")
        hosts, target = str(given.get("host") or ""), given.get("target_session_attrs")
        if "," in hosts and target not in ("read-write", "primary"):
            yield problem(
                CHECK,
                f"{name} lists the hosts {hosts} without target_session_attrs=read-write, so it may lead to a"
                " replica, on which changes fail.",
                f"Add target_session_attrs=read-write to {name}.",
            )
    reading = conninfo_to_dict(settings.read_database_url or "")
    if reading and (
        settings.read_database_url in (settings.database_url, settings.direct_database_url)
        or reading.get("target_session_attrs") in ("read-write", "primary")
    ):
        yield warning(
            CHECK,
            "READ_DATABASE_URL is an address of the primary, so it relieves nothing.",
            "Set it to the address of a replica, with target_session_attrs=prefer-standby if it lists several"
            " hosts, or remove it.",
        )


def _check_public_address(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.base_url)
    is_local = parts.hostname in _LOOPBACK
    if is_local and settings.host not in _LOOPBACK:
        yield warning(
            CHECK,
            f"HOST is {settings.host}, but BASE_URL is {settings.base_url}: links in answers lead"
            " clients on other machines to themselves.",
            "Set BASE_URL to the address under which clients reach the API.",
        )
    if not is_local and parts.scheme == "http":
        yield warning(
            CHECK,
            f"BASE_URL is {settings.base_url}, so passwords and keys are sent without encryption.",
            "Put a proxy with TLS in front of the API, and set BASE_URL to its https address.",
        )
    if parts.scheme == "https" and not settings.trusted_proxies:
        yield warning(
            CHECK,
            "BASE_URL begins with https, so a proxy is in front of the API, but TRUSTED_PROXIES is not set:"
            " all attempts to sign in are counted for the address of the proxy.",
            "Set TRUSTED_PROXIES to the network of the proxy.",
        )
    if settings.webhook_allow_private_addresses and not is_local:
        yield problem(
            CHECK,
            f"WEBHOOK_ALLOW_PRIVATE_ADDRESSES is 1, but BASE_URL is {settings.base_url}: admins can make the"
            " dispatcher post to servers in your network.",
            "Set it to 0, except on a machine for development or tests.",
        )


def _check_kafka(settings: Settings) -> Iterator[Finding]:
    servers = settings.kafka_bootstrap_servers
    if not servers and settings.kafka_replication_factor > 1:
        yield warning(
            CHECK,
            "KAFKA_REPLICATION_FACTOR is set without KAFKA_BOOTSTRAP_SERVERS, so nothing is published.",
            "Set KAFKA_BOOTSTRAP_SERVERS, or remove KAFKA_REPLICATION_FACTOR.",
        )
    if not servers and settings.kafka_prefix != _DEFAULT_PREFIX:
        yield warning(
            CHECK,
            "KAFKA_PREFIX is set without KAFKA_BOOTSTRAP_SERVERS, so nothing is published.",
            "Set KAFKA_BOOTSTRAP_SERVERS, or remove KAFKA_PREFIX.",
        )
    if servers and servers.count(",") >= 2 and settings.kafka_replication_factor == 1:
        yield warning(
            CHECK,
            f"KAFKA_BOOTSTRAP_SERVERS lists {servers.count(',') + 1} servers, but KAFKA_REPLICATION_FACTOR is"
            " 1: new topics are lost with one server.",
            "Set KAFKA_REPLICATION_FACTOR to 3.",
        )


def _check_storage(settings: Settings) -> Iterator[Finding]:
    data_dir = settings.postgres_data_dir
    if data_dir is None:
        return
    host = str(conninfo_to_dict(settings.direct_url).get("host") or "")
    if host and host not in _LOOPBACK and not host.startswith("/"):
        yield warning(
            CHECK,
            f"POSTGRES_DATA_DIR is set, but PostgreSQL is on the host {host}: writes are refused when the"
            " disk of this machine is full instead of that one.",
            "Remove POSTGRES_DATA_DIR, unless that host is this machine.",
        )
    if settings.notary_dir.is_relative_to(data_dir.resolve()):
        yield warning(
            CHECK,
            f"NOTARY_DIR {settings.notary_dir} is in POSTGRES_DATA_DIR: whoever alters the log there can"
            " alter its checkpoints too.",
            "Set NOTARY_DIR to a folder that administrators of the database cannot write to.",
        )


def _check_keys(settings: Settings) -> Iterator[Finding]:
    if settings.signing_key is not None and len(settings.signing_key) < SHORTEST_SIGNING_KEY:
        yield warning(
            CHECK,
            f"SIGNING_KEY has {len(settings.signing_key)} characters, so it can be guessed.",
            f"Use {SHORTEST_SIGNING_KEY} random characters or more, or remove it.",
        )
    file = settings.home / KEY_FILE
    if settings.master_key is None or not os.access(file, os.R_OK):
        return
    if not set(file.read_text().split()) <= set(settings.master_key.replace(",", " ").split()):
        yield warning(
            CHECK,
            f"MASTER_KEY and the file {file} have different keys; the file is not used.",
            "Keep the file elsewhere if its key is still needed, and remove it here.",
        )
