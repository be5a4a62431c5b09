"""Paging of lists by `page` and `per_page`, or by `cursor`, and the `meta.pagination` of both."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, quote_plus

import falcon
import msgspec
from msgspec import Meta

from api.http.bodies import respond
from api.http.queries import pairs_of
from api.http.services import Services
from domain.errors import Invalid
from projections.paging import LastKey, Slice
from projections.views import Page

MAX_PER_PAGE = 100
MAX_OFFSET = 2**62  # statements add the limit to it, and bigint ends at 2**63
MAX_NUMBER = 10**18 - 1
_MAC_BYTES = 16
_UNBOUND_FIELDS = frozenset(("page", "per_page", "cursor", "fields", "include"))  # may change between pages

PerPage = Annotated[int, Meta(ge=1, le=MAX_NUMBER, description="Items per page; at most 100 are returned")]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list with page numbers. A subclass adds filters."""

    page: Annotated[int, Meta(ge=1, le=MAX_NUMBER, description="Page number")] = 1
    per_page: PerPage = 10

    @property
    def limit(self) -> int:
        return min(self.per_page, MAX_PER_PAGE)

    @property
    def offset(self) -> int:
        return min((self.page - 1) * self.limit, MAX_OFFSET)


class ListQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list with page numbers and cursors. Each list has a subclass with its filters."""

    cursor: Annotated[
        str | None,
        Meta(
            description="Empty for the first page, then `next_cursor` of the page before. The answers have no"
            " totals, and new items do not shift the pages."
        ),
    ] = None


class CursorQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a list that supports only cursors and has no totals. A subclass adds filters."""

    page: ClassVar[int] = 1
    per_page: PerPage = 10
    cursor: str = ""

    @property
    def limit(self) -> int:
        return min(self.per_page, MAX_PER_PAGE)


def respond_with_page(
    req: falcon.Request,
    resp: falcon.Response,
    page: Page[Any],
    query: PageQuery | CursorQuery,
    services: Services,
) -> None:
    """Answer with one page of a list, with totals or by cursor, as `query` specifies."""
    base_url, count = services.settings.base_url, len(page.items)
    if getattr(query, "cursor", None) is None:
        pagination = pagination_meta(
            req, base_url, page=query.page, per_page=query.limit, total=page.total or 0, count=count
        )
    else:
        cursor = None
        if page.last_key is not None:
            cursor = encode_cursor(page.last_key, services.signing_key, bound_to=binding_of(query))
        pagination = cursor_meta(req, base_url, per_page=query.limit, count=count, next_cursor=cursor)
    respond(resp, page.items, meta={"pagination": pagination})


def slice_of(query: ListQuery, signing_key: bytes) -> Slice:
    """The part of the list that the query asks for. Raises Invalid for a bad cursor."""
    return Slice(
        limit=query.limit,
        offset=query.offset,
        after=read_cursor(query, signing_key),
        count=query.cursor is None,
    )


def read_cursor(query: PageQuery | CursorQuery, signing_key: bytes) -> LastKey | None:
    """The key after which the page begins; None without a cursor and for the first page (`cursor=`).

    Raises Invalid for a forged cursor, and for one issued for other filters or another order.
    """
    cursor: str | None = getattr(query, "cursor", None)
    if cursor is None:
        return None
    if query.page != 1:
        raise Invalid({"page": ["The page parameter cannot be combined with cursor."]})
    return decode_cursor(cursor, signing_key, bound_to=binding_of(query)) if cursor else None


def pagination_meta(
    req: falcon.Request, base_url: str, *, page: int, per_page: int, total: int, count: int
) -> dict[str, Any]:
    """`meta.pagination` of the API reference. For a page after the last one, `previous` is the last page; an
    empty list has neither a next nor a previous page."""
    total_pages = max(1, -(-total // per_page))
    links = {}
    if page < total_pages:
        links["next"] = _link(req, base_url, "page", str(page + 1))
    if page > 1 and total:
        links["previous"] = _link(req, base_url, "page", str(min(page - 1, total_pages)))
    return {
        "total": total,
        "count": count,
        "per_page": per_page,
        "current_page": page,
        "total_pages": total_pages,
        "links": links,
    }


def cursor_meta(
    req: falcon.Request, base_url: str, *, per_page: int, count: int, next_cursor: str | None
) -> dict[str, Any]:
    """`meta.pagination` in cursor mode: without totals."""
    links = {} if next_cursor is None else {"next": _link(req, base_url, "cursor", next_cursor)}
    return {"count": count, "per_page": per_page, "next_cursor": next_cursor, "links": links}


def binding_of(query: PageQuery | CursorQuery) -> bytes:
    """The list, and the filters, sort and order of the query. A cursor is valid only for the same ones.

    Parameters that have their default are left out, so that a new parameter does not change the binding.
    """
    defaults = type(query)()
    given = {
        name: getattr(query, name)
        for name in query.__struct_fields__
        if name not in _UNBOUND_FIELDS and getattr(query, name) != getattr(defaults, name)
    }
    return msgspec.json.encode((type(query).__name__, given), order="deterministic")


def encode_cursor(last_key: LastKey, signing_key: bytes, *, bound_to: bytes) -> str:
    """An opaque cursor that continues after `last_key`."""
    payload = msgspec.json.encode(last_key)
    mac = _mac(payload, signing_key, bound_to)
    return base64.urlsafe_b64encode(mac + payload).rstrip(b"=").decode()


def decode_cursor(cursor: str, signing_key: bytes, *, bound_to: bytes) -> LastKey:
    """The key in a cursor. Raises Invalid if it was signed with another key or for another query."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _bad_cursor() from None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(payload, signing_key, bound_to)):
        raise _bad_cursor()
    last_key: LastKey = msgspec.json.decode(payload, type=LastKey)
    return last_key


def _mac(payload: bytes, signing_key: bytes, bound_to: bytes) -> bytes:
    message = b"cursor\0" + hashlib.sha256(bound_to).digest() + payload
    return hmac.digest(signing_key, message, "sha256")[:_MAC_BYTES]


def _bad_cursor() -> Invalid:
    message = "The cursor is invalid, or was issued for other filters or another order."
    return Invalid({"cursor": [message]})


def _link(req: falcon.Request, base_url: str, name: str, value: str) -> str:
    """The URL of this request with one parameter set; the others keep their values and their order."""
    pairs = [(key, value if key == name else text) for key, text in pairs_of(req.query_string)]
    if all(key != name for key, _ in pairs):
        pairs.append((name, value))
    query = "&".join(f"{quote_plus(key)}={quote_plus(text, safe=',:')}" for key, text in pairs)
    return f"{base_url}{quote(req.path)}?{query}"
