"""The proof that one event is in the signed log: the hashes from the event up to a checkpoint."""

from __future__ import annotations

import base64
from typing import Any

from domain.errors import Conflict, NotFound
from infrastructure.storage.postgres import Connection, fetch_value
from notary import merkle
from notary.blocks import Row, read_block, read_log_id, sql
from notary.statements import parse


def prove(conn: Connection, event_id: str) -> dict[str, Any]:
    """The proof of an event. Raises NotFound, and Conflict while the event is not signed yet.

    `leaf` is the hash of the row (notary/merkle.py). `leaf` and `path` give `root`. `chain_before` and
    `pages` (the blocks from that of the event on) give the hash of the chain in the signed `checkpoint`.
    `stored` is the stored event in base64.
    """
    position = fetch_value(conn, sql["position_of_event"], {"event_id": event_id}, default=0)
    with conn.cursor(binary=True) as cur:
        stored = cur.execute(sql["read_one_event"], {"position": position}).fetchone()
    block = read_block(conn, "block_at", position=position)
    if stored is None or block is None:
        raise NotFound("event, or it is not chained yet: that takes some minutes")
    row = Row._make(stored)
    line = fetch_value(conn, sql["first_checkpoint_from"], {"position": block.last_position}, default="")
    if not line:
        raise Conflict("The event is chained but not signed yet: try again in some minutes.")
    checkpoint = parse(line)
    leaves, index = merkle.split(block.leaves), list(block.positions).index(position)
    before = read_block(conn, "block_numbered", number=block.number - 1)
    links = {"after": block.number - 1, "last": checkpoint.facts["page"]}
    with conn.cursor(binary=True) as cur:
        blocks = cur.execute(sql["links_between"], links).fetchall()
    return {
        "event_id": event_id,
        "position": row.position,
        "aggregate_id": row.aggregate_id,
        "version": row.version,
        "type": row.event_type,
        "stored": base64.b64encode(row.state).decode(),
        "leaf": row.leaf.hex(),
        "path": [{"left": step.is_left, "hash": step.hash.hex()} for step in merkle.path(leaves, index)],
        "root": block.root.hex(),
        "chain_before": (before.chain if before else merkle.first_link(read_log_id(conn))).hex(),
        "pages": [[*numbers, bytes(root).hex()] for *numbers, root in blocks],
        "checkpoint": checkpoint.line,
        "keys": [
            line for (line,) in conn.execute(sql["key_statements"], {"number": checkpoint.number}).fetchall()
        ],
    }
