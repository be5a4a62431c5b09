"""What is known of a request while it is served: `req.context`."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO

from api.http.errors import RenderFailure
from domain.access import Caller, Context
from infrastructure.ids import new_id
from infrastructure.settings import IpNetwork


class RequestContext:
    """`caller` is set once the gate has admitted the request; public operations have none.

    `remote_addr` is the client's address, behind the proxies that are trusted.
    """

    caller: Caller
    render_failure: RenderFailure | None = None
    request_id = ""
    started_at = 0.0
    error_code: str | None = None
    subject_id: str | None = None  # the first id in the address
    body: bytes | None = None
    body_file: IO[bytes] | None = None
    remote_addr: str | None = None
    command_id: str | None = None  # given by an idempotency claim
    is_retry = False
    is_claimed = False
    answer_is_secret = False  # kept for a replay under the master key only
    _command: Context | None = None

    def command(self) -> Context:
        """The circumstances of the one command this request carries out; the same at each call."""
        if self._command is None:
            self._command = Context(
                at=datetime.now(UTC),
                caller=self.caller,
                request_id=self.request_id,
                command_id=self.command_id or new_id(),
                is_retry=self.is_retry,
                source_prefix=source_prefix(self.remote_addr),
            )
        return self._command


def client_address(peer: str | None, forwarded_for: str | None, trusted: Sequence[IpNetwork]) -> str | None:
    """Who sent the request: the peer, or whom the last proxy that is trusted names (X-Forwarded-For).

    What stands further left was written by the client itself and counts for nothing.
    """
    address = peer
    for named in reversed((forwarded_for or "").split(",")):
        if not _is_trusted(address, trusted) or not (named := named.strip()):
            break
        address = named
    return address


def _is_trusted(address: str | None, trusted: Sequence[IpNetwork]) -> bool:
    if not trusted:
        return False
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in trusted)


@lru_cache(maxsize=1_024)
def source_prefix(address: str | None) -> str | None:
    """The network a peer's address belongs to: enough to recognise abuse, too little to know a person."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))
