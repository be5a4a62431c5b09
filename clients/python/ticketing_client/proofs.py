"""Checks exports of the log, and proofs that an event is in the signed log.

verify_export.py has the cryptography, without any dependency. It is the same file as tools/verify_export.py.
"""

from __future__ import annotations

import base64
import json
import struct
from os import PathLike
from typing import Any

from ticketing_client import verify_export
from ticketing_client.errors import TicketingError
from ticketing_client.models import EventProof

checks: Any = verify_export  # without annotations, because it also runs alone on Python 3.8


class NotAsSigned(TicketingError):
    """The data is not what the notary has signed."""


def check_export(
    data: str | PathLike[str], manifest: str | PathLike[str], *, first_key_id: str | None = None
) -> None:
    """Check that the file of an export is what the notary has signed. Raises NotAsSigned, OSError.

    `first_key_id` is the id of the first signing key, from a source that you trust; None accepts the key in
    the manifest.
    """
    try:
        checks.main(data, manifest, first_key_id)
    except OSError:
        raise
    except Exception as problem:  # an altered file may contain anything
        raise NotAsSigned(str(problem) or type(problem).__name__) from problem


def check_proof(proof: EventProof, *, first_key_id: str | None = None) -> bytes:
    """Check a proof of `get_audit_event_proof`, and return the bytes of the event. Raises NotAsSigned.

    `first_key_id`: see check_export.
    """
    try:
        return _check_proof(proof, first_key_id)
    except Exception as problem:
        raise NotAsSigned(str(problem) or type(problem).__name__) from problem


def _check_proof(proof: EventProof, first_key_id: str | None) -> bytes:
    checkpoint = json.loads(proof.checkpoint)
    keys = checks.read_keys({"keys": proof.keys, "log": checkpoint["log"]}, first_key_id)
    checks.require_signed(checkpoint, keys, "the checkpoint")
    event = base64.b64decode(proof.stored)
    if json.loads(event)["event_id"] != proof.event_id:
        raise ValueError("the proof is of another event")
    hashed = checks.leaf(proof.position, proof.aggregate_id, proof.version, proof.type, event)
    if hashed.hex() != proof.leaf:
        raise ValueError("the event does not have the hash of the proof")
    for step in proof.path:
        other = bytes.fromhex(step.hash)
        hashed = checks.sha256(b"\1", *((other, hashed) if step.left else (hashed, other)))
    if hashed.hex() != proof.root:
        raise ValueError("the path does not lead to the root of the block")
    chain = bytes.fromhex(proof.chain_before)
    for index, page in enumerate(proof.pages):
        numbers: list[Any] = list(page)
        number, first, last, events, root = numbers
        if index == 0 and root != proof.root:
            raise ValueError("the first block does not have the root of the proof")
        chain = checks.sha256(
            struct.pack(">BqqqI", 2, number, first, last, events), chain, bytes.fromhex(root)
        )
    if chain.hex() != checkpoint["chain"]:
        raise ValueError("the chain does not lead to the checkpoint")
    return event
