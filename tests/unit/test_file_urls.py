"""Signed addresses of attachments: which are valid, and for how long."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from api.http.file_urls import sign, verify
from tests.unit.builders import NOON

KEY = b"a signing key of any length"
BASE = "https://tickets.example.com"


def parts(url):
    query = parse_qs(urlsplit(url).query)
    return query["expires"][0], query["signature"][0]


@pytest.fixture
def signed():
    return parts(sign(BASE, "a1", KEY, NOON))


def test_a_signed_address_contains_the_file_id_and_is_valid():
    url = sign(BASE, "a1", KEY, NOON)

    assert url.startswith("https://tickets.example.com/v1/attachments/a1?")
    assert verify("a1", *parts(url), KEY, NOON)


@pytest.mark.parametrize("second", [0, 1, 450, 899])
def test_an_address_is_valid_for_15_to_30_minutes(second):
    now = NOON + timedelta(seconds=second)
    expires, signature = parts(sign(BASE, "a1", KEY, now))

    assert verify("a1", expires, signature, KEY, now + timedelta(minutes=15, seconds=-1))
    assert not verify("a1", expires, signature, KEY, now + timedelta(minutes=30))


def test_an_address_is_valid_until_its_expiry(signed):
    assert signed[0] == str(int(NOON.timestamp()) + 1_800)
    assert verify("a1", *signed, KEY, NOON + timedelta(seconds=1_799.9))
    assert not verify("a1", *signed, KEY, NOON + timedelta(seconds=1_800))


def test_the_address_of_a_file_stays_the_same_for_15_minutes():
    addresses = {sign(BASE, "a1", KEY, NOON + timedelta(seconds=second)) for second in range(0, 900, 30)}

    assert len(addresses) == 1
    assert sign(BASE, "a1", KEY, NOON + timedelta(minutes=15)) not in addresses


def test_an_address_is_not_valid_for_another_file(signed):
    assert not verify("a2", *signed, KEY, NOON)


def test_an_address_signed_with_another_key_is_refused(signed):
    assert not verify("a1", *signed, b"another key", NOON)


@pytest.mark.parametrize(
    "expires",
    ["", "0", "-1", "1.5", "1e12", "９９９９９９９９９９", "9" * 13, "9" * 5_000, " 1", "nan", "\x00"],
)
def test_an_invalid_expiry_is_refused(signed, expires):
    assert not verify("a1", expires, signed[1], KEY, NOON)


def test_a_changed_expiry_is_refused(signed):
    expires, signature = signed

    assert not verify("a1", str(int(expires) + 900), signature, KEY, NOON)
    assert not verify("a1", "0" + expires, signature, KEY, NOON)


@pytest.mark.parametrize(
    "change", [str.swapcase, lambda text: text[:-1], lambda text: text + "=", lambda _: ""]
)
def test_a_changed_signature_is_refused(signed, change):
    assert not verify("a1", signed[0], change(signed[1]), KEY, NOON)


@pytest.mark.parametrize("signature", ["ü" * 43, "\ud800", "\x00"])
def test_a_signature_with_invalid_characters_is_refused(signed, signature):
    assert not verify("a1", signed[0], signature, KEY, NOON)
