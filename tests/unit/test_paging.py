"""Page numbers, links and cursors."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from falcon.testing import create_environ
from hypothesis import given
from hypothesis import strategies as st

from api.http.paging import (
    ListQuery,
    PageQuery,
    binding_of,
    cursor_meta,
    decode_cursor,
    encode_cursor,
    pagination_meta,
    read_cursor,
)
from api.http.queries import read_query
from domain.errors import Invalid
from pages.common.context import Request

BASE = "https://api.example.com"
KEY = b"k" * 32


class Listing(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: tuple[str, ...] = ()
    sort: str = "created_at"


def request(query_string=""):
    return Request(create_environ(path="/v1/tickets", query_string=query_string, host="evil.example"))


def meta(query_string, *, page=1, per_page=10, total=100, count=10):
    return pagination_meta(
        request(query_string), BASE, page=page, per_page=per_page, total=total, count=count
    )


def test_the_first_page_matches_the_api_reference():
    assert meta("") == {
        "total": 100,
        "count": 10,
        "per_page": 10,
        "current_page": 1,
        "total_pages": 10,
        "links": {"next": "https://api.example.com/v1/tickets?page=2"},
    }


@pytest.mark.parametrize(
    ("page", "total", "links"),
    [
        (1, 0, {}),
        (1, 10, {}),
        (1, 11, {"next": 2}),
        (2, 11, {"previous": 1}),
        (5, 100, {"next": 6, "previous": 4}),
        (10, 100, {"previous": 9}),
        (11, 100, {"previous": 10}),
        (10**18 - 1, 35, {"previous": 4}),
        (7, 0, {}),
    ],
)
def test_links_lead_only_to_pages_that_exist(page, total, links):
    found = meta(f"page={page}", page=page, total=total)["links"]

    assert found == {name: f"{BASE}/v1/tickets?page={number}" for name, number in links.items()}


def test_an_empty_list_has_one_page():
    assert meta("", total=0, count=0)["total_pages"] == 1


def test_links_keep_every_parameter_at_its_place():
    link = meta("status=open,closed&page=2&q=a+%26+%C3%A9%3Db&since=2023-01-01T00:00:00%2B02:00", page=2)

    assert link["links"]["next"] == (
        f"{BASE}/v1/tickets?status=open,closed&page=3&q=a+%26+%C3%A9%3Db&since=2023-01-01T00:00:00%2B02:00"
    )


@given(st.lists(st.tuples(st.sampled_from(["q", "sort", "x"]), st.text(max_size=8)), max_size=4))
def test_links_repeat_the_parameters_of_the_request(pairs):
    from urllib.parse import urlencode

    link = meta(urlencode(pairs))["links"]["next"]

    expected = [*pairs, ("page", "2")]
    assert parse_qsl(urlsplit(link).query, keep_blank_values=True) == expected


@pytest.mark.parametrize(
    ("query_string", "limit", "offset"),
    [
        ("", 10, 0),
        ("page=3&per_page=20", 20, 40),
        ("per_page=100", 100, 0),
        ("per_page=101", 100, 0),
        ("page=2&per_page=999999", 100, 100),
        ("page=999999999999999999&per_page=100", 100, 2**62),
    ],
)
def test_pages_become_limit_and_offset(query_string, limit, offset):
    query = read_query(request(query_string), PageQuery)

    assert (query.limit, query.offset) == (limit, offset)


@pytest.mark.parametrize("last_key", [("2023-01-15T15:30:00.123456+00:00", "a-b_c"), (4, "x" * 64)])
def test_a_cursor_is_decoded_to_the_key_it_was_made_from(last_key):
    bound_to = binding_of(Listing(status=("open",)))

    cursor = encode_cursor(last_key, KEY, bound_to=bound_to)

    assert decode_cursor(cursor, KEY, bound_to=bound_to) == last_key
    assert read_cursor(Listing(status=("open",), cursor=cursor), KEY) == last_key


def test_the_page_size_may_change_between_pages():
    cursor = encode_cursor((1, "a"), KEY, bound_to=binding_of(Listing(per_page=10)))

    assert read_cursor(Listing(per_page=50, cursor=cursor), KEY) == (1, "a")


@pytest.mark.parametrize(
    "query",
    [Listing(sort="priority"), Listing(status=("open",)), Listing(status=("open", "closed"))],
    ids=str,
)
def test_a_cursor_is_valid_only_for_its_own_filters_and_order(query):
    import msgspec

    cursor = encode_cursor((1, "a"), KEY, bound_to=binding_of(Listing()))

    with pytest.raises(Invalid) as caught:
        read_cursor(msgspec.structs.replace(query, cursor=cursor), KEY)
    assert list(caught.value.details) == ["cursor"]


def test_a_cursor_is_valid_only_for_the_list_that_made_it():
    """The keys of another list could have another type."""

    class Other(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """A list with the same parameters."""

    cursor = encode_cursor(("name", "a"), KEY, bound_to=binding_of(Other()))

    assert read_cursor(Other(cursor=cursor), KEY) == ("name", "a")
    with pytest.raises(Invalid):
        read_cursor(Listing(cursor=cursor), KEY)


def test_a_cursor_stays_valid_when_the_list_gets_another_parameter():
    class Longer(Listing, frozen=True, kw_only=True, forbid_unknown_fields=True):
        tag: tuple[str, ...] = ()

    Longer.__name__ = "Listing"

    assert binding_of(Longer(status=("open",))) == binding_of(Listing(status=("open",)))
    assert binding_of(Longer(tag=("a",))) != binding_of(Listing())


def test_a_cursor_signed_with_another_key_is_refused():
    cursor = encode_cursor((1, "a"), b"other" * 8, bound_to=b"")

    with pytest.raises(Invalid):
        decode_cursor(cursor, KEY, bound_to=b"")


@given(st.text(max_size=80))
def test_arbitrary_text_is_refused_as_a_cursor(text):
    with pytest.raises(Invalid):
        decode_cursor(text, KEY, bound_to=b"")


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_cursor_is_refused(position, change):
    import base64

    cursor = encode_cursor((1, "a"), KEY, bound_to=b"")
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[position % len(raw)] ^= change

    with pytest.raises(Invalid):
        decode_cursor(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), KEY, bound_to=b"")


def test_a_list_starts_at_its_beginning_without_a_cursor_or_with_an_empty_one():
    assert read_cursor(Listing(), KEY) is None
    assert read_cursor(Listing(cursor=""), KEY) is None


def test_a_cursor_cannot_be_combined_with_a_page_number():
    with pytest.raises(Invalid) as caught:
        read_cursor(Listing(cursor="", page=2), KEY)

    assert list(caught.value.details) == ["page"]


def test_a_page_with_a_cursor_has_no_total():
    found = cursor_meta(request("cursor=&status=open"), BASE, per_page=10, count=10, next_cursor="abc-_")

    assert found == {
        "count": 10,
        "per_page": 10,
        "next_cursor": "abc-_",
        "links": {"next": f"{BASE}/v1/tickets?cursor=abc-_&status=open"},
    }
    end = cursor_meta(request("cursor=x"), BASE, per_page=10, count=3, next_cursor=None)
    assert (end["next_cursor"], end["links"]) == (None, {})
