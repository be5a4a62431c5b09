"""Checks what keeps the log append-only and safe to follow: triggers, privileges, and the sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from psycopg.rows import class_row

from cli.doctor.finding import Finding, ok, problem, warning
from cli.doctor.server import sql
from infrastructure.storage.postgres import Connection


class _Trigger(NamedTuple):
    table: str
    name: str
    function: str
    enabled: tuple[str, ...]  # values of pg_trigger.tgenabled with which it is effective


class _TriggerRow(NamedTuple):
    table_name: str
    name: str
    function: str
    enabled: str


class _PrivilegeRow(NamedTuple):
    table_name: str
    privilege: str
    is_granted: bool

    def __str__(self) -> str:
        return f"{self.privilege} ON {self.table_name}"


class _RoleRow(NamedTuple):
    name: str
    is_superuser: bool
    owns_log: bool


class _SequenceRow(NamedTuple):
    cache_size: int
    last_value: int
    log_end: int


TRIGGERS = (
    _Trigger("es.stored_events", "stored_events_enter", "es.stored_events_enter", ("A",)),
    _Trigger("es.stored_events", "stored_events_append_only", "es.stored_events_refuse", ("A",)),
    _Trigger("notary.pages", "pages_append_only", "notary.refuse", ("A", "O")),
    _Trigger("notary.statements", "statements_append_only", "notary.refuse", ("A", "O")),
)
TABLES = sorted({trigger.table for trigger in TRIGGERS})
NEEDED = ("SELECT", "INSERT")
FORBIDDEN = ("UPDATE", "DELETE", "TRUNCATE")


def check_triggers(conn: Connection) -> list[Finding]:
    with conn.cursor(row_factory=class_row(_TriggerRow)) as cursor:
        rows = cursor.execute(sql["list_triggers"], {"tables": TABLES}).fetchall()
    present = {(row.table_name, row.name): row for row in rows}
    found = [judge_trigger(trigger, present.get((trigger.table, trigger.name))) for trigger in TRIGGERS]
    return [one for one in found if one] or [
        ok("triggers", "those that make the log append-only are enabled.")
    ]


def judge_trigger(trigger: _Trigger, row: _TriggerRow | None) -> Finding | None:
    """A finding if the trigger is absent, replaced or disabled."""
    if row is None or row.function != trigger.function:
        return problem(
            "triggers",
            f"{trigger.name} of {trigger.table} is absent or calls another function.",
            "Stop the processes, create the trigger again as in the migrations or restore a backup, and run"
            " `ticketing verify`.",
        )
    if row.enabled not in trigger.enabled:
        way = "ENABLE ALWAYS" if trigger.enabled == ("A",) else "ENABLE"
        return problem(
            "triggers",
            f"{trigger.name} of {trigger.table} is not enabled for every session.",
            f"The owner must run: ALTER TABLE {trigger.table} {way} TRIGGER {trigger.name}. Then run"
            " `ticketing verify`, because rows could be altered meanwhile.",
        )
    return None


def check_privileges(conn: Connection) -> list[Finding]:
    with conn.cursor(row_factory=class_row(_RoleRow)) as cursor:
        role = cursor.execute(sql["read_role"]).fetchone()
    parameters = {"tables": TABLES, "privileges": [*NEEDED, *FORBIDDEN]}
    with conn.cursor(row_factory=class_row(_PrivilegeRow)) as cursor:
        rows = cursor.execute(sql["list_privileges"], parameters).fetchall()
    assert role is not None
    if role.is_superuser or role.owns_log:
        kind = "a superuser" if role.is_superuser else "the owner of the log"
        return [
            warning(
                "privileges",
                f"the role {role.name} of the processes is {kind}: only triggers make the log append-only.",
                "Set MIGRATE_DATABASE_URL to this address and DATABASE_URL to one with another role, and run"
                " `ticketing migrate`, which creates it.",
            )
        ]
    lacking = [str(row) for row in rows if row.privilege in NEEDED and not row.is_granted]
    excess = [str(row) for row in rows if row.privilege in FORBIDDEN and row.is_granted]
    findings = []
    if lacking:
        found = f"the role {role.name} lacks {', '.join(lacking)}."
        findings.append(problem("privileges", found, "Run `ticketing migrate`, which grants it."))
    if excess:
        found = f"the role {role.name} has {', '.join(excess)}, which would alter the log."
        remedy = f"Run `ticketing migrate`, or as the owner: REVOKE {excess[0]} FROM {role.name}."
        findings.append(problem("privileges", found, remedy))
    return findings or [ok("privileges", f"the role {role.name} can append to the log and not alter it.")]


def check_sequence(conn: Connection) -> Iterator[Finding]:
    """Followers rely on positions that only grow, in the order in which sessions draw them."""
    with conn.cursor(row_factory=class_row(_SequenceRow)) as cursor:
        row = cursor.execute(sql["read_sequence"]).fetchone()
    name = "es.stored_events_notification_id_seq"
    if row is None:
        yield problem("positions", f"the sequence {name} is absent.", "Restore a backup.")
    elif row.cache_size != 1:
        remedy = f"The owner must run: ALTER SEQUENCE {name} CACHE 1."
        yield problem("positions", f"the sequence has CACHE {row.cache_size}: followers miss events.", remedy)
    elif row.last_value < row.log_end:
        found = f"the sequence is at {row.last_value}, before the end of the log {row.log_end}."
        yield problem("positions", found, f"The owner must run: SELECT setval('{name}', {row.log_end}).")
    else:
        yield ok("positions", f"the log ends at position {row.log_end}.")
