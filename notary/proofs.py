"""The proof that one event is in the signed log: the hashes from the event up to a checkpoint."""

from __future__ import annotations

import base64
from typing import Any

from domain.errors import Conflict, NotFound
from infrastructure.storage.postgres import Connection, fetch_value
from notary import merkle
from notary.blocks import Block, Row, event_mark, read_block, read_log_id, read_rows, sql
from notary.statements import parse


def prove(conn: Connection, event_id: str) -> dict[str, Any]:
    """The proof of an event. Raises NotFound, and Conflict while the event is not signed yet.

    `leaf` is the hash of the row (notary/merkle.py). `leaf` and `path` give `root`. `chain_before` and
    `pages` (the blocks from that of the event on) give the hash of the chain in the signed `checkpoint`.
    `stored` is the stored event in base64.
    """
    block, rows, index = _find(conn, event_id)
    row = rows[index]
    line = fetch_value(conn, sql["first_checkpoint_from"], {"position": block.last_position}, default="")
    if not line:
        raise Conflict("The event is chained but not signed yet: try again in some minutes.")
    checkpoint = parse(line)
    leaves = [one.leaf for one in rows]
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


def _find(conn: Connection, event_id: str) -> tuple[Block, list[Row], int]:
    """The block of the event, the rows of the block, and the index of the event in it. Raises NotFound."""
    for (number,) in conn.execute(sql["blocks_with_mark"], {"mark": event_mark(event_id)}).fetchall():
        block = read_block(conn, "block_numbered", number=number)
        rows = [] if block is None else read_rows(conn, block.first_position, block.last_position)
        for index, row in enumerate(rows):
            if block is not None and row.event_id == event_id:
                return block, rows, index
    raise NotFound("event, or it is not chained yet: that takes some minutes")
