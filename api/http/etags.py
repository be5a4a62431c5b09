"""ETags, always strong (RFC 9110 section 8.8.3).

The ETag of a ticket is its version, such as `"7"`. Other answers also contain what the version does not
count: names of other objects, numbers of tickets, and what only some callers see. Their ETag is the version
and a digest of the answer, such as `"7-0f3b9a61c2d4e587"`, or the digest alone if the object has no versions.
`If-Match` compares versions only: it protects the object, and not what else an answer shows.

Proxies that compress answers change the tag: nginx makes it weak, `W/"7"`, and Apache adds the name of the
coding, `"7-gzip"`. Clients send it back like this. Both are read as the tag of this server, because an answer
has one state, whatever the coding.
"""

from __future__ import annotations

import re
from hashlib import sha256

import falcon

from api.http.bodies import respond

DIGEST_CHARACTERS = 16
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*?)(?:[-;:]{1,2}(?:gzip|deflate|br|zstd))?"')
_VERSION = re.compile(rf"([1-9][0-9]{{0,17}})(?:-[0-9a-f]{{{DIGEST_CHARACTERS}}})?", re.ASCII)


def etag(version: int) -> str:
    return f'"{version}"'


def expected_versions(req: falcon.Request) -> frozenset[int] | None:
    """The versions that If-Match allows; None for no header or `*`, which every existing version satisfies.

    A tag that has no version matches nothing.
    """
    header = req.get_header("If-Match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(int(match[1]) for tag in _tags_in(header) if (match := _VERSION.fullmatch(tag)))


def is_not_modified(req: falcon.Request, tag: str) -> bool:
    """Whether If-None-Match names this ETag (RFC 9110 section 13.1.2; weak comparison)."""
    header = req.get_header("If-None-Match")
    if header is None:
        return False
    return header.strip() == "*" or tag.strip('"') in _tags_in(header)


def respond_if_modified(
    req: falcon.Request, resp: falcon.Response, data: object, *, version: int | None = None
) -> None:
    """Answer with `data`, or with 304 if the client's copy has the same. The ETag is a digest of the answer,
    after the version of the object if it has one."""
    respond(resp, data)
    digest = sha256(resp.data or b"").hexdigest()[:DIGEST_CHARACTERS]
    tag = f'"{digest}"' if version is None else f'"{version}-{digest}"'
    resp.etag = tag
    if is_not_modified(req, tag):
        resp.status, resp.data = falcon.HTTP_304, None


def _tags_in(header: str) -> list[str]:
    """The tags without quotation marks and without what proxies add."""
    return _TAG.findall(header)
