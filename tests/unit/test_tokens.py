"""Tokens: their form, their checksum and their digest."""

import pytest

from infrastructure.keys.tokens import API_KEY, SESSION, digest, has_form, make_token


def test_a_new_token_has_its_form_and_256_bits():
    token = make_token(SESSION)

    assert has_form(token, SESSION)
    assert len(token) == len(SESSION) + 49
    assert 43 * 5.954 > 256 - 0.1  # 43 random characters with 5.954 bits each
    assert make_token(SESSION) != token


def test_a_token_of_another_kind_is_refused():
    assert not has_form(make_token(API_KEY), SESSION)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "0", lambda t: t.swapcase(), str.upper])
def test_a_changed_or_incomplete_token_is_refused(change):
    token = make_token(API_KEY)

    assert not has_form(change(token), API_KEY)


def test_the_digest_does_not_contain_the_token():
    token = make_token(API_KEY)

    assert token.encode() not in digest(token)
    assert len(digest(token)) == 32
