"""The client's address: X-Forwarded-For is used only behind a trusted proxy."""

from ipaddress import ip_network

import pytest

from api.http.context import client_address
from infrastructure.settings import BadSettings, load_settings

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "trusted", "expected"),
    [
        ("203.0.113.5", None, (), "203.0.113.5"),
        ("203.0.113.5", "1.2.3.4", (), "203.0.113.5"),
        ("203.0.113.5", "1.2.3.4", TRUSTED, "203.0.113.5"),
        ("10.0.0.2", "1.2.3.4", TRUSTED, "1.2.3.4"),
        ("10.0.0.2", "6.6.6.6, 1.2.3.4", TRUSTED, "1.2.3.4"),
        ("10.0.0.2", "6.6.6.6, 1.2.3.4, 10.0.0.9", TRUSTED, "1.2.3.4"),
        ("::ffff:10.0.0.2", "2001:db8::1", TRUSTED, "2001:db8::1"),
        ("fd00::1", " 1.2.3.4 ", TRUSTED, "1.2.3.4"),
        ("10.0.0.2", None, TRUSTED, "10.0.0.2"),
        ("10.0.0.2", "", TRUSTED, "10.0.0.2"),
        ("10.0.0.2", "garbage", TRUSTED, "garbage"),
        (None, "1.2.3.4", TRUSTED, None),
    ],
)
def test_only_a_trusted_proxy_can_name_the_client(peer, forwarded_for, trusted, expected):
    assert client_address(peer, forwarded_for, trusted) == expected


def test_trusted_proxies_are_addresses_or_networks():
    settings = load_settings({"TRUSTED_PROXIES": "10.0.0.0/8, 192.168.1.7"})

    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "192.168.1.7/32"]
    with pytest.raises(BadSettings, match="TRUSTED_PROXIES"):
        load_settings({"TRUSTED_PROXIES": "nginx"})
