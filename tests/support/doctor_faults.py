"""Faults of a database that `ticketing doctor` must name.

For each: SQL that causes it, SQL that repairs it, the level and check of the finding, and a part of its text.
"""

from __future__ import annotations

from typing import NamedTuple

from infrastructure.storage.roles import APPLICATION

ENDPOINT = (
    "INSERT INTO hook.endpoints (id, version, url, event_names, owner_role, owner_auth, is_enabled,"
    " created_at, updated_at) VALUES ('e', 1, 'https://a', '{}', 'admin', 'api_key', true, now(), now());"
)
DELIVERY = (
    "INSERT INTO hook.deliveries (endpoint_id, message_id, aggregate_id, version, status, next_at,"
    " leased_until) VALUES ('e', 'm', 'a', 1, %s)"
)


class Fault(NamedTuple):
    breaking: str
    repairing: str
    finding: tuple[str, str]
    text: str


SEQUENCE = "es.stored_events_notification_id_seq"
FAULTS: dict[str, Fault] = {
    "a trigger is disabled": Fault(
        "ALTER TABLE es.stored_events DISABLE TRIGGER stored_events_append_only",
        "ALTER TABLE es.stored_events ENABLE ALWAYS TRIGGER stored_events_append_only",
        ("PROBLEM", "triggers"),
        "ENABLE ALWAYS TRIGGER stored_events_append_only",
    ),
    "a trigger does not fire for replication": Fault(
        "ALTER TABLE es.stored_events ENABLE TRIGGER stored_events_enter",
        "ALTER TABLE es.stored_events ENABLE ALWAYS TRIGGER stored_events_enter",
        ("PROBLEM", "triggers"),
        "stored_events_enter of es.stored_events is not enabled for every session",
    ),
    "a trigger is renamed": Fault(
        "ALTER TRIGGER statements_append_only ON notary.statements RENAME TO other",
        "ALTER TRIGGER other ON notary.statements RENAME TO statements_append_only",
        ("PROBLEM", "triggers"),
        "statements_append_only of notary.statements is absent",
    ),
    "the role may alter the log": Fault(
        f"GRANT UPDATE ON es.stored_events TO {APPLICATION}",
        f"REVOKE UPDATE ON es.stored_events FROM {APPLICATION}",
        ("PROBLEM", "privileges"),
        f"REVOKE UPDATE ON es.stored_events FROM {APPLICATION}",
    ),
    "the role may not append": Fault(
        f"REVOKE INSERT ON notary.statements FROM {APPLICATION}",
        f"GRANT INSERT ON notary.statements TO {APPLICATION}",
        ("PROBLEM", "privileges"),
        "lacks INSERT ON notary.statements",
    ),
    "the sequence has a cache": Fault(
        f"ALTER SEQUENCE {SEQUENCE} CACHE 20",
        f"ALTER SEQUENCE {SEQUENCE} CACHE 1",
        ("PROBLEM", "positions"),
        "followers miss events",
    ),
    "a migration is not applied": Fault(
        "DELETE FROM public.ticketing_migrations WHERE name LIKE '0050%'",
        "INSERT INTO public.ticketing_migrations (name) VALUES ('0050_saved_views.sql')",
        ("PROBLEM", "migrations"),
        "0050_saved_views.sql are not applied. Run `ticketing migrate`.",
    ),
    "a newer program has migrated": Fault(
        "INSERT INTO public.ticketing_migrations (name) VALUES ('9999_future.sql')",
        "DELETE FROM public.ticketing_migrations WHERE name = '9999_future.sql'",
        ("PROBLEM", "migrations"),
        "9999_future.sql are unknown. The database was migrated by a newer program",
    ),
    "a read table has another column": Fault(
        "ALTER TABLE read.tickets ADD COLUMN mood text",
        "ALTER TABLE read.tickets DROP COLUMN mood",
        ("PROBLEM", "read tables"),
        "Run `ticketing migrate`",
    ),
    "the database is read-only": Fault(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',"
        " current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only',"
        " current_database()); END $$",
        ("PROBLEM", "database"),
        "is read-only",
    ),
    "the key of the notary is damaged": Fault(
        "UPDATE notary.keys SET sealed_private_key = set_byte(sealed_private_key, 40,"
        " get_byte(sealed_private_key, 40) # 1)",
        "UPDATE notary.keys SET sealed_private_key = set_byte(sealed_private_key, 40,"
        " get_byte(sealed_private_key, 40) # 1)",
        ("PROBLEM", "notary key"),
        "cannot be decrypted",
    ),
    "an event is parked": Fault(
        "INSERT INTO read.parked_events (position, originator_id, error) VALUES (1, 'a', 'x')",
        "DELETE FROM read.parked_events",
        ("PROBLEM", "set aside"),
        "ticketing parked-event retry",
    ),
    "a delivery is dead": Fault(
        DELIVERY % "'dead', now(), NULL",
        "DELETE FROM hook.deliveries",
        ("WARNING", "set aside"),
        "ticketing delivery retry",
    ),
    "a lease ends in a week": Fault(
        DELIVERY % "'pending', now(), now() + interval '7 days'",
        "DELETE FROM hook.deliveries",
        ("PROBLEM", "leases"),
        "UPDATE hook.deliveries SET leased_until = NULL",
    ),
    "no dispatcher takes a delivery": Fault(
        ENDPOINT + DELIVERY % "'pending', now() - interval '1 hour', NULL",
        "DELETE FROM hook.deliveries; DELETE FROM hook.endpoints",
        ("PROBLEM", "leases"),
        "Check that `ticketing webhook-dispatcher` runs",
    ),
    "the role may not read a table": Fault(
        f"REVOKE ALL ON hook.dead_letters FROM {APPLICATION}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON hook.dead_letters TO {APPLICATION}",
        ("PROBLEM", "set aside"),
        "cannot be checked: InsufficientPrivilege",
    ),
}
