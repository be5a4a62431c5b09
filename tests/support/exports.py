"""Verifies exports as an auditor does: with the verifier alone, and no other package of the project."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from notary.merkle import Step

VERIFIER = Path(__file__).parents[2] / "tools" / "verify_export.py"


def run_verifier(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """Run the verifier on a file and its manifest, in an interpreter that has only the standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", VERIFIER, *arguments], capture_output=True, text=True, timeout=60
    )


def climb(leaf: bytes, steps: Sequence[Step]) -> bytes:
    """The Merkle root computed from a leaf and the steps of its proof (RFC 6962 section 2.1.1)."""
    for step in steps:
        pair = step.hash + leaf if step.is_left else leaf + step.hash
        leaf = sha256(b"\1" + pair).digest()
    return leaf
