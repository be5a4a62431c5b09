"""The checkpoints of the notary as pages show them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from notary.statements import Statement


class ShownCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement on the log up to `position`. `signer` is the id of the key, `chain` the hash of the
    log, `previous` the hash of the statement before."""

    number: int
    position: int
    signed_at: datetime
    signer: str
    chain: str
    previous: str
    signature: str


def shown_checkpoint(statement: Statement | None) -> ShownCheckpoint | None:
    """The fields of the checkpoint; None without one."""
    if statement is None or statement.position is None:
        return None
    facts = statement.facts
    return ShownCheckpoint(
        number=statement.number,
        position=statement.position,
        signed_at=datetime.fromisoformat(str(facts["at"])),
        signer=str(facts["signed_by"]),
        chain=str(facts["chain"]),
        previous=str(facts["previous"]),
        signature=str(facts["signature"]),
    )
