"""ETags: the version of the aggregate, such as `"7"`; always strong (RFC 9110 section 8.8.3)."""

from __future__ import annotations

import re

import falcon

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_VERSION = re.compile(r'"([1-9][0-9]{0,17})"')


def etag(version: int) -> str:
    return f'"{version}"'


def expected_versions(req: falcon.Request) -> frozenset[int] | None:
    """The versions that If-Match allows; None for no header or `*`, which every existing version satisfies.

    A weak tag, or one that is not a version, matches nothing (RFC 9110 section 13.1.1).
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
    return header.strip() == "*" or str(version) in _versions_in(header.replace("W/", ""))


def _versions_in(header: str) -> list[str]:
    tags = (tag.strip() for tag in _TAG.findall(header))
    return [match[1] for tag in tags if (match := _VERSION.fullmatch(tag))]
