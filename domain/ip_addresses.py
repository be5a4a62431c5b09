"""IP addresses in the textual form in which a server or proxy reports them."""

from __future__ import annotations

import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(text: str | None) -> IpAddress | None:
    """The address, as IPv4 if it is mapped to IPv6; None if the text is not an IP address."""
    try:
        ip = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def network_prefix(text: str | None, *, ipv4_bits: int, ipv6_bits: int) -> str | None:
    """The network of the address, such as 192.0.2.0/24; None if the text is not an IP address."""
    ip = parse_ip(text)
    if ip is None:
        return None
    return str(ipaddress.ip_network((ip, ipv4_bits if ip.version == 4 else ipv6_bits), strict=False))
