"""Origins of web pages: as they are typed, and as browsers send them."""

import pytest

from domain.web_origin import origin_problem, parse_origin


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("https://board.example.com", "https://board.example.com"),
        (" https://Board.Example.com/ ", "https://board.example.com"),
        ("https://board.example.com:443", "https://board.example.com"),
        ("https://board.example.com:8443", "https://board.example.com:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80/", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(typed, sent):
    assert parse_origin(typed) == sent
    assert origin_problem(typed) is None


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "*",
        "null",
        "board.example.com",
        "https://",
        "https://board.example.com/app",
        "https://board.example.com?x",
        "https://*.example.com",
        "https://user@board.example.com",
        "https://board.example.com:0",
        "https://board.example.com:65536",
        "https://bücher.example",
        "https://a.example https://b.example",
        "https://" + "a" * 300,
    ],
)
def test_another_text_is_not_an_origin(typed):
    assert parse_origin(typed) is None
    assert "must be a scheme and a host" in origin_problem(typed)


def test_a_page_of_an_application_uses_https_or_a_loopback_address():
    assert parse_origin("http://board.example.com") == "http://board.example.com"
    assert "https" in origin_problem("http://board.example.com")
    assert origin_problem("http://127.0.0.1:3000") is None
