"""The statements that the notary signs: checkpoints, new keys and erasures, one line of JSON each.

Lines are numbered, and each contains the SHA-256 of the line before it, so that no line can be removed. The
signed bytes are the line without its signature, with sorted keys and no spaces. A line that announces a new
key is signed with the previous key; the first key signs its own line.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NOTHING_BEFORE = "0" * 64
_CONTEXT = b"ticketing statement\n"


class BadStatement(Exception):
    """A line was altered after it was signed. The message describes the fault."""


class Statement(NamedTuple):
    """One line, and its decoded fields."""

    line: str
    facts: dict[str, Any]

    @property
    def number(self) -> int:
        return int(self.facts["number"])

    @property
    def kind(self) -> str:
        return str(self.facts["kind"])

    @property
    def position(self) -> int | None:
        position = self.facts.get("position")
        return position if isinstance(position, int) else None


def sign(facts: Mapping[str, Any], key: Ed25519PrivateKey) -> Statement:
    """Make a statement of `facts`, signed with the key whose id is in `signed_by`."""
    signature = base64.b64encode(key.sign(_CONTEXT + _canonical(facts))).decode()
    complete = {**facts, "signature": signature}
    return Statement(_canonical(complete).decode(), complete)


def parse(line: str) -> Statement:
    try:
        facts = json.loads(line)
    except ValueError:
        raise BadStatement("it is not JSON") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("number"), int) or "kind" not in facts:
        raise BadStatement("it has no number or kind")
    return Statement(line, facts)


def without_repeats(lines: Iterable[str]) -> Iterator[str]:
    """Yields each line once. A line is published again when the answer to the first attempt was lost."""
    seen: set[str] = set()
    for line in lines:
        if (sha256 := line_hash(line)) not in seen:
            seen.add(sha256)
            yield line


def line_hash(line: str | None) -> str:
    """The value of `previous` in the next line."""
    return NOTHING_BEFORE if line is None else hashlib.sha256(line.encode()).hexdigest()


def key_id(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


class Reader:
    """Verifies lines one after another, from the first on.

    `keys` are the public keys announced so far, by their ids.
    """

    def __init__(self, log_id: str | None = None) -> None:
        self.log_id = log_id
        self.keys: dict[str, bytes] = {}
        self.last: Statement | None = None

    def read(self, line: str) -> Statement:
        """Return the next statement. Raises BadStatement unless it follows the last one and is signed
        for this log. Without a log id, the first line names the log."""
        statement = parse(line)
        facts = statement.facts
        due = self.last.number + 1 if self.last else 1
        if statement.number != due:
            raise BadStatement(f"it has the number {statement.number}; {due} was expected")
        if facts.get("previous") != line_hash(self.last.line if self.last else None):
            raise BadStatement("it does not continue the line before it")
        self.log_id = self.log_id or str(facts.get("log"))
        if facts.get("log") != self.log_id:
            raise BadStatement("it belongs to another log")
        announced = _announced_keys(facts)
        _check_signature(facts, self.keys if self.last else announced)
        self.keys |= announced
        self.last = statement
        return statement


def _announced_keys(facts: Mapping[str, Any]) -> dict[str, bytes]:
    if facts.get("kind") != "key":
        return {}
    try:
        public_key = base64.b64decode(str(facts.get("public_key")), validate=True)
    except ValueError:
        raise BadStatement("its public key is not base64") from None
    if key_id(public_key) != facts.get("key"):
        raise BadStatement("its key id is not that of its public key")
    return {key_id(public_key): public_key}


def _check_signature(facts: Mapping[str, Any], keys: Mapping[str, bytes]) -> None:
    signer = facts.get("signed_by")
    public_key = keys.get(str(signer))
    if public_key is None:
        raise BadStatement(f"it is signed by the key {signer}, which no line before it announces")
    unsigned = {name: value for name, value in facts.items() if name != "signature"}
    try:
        signature = base64.b64decode(str(facts.get("signature")), validate=True)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _CONTEXT + _canonical(unsigned))
    except (InvalidSignature, ValueError):
        raise BadStatement("its signature is invalid") from None


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
