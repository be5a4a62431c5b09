"""The proof that one event is in the log that was signed: from its hash up to a checkpoint."""

from __future__ import annotations

import base64
from typing import Any

from domain.errors import Conflict, NotFound
from infrastructure.storage.postgres import Connection
from notary import merkle
from notary.pages import Row, read_page, sql
from notary.statements import parse


def prove(conn: Connection, event_id: str) -> dict[str, Any]:
    """The proof of an event; raise NotFound, or Conflict while it is not signed yet.

    `leaf` is the hash over the row, as notary/merkle.py computes it. With `path` it gives `root`; with
    `chain_before` and the `pages`, of which the first is the event's own, that gives the chain's hash in
    the signed `checkpoint`. The event is as it was stored, in base64.
    """
    found = conn.execute(sql["position_of_event"], {"event_id": event_id}).fetchone()
    position = int(found[0]) if found and found[0] is not None else 0
    with conn.cursor(binary=True) as cur:
        stored = cur.execute(sql["read_one_event"], {"position": position}).fetchone()
    page = read_page(conn, "page_at", position=position)
    if stored is None or page is None:
        raise NotFound("event, or it is not chained yet: that takes some minutes")
    row = Row._make(stored)
    signed = conn.execute(sql["first_checkpoint_from"], {"position": page.last_position}).fetchone()
    if signed is None:
        raise Conflict("The event is chained but not signed yet: try again in some minutes.")
    checkpoint = parse(signed[0])
    leaves, index = merkle.split(page.leaves), list(page.positions).index(position)
    before = read_page(conn, "page_numbered", number=page.number - 1)
    links = {"after": page.number - 1, "last": checkpoint.facts["page"]}
    with conn.cursor(binary=True) as cur:
        pages = cur.execute(sql["links_between"], links).fetchall()
    return {
        "event_id": event_id,
        "position": row.position,
        "aggregate_id": row.aggregate_id,
        "version": row.version,
        "type": row.topic,
        "stored": base64.b64encode(row.state).decode(),
        "leaf": row.leaf.hex(),
        "path": [{"left": step.is_left, "hash": step.hash.hex()} for step in merkle.path(leaves, index)],
        "root": page.root.hex(),
        "chain_before": (before.chain if before else _start(conn)).hex(),
        "pages": [[*numbers, bytes(root).hex()] for *numbers, root in pages],
        "checkpoint": checkpoint.line,
        "keys": [
            line for (line,) in conn.execute(sql["key_statements"], {"number": checkpoint.number}).fetchall()
        ],
    }


def _start(conn: Connection) -> bytes:
    row = conn.execute(sql["read_log_id"]).fetchone()
    assert row is not None
    return merkle.first_link(row[0])
