"""Private addresses, redirects and name servers: the dispatcher never connects to this machine."""

import asyncio
import socket
import threading

import pytest

from domain.web_address import web_address_problem
from tests.support.receivers import answer, running_receiver
from webhook_dispatcher.address_guard import AddressGuard, GuardedResolver, refusal
from webhook_dispatcher.poster import Poster

# fmt: off
HOSTS = [
    "127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "127.255.255.254", "0", "0.0.0.0", "0.0.0.1",
    "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0x7f.1",
    "127.000.000.001", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain",
    "ip6-localhost", "127。0。0。1", "１２７.0.0.1", "ⓛocalhost", "127%2e0%2e0%2e1", "10.0.0.1",
    "10.255.255.255", "100.64.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "168.63.129.16", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
    "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fd00::1]", "[fe80::1]", "[fec0::1]",
    "[ff02::1]", "[2001:10::1]", "[100::1]",
]
# fmt: on


class Canary:
    """Listens on every address of this machine and counts the connections."""

    def __init__(self):
        self.connections = 0
        self._socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def canary():
    listening = Canary()
    yield listening
    listening.close()


def post_to(urls, guard, timeout_seconds=2.0):
    async def post_all():
        async with Poster(guard, timeout_seconds=timeout_seconds) as poster:
            return await asyncio.gather(*(poster.post(url, b"{}", {}) for url in urls))

    return asyncio.run(post_all())


def test_no_address_outside_the_public_internet_reaches_a_listener_of_this_machine(canary):
    own = socket.gethostbyname(socket.gethostname())
    urls = [f"{scheme}://{host}:{canary.port}/" for host in (*HOSTS, own) for scheme in ("http", "https")]
    assert len(HOSTS) >= 60

    outcomes = post_to(urls, AddressGuard(allow_private=False))

    assert canary.connections == 0
    assert [url for url, outcome in zip(urls, outcomes, strict=True) if outcome.status is not None] == []


def test_the_canary_counts_a_connection_that_is_allowed(canary):
    post_to([f"http://127.0.0.1:{canary.port}/"], AddressGuard(allow_private=True))

    assert canary.connections >= 1


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_an_address_that_is_refused_later_can_be_registered(host):
    assert web_address_problem(f"https://{host}/", allow_private=False)


@pytest.mark.parametrize(
    "host",
    ["printer.local", "db.internal", "a.localhost", "x.invalid", "y.onion", "nas.home.arpa", "N.LOCAL."],
)
def test_a_name_that_no_public_name_server_resolves_cannot_be_registered(host):
    assert "a public host name" in web_address_problem(f"https://{host}/", allow_private=False)


def test_a_public_name_and_address_can_be_registered():
    for host in ("hooks.example.com", "local.example.com", "8.8.8.8", "[2606:2800:220:1::1]"):
        assert web_address_problem(f"https://{host}/", allow_private=False) is None


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["2606:2800:220:1::1", "::ffff:127.0.0.1"]],
)
def test_a_name_with_one_refused_address_gets_no_connection(canary, answers):
    guard = AddressGuard(allow_private=False, look_up=name_server([answers]))

    (outcome,) = post_to([f"http://rebinding.example:{canary.port}/"], guard)

    assert "is not on the public internet" in outcome.error
    assert canary.connections == 0


def test_a_name_is_looked_up_once_for_each_connection(canary):
    """DNS rebinding: the first answer is public, the second one loopback. There is no second look-up."""
    look_up = name_server([["192.0.2.1"], ["127.0.0.1"]])
    guard = AddressGuard(allow_private=False, look_up=look_up)
    guard.require_public = lambda address, check=guard.require_public: (
        address == "192.0.2.1" or check(address)
    )

    post_to([f"http://rebinding.example:{canary.port}/"], guard, timeout_seconds=0.5)

    assert look_up.calls == 1
    assert canary.connections == 0


def test_names_that_are_not_answered_delay_no_others():
    """Also if many posts wait for each: they share one look-up."""
    answered, names = threading.Event(), [f"slow-{number}.example" for number in range(20)]
    asked = []

    def look_up(host, port, family=0, kind=0):
        asked.append(host)
        if host in names and not answered.wait(20):
            raise OSError("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def resolve_all():
        resolver = GuardedResolver(AddressGuard(allow_private=True, look_up=look_up))
        waiting = [asyncio.create_task(resolver.resolve(name, 80)) for name in names * 10]
        await asyncio.sleep(0)
        given_up = waiting.pop()
        given_up.cancel()
        (found,) = await asyncio.wait_for(resolver.resolve("fast.example", 80), 5)
        (number,) = await asyncio.wait_for(resolver.resolve("127.1", 80), 5)
        answered.set()
        others = await asyncio.gather(*waiting)
        await resolver.close()
        return found, number, others

    found, number, others = asyncio.run(resolve_all())
    assert (found[4], number[4]) == (("127.0.0.1", 80), ("127.0.0.1", 80))
    assert len(others) == 199
    assert sorted(asked) == sorted([*names, "fast.example"])


def name_server(rounds):
    """A look-up that returns the addresses of one round after the other, and then always the last ones."""

    def look_up(host, port, family=0, kind=0):
        addresses = rounds[min(look_up.calls, len(rounds) - 1)]
        look_up.calls += 1
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    look_up.calls = 0
    return look_up


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(canary, status):
    with running_receiver() as receiver:
        location = f"http://127.0.0.1:{canary.port}/"
        receiver.answers["/hook"] = answer(status, Location=location)

        (outcome,) = post_to([receiver.url()], AddressGuard(allow_private=True))

    assert (outcome.status, outcome.error) == (status, "redirects are not followed")
    assert canary.connections == 0


def test_no_proxy_of_the_environment_is_used(canary, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    with running_receiver() as receiver:
        (outcome,) = post_to([receiver.url()], AddressGuard(allow_private=True))

    assert outcome.status == 200
    assert canary.connections == 0


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "1.1.1.1"])
def test_public_addresses_are_not_refused(address):
    assert refusal(address) is None


def test_the_addresses_of_this_machine_are_refused():
    assert refusal("93.184.216.34", own=frozenset({"93.184.216.34"}))
