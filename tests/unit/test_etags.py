"""ETags: versions, and versions with a digest of the answer."""

import falcon
import pytest
from falcon.testing import create_environ

from api.http.etags import expected_versions, is_not_modified, respond_if_modified
from pages.common.context import Request

DIGEST = "0f3b9a61c2d4e587"


def request(**headers):
    return Request(create_environ(headers={name.replace("_", "-"): text for name, text in headers.items()}))


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"7"', {7}),
        (f'"7-{DIGEST}"', {7}),
        (f'W/"7-{DIGEST}--gzip", "8-br"', {7, 8}),
        (f'"{DIGEST}"', set()),
        (f'"7-{DIGEST[1:]}"', set()),
        ('"7-x"', set()),
        ("7", set()),
        ("*", None),
    ],
)
def test_if_match_allows_the_versions_in_its_tags(header, versions):
    assert expected_versions(request(If_Match=header)) == versions


@pytest.mark.parametrize(
    ("header", "is_current"),
    [
        (f'"7-{DIGEST}"', True),
        (f'"1", W/"7-{DIGEST}-gzip"', True),
        ("*", True),
        ('"7"', False),
        (f'"8-{DIGEST}"', False),
        (f'"{DIGEST}"', False),
        ("", False),
    ],
)
def test_if_none_match_compares_the_whole_tag(header, is_current):
    assert is_not_modified(request(If_None_Match=header), f'"7-{DIGEST}"') == is_current


def test_an_answer_is_sent_again_only_if_its_content_has_changed():
    def answer(data, tag):
        resp = falcon.Response()
        respond_if_modified(request(If_None_Match=tag), resp, data, version=7)
        return resp

    first = answer({"name": "a"}, '"7"')
    same, other = answer({"name": "a"}, first.etag), answer({"name": "b"}, first.etag)

    assert (first.status_code, same.status_code, other.status_code) == (200, 304, 200)
    assert (same.data, same.etag) == (None, first.etag)
    assert other.etag != first.etag
