"""ETags: the version of the aggregate, such as `"7"`; always strong (RFC 9110 section 8.8.3).

Proxies that compress answers change the tag: nginx makes it weak, `W/"7"`, and Apache adds the name of the
coding, `"7-gzip"`. Clients send it back like this. Both are read as the tag of this server, because a version
of an aggregate has one state, whatever the coding.
"""

from __future__ import annotations

import re

import falcon

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_VERSION = re.compile(r'(?:W/)?"([1-9][0-9]{0,17})(?:[-;:]{1,2}(?:gzip|deflate|br|zstd))?"')


def etag(version: int) -> str:
    return f'"{version}"'


def expected_versions(req: falcon.Request) -> frozenset[int] | None:
    """The versions that If-Match allows; None for no header or `*`, which every existing version satisfies.

    A tag that is not a version matches nothing.
    """
    header = req.get_header("If-Match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(int(version) for version in _versions_in(header))


def is_not_modified(req: falcon.Request, version: int) -> bool:
    """Whether If-None-Match names this version (RFC 9110 section 13.1.2; weak comparison)."""
    header = req.get_header("If-None-Match")
    if header is None:
        return False
    return header.strip() == "*" or str(version) in _versions_in(header)


def _versions_in(header: str) -> list[str]:
    tags = (tag.strip() for tag in _TAG.findall(header))
    return [match[1] for tag in tags if (match := _VERSION.fullmatch(tag))]
