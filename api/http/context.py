"""The data of one request, in `req.context`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, TYPE_CHECKING

from msgspec.structs import replace

from api.http.errors import RenderFailure
from api.http.uploads import Upload
from domain.access import Caller, Context
from domain.ip_addresses import network_prefix, parse_ip
from infrastructure.ids import derive_id, new_id
from infrastructure.settings import IpNetwork

if TYPE_CHECKING:
    from infrastructure.process.otel import RequestSpan


class RequestContext:
    """`caller` is set after authentication; public operations have none.

    `remote_addr` is the address of the client, as reported by the trusted proxies.
    """

    caller: Caller
    render_failure: RenderFailure | None = None  # of the pages and OAuth endpoints
    render_for_browser: RenderFailure | None = None  # of other addresses that a browser opens
    request_id = ""
    span: RequestSpan | None = None  # with traces
    started_at = 0.0
    error_code: str | None = None
    subject_id: str | None = None  # the first id in the path
    body: bytes | None = None
    body_file: IO[bytes] | None = None
    uploads: Sequence[Upload] = ()  # of a form of the panel
    remote_addr: str | None = None
    command_id: str | None = None  # from the idempotency claim
    is_retry = False
    pending_position: int | None = None  # of a change of this caller (api/http/pending_changes.py)
    shown_position: int | None = None  # of the read tables at the start, if a replica may answer
    is_claimed = False
    is_waiting = False  # without a thread; this run of the request has no answer (api/http/parking.py)
    answer_is_secret = False  # if stored for a retry, the answer is encrypted with the master key
    _command: Context | None = None

    def command(self, item: int | None = None) -> Context:
        """The context of the request's command, or of one of its several commands by number.

        The command ids of the items are derived from that of the request, so that a retry repeats them.
        """
        if item is not None:
            whole = self.command()
            return replace(whole, command_id=derive_id(whole.command_id, str(item)))
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
    """The address of the client: the peer or, behind trusted proxies, an address in X-Forwarded-For.

    Reads X-Forwarded-For from the right up to the first address that is not a trusted proxy. Addresses
    further left are ignored, because the client can forge them.
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
    ip = parse_ip(address)
    return ip is not None and any(ip in network for network in trusted)


@lru_cache(maxsize=1_024)
def source_prefix(address: str | None) -> str | None:
    """The /24 or /48 network of an address: enough to recognise abuse, not enough to identify a person."""
    return network_prefix(address, ipv4_bits=24, ipv6_bits=48)
