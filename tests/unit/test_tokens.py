"""Secrets that are handed out."""

import pytest

from infrastructure.keys.tokens import API_KEY, SESSION, digest, has_form, make_token


def test_a_new_secret_has_its_form_and_256_bits():
    token = make_token(SESSION)

    assert has_form(token, SESSION)
    assert len(token) == len(SESSION) + 49
    assert 43 * 5.954 > 256 - 0.1
    assert make_token(SESSION) != token


def test_one_kind_is_not_taken_for_another():
    assert not has_form(make_token(API_KEY), SESSION)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "0", lambda t: t.swapcase(), str.upper])
def test_a_secret_not_copied_whole_is_recognised(change):
    token = make_token(API_KEY)

    assert not has_form(change(token), API_KEY)


def test_only_a_hash_is_kept():
    token = make_token(API_KEY)

    assert token.encode() not in digest(token)
    assert len(digest(token)) == 32
