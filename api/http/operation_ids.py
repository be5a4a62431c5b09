"""The ids of operations in the OpenAPI document; generators of clients make names of methods from them."""

from __future__ import annotations

from typing import get_origin

from api.http.resource import Operation

_VERBS = {"POST": "create", "PATCH": "update", "PUT": "put", "DELETE": "delete"}


def operation_id(path: str, method: str, operation: Operation) -> str:
    """The declared id, or one that follows from method and path.

    `GET /v1/tickets` is listTickets, `GET /v1/tickets/{ticket_id}` getTicket, and
    `POST /v1/tickets/{ticket_id}/comments` createTicketComment. A last part of the path that is not a plural
    is the verb of a POST: `POST /v1/tickets/{ticket_id}/restore` is restoreTicket.
    """
    if operation.operation_id:
        return operation.operation_id
    *parents, last = _nouns(path)
    if method == "POST" and not last.endswith("s"):
        return _camel_case(last, *parents)
    if method == "GET":
        is_list = operation.is_list or get_origin(operation.answer) is list
        return _camel_case("list" if is_list else "get", *parents, last)
    return _camel_case(_VERBS[method], *parents, _singular(last))


def _nouns(path: str) -> list[str]:
    """The words of a path, each as a singular if an id follows it."""
    parts = [part for part in path.split("/") if part not in ("", "v1")]
    return [
        _singular(part) if following.startswith("{") else part
        for part, following in zip(parts, [*parts[1:], ""], strict=True)
        if not part.startswith("{")
    ]


def _singular(noun: str) -> str:
    return f"{noun.removesuffix('ies')}y" if noun.endswith("ies") else noun.removesuffix("s")


def _camel_case(*names: str) -> str:
    first, *others = (word for name in names for word in name.split("-"))
    return first + "".join(word.capitalize() for word in others)
